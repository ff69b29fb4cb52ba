"""kill -9 and a flaky Meta: nobody is left out, and every double is one that our rows call unknown."""

import json
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from alerting import FOR_LOAD, JSON, URGENT, Alerting, Team, alerting, child, paused
from faultload import kill_child
from kafkanode import Kafka, or_skip
from running import until

KILLS = int(os.environ.get("FANDESK_TEST_ALERT_KILLS", "8"))
"""How often the notifier is killed; with 30, all takes as long as Meta may (10 minutes)."""

long_form = pytest.mark.skipif(KILLS < 30, reason="long form only: FANDESK_TEST_ALERT_KILLS=30")
pytestmark = pytest.mark.timeout(240 + 20 * KILLS)

FLAKY = {
    "faults": [
        {"http_status": 500},
        {"timeout": True},
        {"error_code": 130429},
        {"timeout": "unprocessed"},
        {"error_code": 131056},
    ],
    "share": 1 / 3,
}


SEVERITIES = ("critical", "high" if KILLS >= 30 else "critical", "medium", "low")
"""What is high and unknown is sent again after 60 s; critical after 30."""


class Storm:
    """Incidents of all severities, each of a team of its own, until it is told to stop."""

    def __init__(self, alerts: Alerting, pause_s: float) -> None:
        self._alerts = alerts
        self._pause_s = pause_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._failed: list[BaseException] = []
        self.made: list[tuple[Team, JSON]] = []

    def __enter__(self) -> "Storm":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(60)
        assert not self._failed, self._failed

    @property
    def urgent(self) -> list[tuple[Team, JSON]]:
        return [(team, incident) for team, incident in list(self.made) if incident["severity"] in URGENT]

    def _run(self) -> None:
        rng = random.Random(7)
        try:
            while not self._over.wait(self._pause_s):
                team = self._alerts.team(3)
                for severity in rng.sample(SEVERITIES, 2):
                    self.made.append((team, team.trigger(severity)))
        except BaseException as problem:
            self._failed.append(problem)


def nobody_is_left_out(alerts: Alerting, storm: Storm, *, within_s: float) -> str:
    """Wait until all is over; check it against Meta's own list. What there is to tell of it."""
    wanted = {
        (incident["id"], person["id"]): person["whatsapp"].lstrip("+")
        for team, incident in storm.urgent
        for person in team.people
    }
    reached: set[tuple[str, str]] = set()

    def all_reached() -> bool:
        rows = alerts.sql(
            "select distinct incident_id::text as incident, recipient_id::text as person from notify.deliveries"
            " where kind = 'alert' and state in ('sent', 'delivered', 'read')"
        )
        reached.update((row["incident"], row["person"]) for row in rows)
        return reached >= wanted.keys()

    def left() -> list[JSON]:
        return alerts.sql(
            "select state, attempt, reason from notify.deliveries where state in ('queued', 'sending') limit 5"
        )

    def quiet() -> bool:
        return all(each["status"] == "read" for each in alerts.sandbox.messages()) and alerts.settled()

    began = time.monotonic()
    try:
        until(all_reached, within_s=within_s, what="everybody to be reached")
        until(quiet, within_s=within_s, what="nothing to be left queued, sending, unread or untold")
    except AssertionError as late:
        raise AssertionError(
            f"{late}: {len(wanted.keys() - reached)} of {len(wanted)} not reached, {left()}"
        ) from None
    took_s = time.monotonic() - began
    assert reached == wanted.keys(), "somebody was alerted who was not to be"

    rows = {str(row["id"]): row for row in alerts.sql("select * from notify.deliveries where kind = 'alert'")}
    messages: dict[tuple[str, str], list[JSON]] = {}
    for message in alerts.sandbox.messages():
        row = rows[message["biz_opaque_callback_data"]]
        key = (str(row["incident_id"]), str(row["recipient_id"]))
        assert wanted[key] == message["to"]
        messages.setdefault(key, []).append(message)
    assert messages.keys() == wanted.keys()
    doubles = 0
    for key, mine in messages.items():
        ids = [message["biz_opaque_callback_data"] for message in mine]
        assert len(set(ids)) == len(ids), "a row was sent twice"
        certain = [id for id in ids if rows[id]["unknown_at"] is None]
        assert len(certain) <= 1, f"{key} was written to {len(ids)} times, of which {len(certain)} without need"
        doubles += len(ids) - 1

    def told_and_expected() -> tuple[Counter[tuple[str, str]], Counter[tuple[str, str]]]:
        events = alerts.sql(
            "select convert_from(state, 'UTF8') as event, topic from ledger.events where topic ~ '^Alert'"
        )
        told = Counter((row["topic"].partition("/")[0], json.loads(row["event"])["delivery_id"]) for row in events)
        steps = (("AlertSent", "sent_at"), ("AlertDelivered", "delivered_at"), ("AlertRead", "read_at"))
        all_ = alerts.sql("select * from notify.deliveries where kind = 'alert'")
        return told, Counter((step, str(row["id"])) for row in all_ for step, at in steps if row[at])

    def agree() -> bool:  # Meta may tell it a moment after its own list says so
        told, expected = told_and_expected()
        return told == expected

    until(agree, what="the ledger to have been told of all, once")
    unknown = sum(row["unknown_at"] is not None for row in rows.values())
    sent = sum(map(len, messages.values()))
    refused = dict(Counter(each["code"] for each in alerts.sandbox.refusals()))
    return (
        f"{len(storm.made)} incidents, {len(storm.urgent)} urgent, {len(wanted)} to be reached,"
        f" {sent} messages, {doubles} doubles, {len(rows)} rows, {unknown} once unknown,"
        f" refusals {refused}, {took_s:.0f} s until all were"
    )


@pytest.fixture
def alerts(tmp_path: Path) -> Iterator[Alerting]:
    with alerting(tmp_path, *FOR_LOAD) as running:
        yield running


def test_the_notifier_killed_while_meta_is_flaky(alerts: Alerting) -> None:
    rng = random.Random()
    # in the long form statuses come when a message is sent again already: there are doubles
    alerts.sandbox.behave(**FLAKY, **({"statuses": "late", "late_s": 45} if KILLS >= 30 else {}))
    killed = 0
    with Storm(alerts, 0.25) as storm:
        until(lambda: len(alerts.sandbox.messages()) > 10, what="the storm to run")
        for _ in range(KILLS):
            threading.Event().wait(rng.uniform(0.1, 1.5))  # a random moment
            kill_child(alerts.product, "notify")
            killed += 1
    alerts.sandbox.behave()  # else what is unknown again and again decides how long this takes
    told = nobody_is_left_out(alerts, storm, within_s=240)
    print(f"{killed} kills, {told}")
    assert "Traceback" not in alerts.product.log.read_text()


def test_the_database_killed_and_the_notifier_frozen_while_meta_is_slow(alerts: Alerting) -> None:
    """What was being sent ends while there is no database to write that down in."""
    alerts.sandbox.behave(delay_s=0.5)
    with Storm(alerts, 0.2) as storm:
        until(lambda: len(storm.urgent) > 3, what="the storm to run")
        with paused(child(alerts.product, "notify")):
            until(many_more(storm, 2), what="more of it")
    with Storm(alerts, 0.05) as last:
        until(lambda: len(last.urgent) > 2, what="the storm to run")
    for _ in range(3):
        kill_child(alerts.product, "postgres")
        until(alerts.product.is_ready, within_s=30, what="/readyz after PostgreSQL was killed")
        with Storm(alerts, 0.05) as another:
            until(lambda: len(another.urgent) > 2, what="the storm to run")
        last.made += another.made
    storm.made += last.made
    told = nobody_is_left_out(alerts, storm, within_s=120)
    print(f"PostgreSQL killed 3 times, {told}")


def many_more(storm: Storm, count: int) -> Callable[[], bool]:
    goal = len(storm.urgent) + count
    return lambda: len(storm.urgent) >= goal


@pytest.fixture
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    """A broker of this test's own, as it is stopped and killed."""
    broker = Kafka(tmp_path_factory.mktemp("broker"))
    or_skip(broker.start)
    yield broker
    broker.kill()


@pytest.fixture
def by_kafka(tmp_path: Path, kafka: Kafka) -> Iterator[Alerting]:
    """The product, whose notifier reads Kafka."""
    with alerting(tmp_path, *FOR_LOAD, environment={"FANDESK_KAFKA_BOOTSTRAP": kafka.bootstrap}) as running:
        yield running


@long_form
def test_the_broker_restarted_and_the_notifier_killed(by_kafka: Alerting, kafka: Kafka) -> None:
    rng = random.Random()
    by_kafka.sandbox.behave(**FLAKY)
    kills = max(3, KILLS // 4)
    with Storm(by_kafka, 0.4) as storm:
        until(lambda: len(by_kafka.sandbox.messages()) > 10, what="the storm to run")
        for n in range(3):
            for _ in range(kills // 3):
                threading.Event().wait(rng.uniform(0.1, 1.5))  # a random moment
                kill_child(by_kafka.product, rng.choice(("notify", "relay")) if n else "notify")
            (kafka.kill if n % 2 else kafka.stop)()
            until(many_more(storm, 2), what="commands while the broker is away")
            kafka.start()
            more = len(by_kafka.sandbox.messages()) + 5
            until(lambda: len(by_kafka.sandbox.messages()) >= more, within_s=60, what="alerts again")  # noqa: B023
    by_kafka.sandbox.behave()
    told = nobody_is_left_out(by_kafka, storm, within_s=240)
    print(f"broker restarted 3 times, {kills // 3 * 3} kills, {told}")


def test_kafka_stopped_is_told_and_made_up_for(by_kafka: Alerting, kafka: Kafka) -> None:
    url = by_kafka.product.url
    team = by_kafka.team(3)
    team.arrives(team.trigger(), 3)
    assert metric(url, 'fandesk_follower_up{follower="notify"}') == 1
    kafka.stop()

    incident = team.trigger("high", "While Kafka is away")
    until(lambda: httpx.get(f"{url}/readyz").status_code == 503, within_s=30, what="/readyz to tell")
    team.do(incident, "updates", body="Commands work all the same")

    def told() -> JSON:
        shown: JSON = httpx.get(f"{url}/readyz").json()
        return shown

    until(lambda: told()["followers"]["relay"]["problem"], within_s=30, what="/readyz to tell of the relay")
    assert "Kafka" in told()["status"], told()
    until(lambda: told()["followers"]["relay"]["behind"] >= 1, what="the relay's lag")
    until(lambda: metric(url, 'fandesk_follower_up{follower="relay"}') == 0, what="/metrics to tell")
    assert metric(url, 'fandesk_follower_lag_events{follower="relay"}') >= 1
    assert not team.messages(incident) and not team.deliveries(incident)

    kafka.start()
    team.arrives(incident, 3, within_s=60)
    team.have(incident, read=3)
    until(by_kafka.product.is_ready, within_s=30, what="/readyz after Kafka came back")
    assert metric(url, 'fandesk_follower_up{follower="relay"}') == 1
    assert "Traceback" not in by_kafka.product.log.read_text()


def metric(url: str, name: str) -> float:
    """A line of /metrics."""
    for line in httpx.get(f"{url}/metrics").text.splitlines():
        if line.startswith(f"{name} "):
            return float(line.rpartition(" ")[2])
    raise AssertionError(f"{name} is not in /metrics")
