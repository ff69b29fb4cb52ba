"""Alerts in the running product, with Meta's side beside it: who is written to, how often, what is shown of it."""

import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from alerting import JSON, URGENT, Alerting, Team, alerting, at_once, child, other_channel, paused, told_of
from running import Product, free_port, until

KILLS = int(os.environ.get("FANDESK_TEST_ALERT_KILLS", "8"))
long_form = pytest.mark.skipif(KILLS < 30, reason="long form only: FANDESK_TEST_ALERT_KILLS=30")

TAKEN_ON = "Somebody took the incident on"


@pytest.fixture(scope="module")
def alerts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Alerting]:
    with alerting(tmp_path_factory.mktemp("alerts"), "--keep", "5000") as running:
        yield running
        said = running.product.log.read_text()
        assert "Traceback" not in said, said[said.index("Traceback") :][-4000:]


@pytest.fixture(autouse=True)
def _well(alerts: Alerting) -> Iterator[None]:
    """Each test begins and ends with a Meta that behaves."""
    yield
    alerts.sandbox.behave()


def agree(team: Team, incident: JSON) -> None:
    """The deliveries, the timeline and Meta's side tell the same of an incident whose alerts were all read."""
    rows = [row for row in team.deliveries(incident) if not row["superseded"]]
    sent = {each["wamid"]: each for each in team.messages(incident)}
    assert {row["wamid"] for row in rows if row["wamid"]} == set(sent)
    numbers = {person["id"]: person["whatsapp"].lstrip("+") for person in team.people}
    for row in rows:
        assert row["wamid"] in sent, (row["state"], row["reason"], row["attempt"])
        message = sent[row["wamid"]]
        assert numbers[row["recipient"]["id"]] == message["to"]
        assert row["state"] == message["status"] == "read"
        assert message["biz_opaque_callback_data"] == row["id"]
        assert row["queued_at"] <= row["sending_at"] <= row["sent_at"] <= row["delivered_at"] <= row["read_at"]
    steps = ("AlertSent", "AlertDelivered", "AlertRead")
    assert told_of(team, incident) == Counter((step, row["id"]) for step in steps for row in rows)
    timeline = Counter(item["summary"] for item in team.all_of(incident, "timeline"))
    for person in team.people:
        mine = sum(row["recipient"]["id"] == person["id"] for row in rows)
        for word in (f"Alert sent to {person['name']}", f"Alert delivered to {person['name']}"):
            assert timeline[f"{word} on WhatsApp"] == mine
        assert timeline[f"Alert read by {person['name']} on WhatsApp"] == mine


def test_300_mixed_incidents_reach_three_people_each_once(alerts: Alerting) -> None:
    refused = len(alerts.sandbox.refusals())
    teams = [alerts.team(3) for _ in range(75)]  # many: a person may be written to once in 6 s, or 45 at once
    made: list[tuple[Team, JSON]] = []

    def trigger(mine: list[Team], seed: int) -> None:
        rng = random.Random(seed)
        for team in mine:
            for n in range(4):
                severity = rng.choice(("critical", "high", "medium", "low"))
                made.append((team, team.trigger(severity, f"Number {n}")))

    at_once(*(lambda n=n: trigger(teams[n::3], n) for n in range(3)))  # type: ignore[misc]
    urgent = [(team, incident) for team, incident in made if incident["severity"] in URGENT]
    assert len(made) == 300 and 100 < len(urgent) < 200

    ids = [incident["id"] for _, incident in urgent]
    read = "select count(*) as n from notify.deliveries where incident_id = any (%s) and state = 'read'"
    until(lambda: alerts.sql(read, ids)[0]["n"] >= 3 * len(urgent), within_s=60, what="all alerts to be read")
    until(alerts.settled, what="the ledger to be told")
    for team in teams:
        expected = Counter(
            (incident["number"], person["whatsapp"].lstrip("+"))
            for mine, incident in urgent
            if mine is team
            for person in team.people
        )
        assert Counter((each["parameters"][1], each["to"]) for each in team.messages()) == expected
    for team, incident in made:
        if incident["severity"] in URGENT:
            agree(team, incident)
        else:
            assert team.deliveries(incident) == []
    # where the machine is so busy that requests of one second arrive with those of the next, Meta refuses some
    late = Counter(each["code"] for each in alerts.sandbox.refusals()[refused:])
    assert set(late) <= {130429, 131056} and late.total() < len(urgent), late


def test_a_severity_raised_to_urgent_alerts_once(alerts: Alerting) -> None:
    team = alerts.team(2)
    only_critical = team.add("Only critical", severities=["critical"])
    incident = team.trigger("low")
    team.do(incident, "severity", severity="medium")
    team.do(incident, "severity", severity="high")
    team.arrives(incident, 2)
    assert {each["parameters"][0] for each in team.messages(incident)} == {"HIGH"}

    team.do(incident, "severity", severity="critical")
    found = team.arrives(incident, 3)
    assert (found[2]["to"], found[2]["parameters"][0]) == (only_critical["whatsapp"].lstrip("+"), "CRITICAL")

    team.do(incident, "severity", severity="low")
    team.do(incident, "severity", severity="critical")
    team.have(incident, read=3)
    until(alerts.settled)
    agree(team, incident)


def test_what_nobody_needs_any_more_does_not_leave(alerts: Alerting) -> None:
    """While Meta refuses, an alert waits for its next attempt; then somebody takes it on, or it is not urgent."""
    ends: list[tuple[str, JSON]] = [
        ("acknowledge", {}),
        ("investigate", {}),
        ("resolve", {}),
        ("severity", {"severity": "medium"}),
    ]
    alerts.sandbox.behave(error_code=131056)  # the next attempt is 6 s later
    waiting = []
    for what, body in ends:
        team = alerts.team(1)
        incident = team.trigger("high")
        waiting.append((team, incident, what, body))
    for team, incident, _, _ in waiting:
        team.have(incident, failed=1, queued=1)
    alerts.sandbox.behave()
    for team, incident, what, body in waiting:
        team.do(incident, what, **body)
    for team, incident, what, _ in waiting:
        team.have(incident, failed=1, cancelled=1)
        assert TAKEN_ON in team.deliveries(incident)[1]["reason"]
        assert not team.messages(incident), what


@pytest.mark.parametrize("what", ["acknowledge", "severity"])
def test_taken_on_while_meta_refuses_is_not_tried_again(alerts: Alerting, what: str) -> None:
    """It ends while the request is under way: the refusal that comes then plans nothing."""
    team = alerts.team(2)
    alerts.sandbox.behave(http_status=500, delay_s=1.0)
    incident = team.trigger("critical")
    team.have(incident, sending=2)
    team.do(incident, what, **({"severity": "low"} if what == "severity" else {}))
    team.have(incident, failed=2)
    alerts.sandbox.behave()
    until(alerts.settled)
    team.have(incident, failed=2)
    assert not team.messages(incident)
    assert team.types(incident)["AlertFailed"] == 2


def test_acknowledged_before_the_notifier_looked(alerts: Alerting) -> None:
    team = alerts.team(2)
    with paused(child(alerts.product, "notify")):
        taken = team.trigger()
        team.do(taken, "acknowledge")
        lowered = team.trigger("high")
        team.do(lowered, "severity", severity="low")
        merged, into = team.trigger("high"), team.trigger("high")
        team.do(merged, "merge", into=into["id"])
    team.have(into, read=2)
    team.have(taken, cancelled=2)
    team.have(merged, cancelled=2)
    assert not [each for each in (taken, lowered, merged) if team.messages(each)]
    until(alerts.settled)
    agree(team, into)


def test_each_gets_what_they_asked_for(alerts: Alerting) -> None:
    team = alerts.team(0)
    all_, critical = team.add("All"), team.add("Critical", severities=["critical"])
    high = team.add("High", severities=["high"])
    out = team.add("Opted out", opt_in=False)
    gone = team.add("Removed")
    assert team.http.delete(f"/api/v1/notifications/recipients/{gone['id']}").status_code == 204
    (person,) = alerts.sql(
        "insert into access.people (id, organization_id, name, role)"
        " values (gen_random_uuid(), %s, 'Was responder', 'responder') returning id::text",
        team.id,
    )
    member = team.add("Member", person=person["id"])
    first = team.trigger("high")
    team.arrives(first, 3)
    alerts.sql("update access.people set role = 'member' where id = %s", person["id"])
    second = team.trigger("critical")
    team.arrives(second, 2)

    def to(incident: JSON) -> set[str]:
        return {each["to"] for each in team.messages(incident)}

    def numbers(*people: JSON) -> set[str]:
        return {each["whatsapp"].lstrip("+") for each in people}

    team.have(first, read=3, failed=1)
    team.have(second, read=2, failed=1)
    assert to(first) == numbers(all_, high, member)
    assert to(second) == numbers(all_, critical)
    (held,) = [each for each in team.deliveries(second) if each["state"] == "failed"]
    assert held["recipient"]["id"] == out["id"] and "not agreed" in held["reason"]
    until(lambda: team.types(second)["AlertFailed"] == 1, what="the timeline to say so")


def test_who_left_while_their_alert_waited_is_not_written_to(alerts: Alerting) -> None:
    team = alerts.team(2)
    alerts.sandbox.behave(error_code=131056)
    incident = team.trigger()
    team.have(incident, failed=2, queued=2)
    alerts.sandbox.behave()
    first, second = team.people
    path = "/api/v1/notifications/recipients"
    assert team.http.delete(f"{path}/{first['id']}").status_code == 204
    assert team.http.patch(f"{path}/{second['id']}", json={"opt_in": False}).status_code == 200
    team.have(incident, failed=2, cancelled=2)
    assert not team.messages()
    reasons = {
        each["recipient"]["id"]: each["reason"] for each in team.deliveries(incident) if each["attempt"] == 2
    }
    assert "not agreed" in reasons[second["id"]] and TAKEN_ON not in reasons[first["id"]]


def test_history_that_is_imported_wakes_nobody(alerts: Alerting, tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text(
        "number,incident_state,opened_at,sys_updated_at,priority,assigned_to\n"
        "INC1,New,1/3/2016 08:00,1/3/2016 08:10,1 - Critical,Resolver 1\n"
        "INC1,Active,1/3/2016 08:00,1/3/2016 09:10,1 - Critical,Resolver 1\n"
        "INC2,New,1/3/2016 08:00,1/3/2016 08:10,3 - Moderate,Resolver 2\n"
        "INC2,New,1/3/2016 08:00,1/3/2016 08:30,2 - High,Resolver 2\n"
    )
    with alerts.product.client() as http:
        (row,) = alerts.sql("select id::text from access.organizations order by created_at limit 1")
        home = Team(alerts, row["id"], http)
        home.add("Home")
        try:
            alerts.product.cli("import", "servicenow", str(log), "--organization", home.id)
            found = home.get("/incidents", limit=200)["items"]
            assert {"critical", "high"} <= {each["severity"] for each in found if each["status"] != "resolved"}
            live = home.trigger("critical", "After it")
            home.arrives(live, 1)
            assert len(home.messages()) == 1
            assert [home.deliveries(each) for each in found] == [[]] * len(found)
        finally:
            http.delete(f"/api/v1/notifications/recipients/{home.people[0]['id']}")


def test_a_storm_of_one_alert_wakes_once(alerts: Alerting) -> None:
    team = alerts.team(2)
    made = team.post("/integrations", 201, name="Prometheus", kind="alertmanager", default_severity="critical")
    labels = {"alertname": "Down", "severity": "critical"}
    alert = {
        "status": "firing",
        "labels": labels,
        "annotations": {"summary": "It is down"},
        "fingerprint": f"{1:016x}",
        "startsAt": "2026-01-05T12:00:00Z",
    }
    group = {
        "version": "4",
        "status": "firing",
        "groupKey": "{}:{alertname=Down}",
        "groupLabels": labels,
        "commonLabels": labels,
    }
    for n in range(20):
        posted = {**group, "alerts": [{**alert, "fingerprint": f"{n:016x}", "labels": {**labels, "n": str(n)}}]}
        answer = httpx.post(f"{alerts.product.url}/api/v1/integrations/{made['key']}/alertmanager", json=posted)
        assert answer.status_code == 202, answer.text
    until(lambda: team.get("/incidents")["items"] and team.get("/incidents")["items"][0]["alert_count"] >= 20)
    (incident,) = team.get("/incidents")["items"]
    team.have(incident, read=2)
    until(alerts.settled)
    agree(team, incident)

    first = team.trigger("high", dedup_key="disk")
    again = team.http.post("/api/v1/incidents", json={"title": "x", "severity": "high", "dedup_key": "disk"})
    assert again.status_code in (200, 201, 409), again.text
    team.have(first, read=2)
    assert len(team.messages()) == 4


def test_reopened_says_nothing_new_and_raising_it_then_does(alerts: Alerting) -> None:
    team = alerts.team(1)
    incident = team.trigger("medium")
    team.do(incident, "resolve")
    team.do(incident, "reopen", reason="It came back")
    team.do(incident, "severity", severity="critical")
    team.have(incident, read=1)
    until(alerts.settled)
    agree(team, incident)


def test_alerts_do_not_make_an_if_match_stale(alerts: Alerting) -> None:
    team = alerts.team(3)
    made = team.http.post("/api/v1/incidents", json={"title": "Down", "severity": "critical"})
    incident = made.json()
    team.have(incident, read=3)
    until(lambda: team.types(incident)["AlertRead"] == 3, what="the ledger to be told")
    stale = {"If-Match": made.headers["ETag"]}
    answer = team.http.post(f"/api/v1/incidents/{incident['id']}/acknowledge", json={}, headers=stale)
    assert answer.status_code == 200, answer.text
    answer = team.http.post(f"/api/v1/incidents/{incident['id']}/resolve", json={}, headers=stale)
    assert answer.status_code == 412, answer.text


def test_what_will_never_go_is_shown(alerts: Alerting) -> None:
    team = alerts.team(2)
    alerts.sandbox.behave(error_code=131026)
    incident = team.trigger()
    team.have(incident, failed=2)
    until(lambda: team.types(incident)["AlertFailed"] == 2)
    for row in team.deliveries(incident):
        assert (row["error_code"], row["superseded"], row["attempt"]) == (131026, False, 1)
        assert "131026" in row["reason"] and row["failed_at"]
    told = [item for item in team.all_of(incident, "timeline") if item["type"] == "AlertFailed"]
    assert {item["summary"] for item in told} == {
        f"{each['name']} was not reached on WhatsApp" for each in team.people
    }
    assert all("131026" in item["body"] for item in told)


def test_a_failure_that_is_told_later_is_believed_but_not_after_a_delivery(alerts: Alerting) -> None:
    team = alerts.team(1)
    alerts.sandbox.behave(statuses="failed")
    incident = team.trigger()
    team.have(incident, failed=1)
    until(lambda: team.types(incident)["AlertFailed"] == 1)
    assert team.types(incident)["AlertSent"] == 1
    assert len(team.messages()) == 1

    team = alerts.team(1)
    alerts.sandbox.behave(statuses="failed", failed_code=131000)  # Meta's own trouble: tried again
    incident = team.trigger()
    until(lambda: len(team.deliveries(incident)) >= 2, what="a second attempt")
    alerts.sandbox.behave()
    until(lambda: team.states(incident)["read"] == 1, what="an attempt that arrives")
    assert team.types(incident)["AlertFailed"] == 0


def test_a_fault_of_the_account_is_tried_slowly_and_shown(alerts: Alerting) -> None:
    team = alerts.team(1)
    alerts.sandbox.behave(error_code=190)
    incident = team.trigger()
    team.have(incident, failed=1, queued=1)
    first, second = team.deliveries(incident)
    assert first["error_code"] == 190 and first["superseded"] and "190" in first["reason"]
    assert second["due_at"] > first["failed_at"]
    (wait,) = alerts.sql(
        "select extract(epoch from due_at - clock_timestamp())::float as s from notify.deliveries where id = %s",
        second["id"],
    )
    assert 30 < wait["s"] < 75
    team.do(incident, "acknowledge")
    team.have(incident, failed=1, cancelled=1)


def test_the_other_channel_is_used_when_whatsapp_fails_for_good(alerts: Alerting) -> None:
    with other_channel() as (address, heard):
        team = alerts.team(1, fallback=address)
        alerts.sandbox.behave(error_code=131026)
        incident = team.trigger(title="Disk full")
        team.have(incident, failed=1, sent=1)
        assert len(heard) == 1 and "Disk full" in heard[0] and "CRITICAL" in heard[0]
        told = {"Alert sent to P0 by json", "P0 was not reached on WhatsApp"}
        until(
            lambda: told <= {item["summary"] for item in team.all_of(incident, "timeline")},
            what="the timeline to say both",
        )

        alerts.sandbox.behave()
        works = team.trigger("high", "It works")
        team.have(works, read=1, queued=1)
        team.do(works, "acknowledge")
        team.have(works, read=1, cancelled=1)
        assert len(heard) == 1


def test_the_other_channel_is_used_when_nobody_answers_in_time(alerts: Alerting) -> None:
    with other_channel() as (address, heard):
        team = alerts.team(1, fallback=address)
        incident = team.trigger()
        team.have(incident, read=1, queued=1)
        (row,) = [each for each in team.deliveries(incident) if each["state"] == "queued"]
        (wait,) = alerts.sql(
            "select extract(epoch from due_at - queued_at)::float as s from notify.deliveries where id = %s",
            row["id"],
        )
        assert abs(wait["s"] - incident["response_target_s"]) < 5
        alerts.sql("update notify.deliveries set due_at = now() where id = %s", row["id"])  # the time has passed
        team.have(incident, read=1, sent=1)
        assert len(heard) == 1


def test_what_meta_refuses_for_a_while_is_tried_again(alerts: Alerting) -> None:
    team = alerts.team(3)
    before = len(alerts.sandbox.refusals())
    alerts.sandbox.behave(faults=[{"http_status": 500}, {"error_code": 130429}, {"error_code": 131056}])
    began = time.monotonic()
    incident = team.trigger()
    until(lambda: len(alerts.sandbox.refusals()) - before >= 3, what="three refusals")
    alerts.sandbox.behave()
    team.arrives(incident, 3)
    assert time.monotonic() - began < 12
    until(lambda: team.states(incident)["read"] == 3)
    until(alerts.settled)
    states = Counter((each["state"], each["superseded"]) for each in team.deliveries(incident))
    assert states[("read", False)] == 3 and states[("failed", True)] >= 3 and len(states) == 2
    assert team.types(incident)["AlertFailed"] == 0


@pytest.mark.parametrize("mode", ["twice", "without_contacts", "without_user_id"])
def test_statuses_as_meta_sends_them(alerts: Alerting, mode: str) -> None:
    team = alerts.team(2)
    alerts.sandbox.behave(statuses=mode)
    incident = team.trigger()
    team.have(incident, read=2)
    until(alerts.settled)
    agree(team, incident)


def test_a_status_that_comes_before_the_answer(alerts: Alerting) -> None:
    team = alerts.team(2)
    alerts.sandbox.behave(delay_s=1.5)
    incident = team.trigger()
    team.have(incident, read=2)
    until(alerts.settled)
    time_of = alerts.sql("select count(*) as n from notify.deliveries where incident_id = %s", incident["id"])
    assert time_of[0]["n"] == 2
    agree(team, incident)


def test_an_answer_that_never_comes_is_settled_by_a_status(alerts: Alerting) -> None:
    """Meta took it and did not answer; the status comes when it is unknown already. There is one message."""
    team = alerts.team(1)
    alerts.sandbox.behave(timeout=True, statuses="late", late_s=11.5)
    incident = team.trigger()
    team.have(incident, sending=1)
    alerts.sandbox.behave()
    team.have(incident, read=1)
    (row,) = team.deliveries(incident)
    assert row["unknown_at"] and row["unknown_at"] <= row["read_at"]
    until(alerts.settled)
    agree(team, incident)


@long_form
def test_what_stays_unknown_is_sent_again_after_its_deadline(alerts: Alerting) -> None:
    team = alerts.team(1)
    alerts.sandbox.behave(timeout=True, statuses="none")
    incident = team.trigger()
    team.have(incident, sending=1)
    alerts.sandbox.behave()
    team.have(incident, unknown=1)
    began = time.monotonic()
    until(lambda: len(team.messages(incident)) == 2, within_s=40, what="a second message")
    assert time.monotonic() - began > 28
    until(lambda: team.states(incident)["read"] == 1)
    first, second = team.deliveries(incident)
    assert (first["state"], first["superseded"], second["state"]) == ("unknown", True, "read")


def test_unknown_after_many_refusals_is_still_sent_again_soon(alerts: Alerting) -> None:
    """Refusals do not count as attempts whose end is unknown: the deadline is that of the first such."""
    team = alerts.team(1)
    alerts.sandbox.behave(error_code=131056)
    incident = team.trigger()
    team.have(incident, failed=1, queued=1)
    alerts.sandbox.behave(timeout="unprocessed")
    alerts.sql(  # as though Meta had refused for an hour
        "update notify.deliveries set attempt = 9, due_at = now() where incident_id = %s and attempt = 2",
        incident["id"],
    )
    team.have(incident, failed=1, sending=1)
    alerts.sandbox.behave()
    team.have(incident, failed=1, unknown=1)
    alerts.sql(
        "update notify.deliveries set unknown_at = unknown_at - interval '31 s'"
        " where incident_id = %s and attempt = 9",
        incident["id"],
    )
    team.have(incident, failed=1, unknown=1, read=1)
    assert [each["attempt"] for each in team.deliveries(incident)] == [1, 9, 10]


def test_critical_goes_before_what_waits(alerts: Alerting) -> None:
    """More than the number may send in a second waits; then something critical happens."""
    team = alerts.team(0)
    for n in range(130):
        team.add(f"W{n}", severities=["high"])
    first = team.add("First", severities=["critical"])
    for n in range(2):
        team.trigger("high", f"Storm {n}")
    until(lambda: team.messages(), what="the storm to go out")
    before = len(team.messages())
    team.arrives(team.trigger("critical", "Now"), 1)
    place = [each["to"] for each in team.messages()].index(first["whatsapp"].lstrip("+"))
    assert place < before + 75  # what had left by the time, and then its turn comes with the next second
    until(lambda: len(team.messages()) == 261, what="everything")


def test_what_was_given_to_nobody_is_sent_again(alerts: Alerting) -> None:
    """The notifier's commit went through, and the answer to it was lost: nobody sends what is in state sending."""
    team = alerts.team(1)
    alerts.sandbox.behave(error_code=131056)
    incident = team.trigger("critical")
    team.have(incident, failed=1, queued=1)
    alerts.sandbox.behave()
    alerts.sql(
        "update notify.deliveries set state = 'sending', sending_at = clock_timestamp() - interval '14 s'"
        " where incident_id = %s and state = 'queued'",
        incident["id"],
    )
    team.have(incident, failed=1, unknown=1)
    alerts.sql(
        "update notify.deliveries set unknown_at = unknown_at - interval '31 s' where incident_id = %s",
        incident["id"],
    )
    team.have(incident, failed=1, unknown=1, read=1)


def test_without_settings_nothing_is_dropped_silently(tmp_path: Path) -> None:
    product = Product(tmp_path / "data", free_port())
    product.start(environment={"FANDESK_WHATSAPP_PHONE_NUMBER_ID": "", "FANDESK_WHATSAPP_TOKEN": ""})
    try:
        with product.client() as http:
            team = Team(None, "", http)  # type: ignore[arg-type]
            for _ in range(2):
                team.add()
            made = [team.trigger(severity) for severity in ("critical", "high", "medium")]
            for incident in made[:2]:
                team.have(incident, not_configured=2)
                until(lambda: team.types(incident)["AlertFailed"] == 2)  # noqa: B023
                shown = [item for item in team.all_of(incident, "timeline") if item["type"] == "AlertFailed"]
                assert all("FANDESK_WHATSAPP_TOKEN" in item["body"] for item in shown)
            assert team.deliveries(made[2]) == []
        said = [line for line in product.log.read_text().splitlines() if "FANDESK_WHATSAPP" in line]
        assert len(said) == 1, said
        assert "FANDESK_WHATSAPP_PHONE_NUMBER_ID" in said[0] and "FANDESK_WHATSAPP_TOKEN" in said[0]
        assert product.stop() < 10
    finally:
        if product.process is not None and product.process.poll() is None:
            product.process.kill()
