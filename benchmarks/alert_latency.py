"""From the commit of IncidentTriggered to the request arriving at the WhatsApp sandbox, against a floor.

Ours is `fandesk up` as a whole, reading its log directly, and once more through a real Apache Kafka where Java
and Maven are there. The floor is a program that waits for a PostgreSQL notification and posts the same message at
once: from the commit to the callback, and one POST on loopback. Both are timed from the database's clock just
before the commit to the sandbox's clock at the request's arrival. At rest, ours and the floor take turns; then
ours alone under 50 commands/s. `--quick` leaves Kafka out.
"""

import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[0] = ROOT
sys.path.append(os.path.join(ROOT, "tests"))

import httpx  # noqa: E402
import psycopg  # noqa: E402

from benchmarks import measure  # noqa: E402
from workers.notifier import messages  # noqa: E402

COMMANDS_PER_S = 50
NUMBER_ID = "106540352242922"


class Sandbox:
    """The sandbox's own list of what arrived, and when."""

    def __init__(self, url: str) -> None:
        self.http = httpx.Client(base_url=url, timeout=30)

    def arrivals(self, person: str) -> list[float]:
        items = self.http.get("/_sandbox/messages", params={"to": person}).json()["items"]
        return [_unix(item["received_at"]) for item in items]

    def behave(self, **behaviour: Any) -> None:
        self.http.put("/_sandbox/behaviour", json=behaviour).raise_for_status()


@contextmanager
def sandbox(callback_port: int, log: Path) -> Iterator[tuple[Sandbox, str]]:
    """The sandbox without rates, running, and its address."""
    port = measure.free_port()
    command = [sys.executable, "-m", "fandesk", "whatsapp-sandbox", "--port", str(port), "--app-secret", "secret"]
    command += ["--callback", f"http://127.0.0.1:{callback_port}/webhooks/whatsapp", "--keep", "100000"]
    command += ["--pair-interval", "0", "--per-second", "100000"]
    with log.open("ab") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, cwd=ROOT)
    try:
        measure.answers(f"http://127.0.0.1:{port}/healthz", process, log)
        yield Sandbox(f"http://127.0.0.1:{port}"), f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


class Ours:
    """Triggers incidents over HTTP, and reads off when each was committed and when it arrived."""

    def __init__(self, product: measure.Product, arrived: Sandbox) -> None:
        headers = {"Authorization": f"Bearer {measure.TOKEN}"}
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{product.port}/api/v1", headers=headers, timeout=30)
        self._database = psycopg.connect(product.server.dsn("fandesk"), autocommit=True)
        self._arrived = arrived
        self._people = 0
        self._recipient: str | None = None
        self._number = ""
        self.stages: dict[str, list[float]] = {name: [] for name in STAGES}

    def alert(self) -> float:
        """Milliseconds from one commit to its arrival."""
        self._exchange_recipient()
        incident = self._post("/incidents", title="Checkout answers with errors", severity="critical")
        deadline = time.monotonic() + 30
        while not (arrivals := self._arrived.arrivals(self._number)):
            if time.monotonic() > deadline:
                raise RuntimeError("an alert has not arrived within 30 s")
            time.sleep(0.01)
        row = self._database.execute(_STAGES, (incident["id"],)).fetchone()
        assert row is not None
        moments = [at.timestamp() for at in row] + [arrivals[-1]]
        for name, began, ended in zip(STAGES, moments, moments[1:], strict=False):
            self.stages[name].append(1000 * (ended - began))
        return 1000 * (moments[-1] - moments[0])

    @contextmanager
    def load(self) -> Iterator[None]:
        """Updates on other incidents, COMMANDS_PER_S of them."""
        ids = [self._post("/incidents", title="Other work", severity="low")["id"] for _ in range(10)]
        over = threading.Event()

        def work() -> None:
            with httpx.Client(base_url=self._http.base_url, headers=self._http.headers, timeout=30) as client:
                due = time.monotonic()
                while not over.is_set():
                    client.post(f"/incidents/{random.choice(ids)}/updates", json={"body": "Still at it"})
                    due += 4 / COMMANDS_PER_S
                    over.wait(max(0.0, due - time.monotonic()))

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            over.set()
            for thread in threads:
                thread.join()

    def _exchange_recipient(self) -> None:
        """Each alert goes to somebody else: Meta's pair rate would hold back the second to the same."""
        if self._recipient is not None:
            self._http.delete(f"/notifications/recipients/{self._recipient}").raise_for_status()
        self._people += 1
        self._number = f"4915112{self._people:06}"
        made = self._post("/notifications/recipients", name=f"R{self._people}", whatsapp=f"+{self._number}")
        self._recipient = made["id"]

    def _post(self, path: str, **body: str) -> dict[str, Any]:
        answer: dict[str, Any] = self._http.post(path, json=body).raise_for_status().json()
        return answer


STAGES = ("commit to planned", "planned to claimed", "claimed to arrived")
_STAGES = """
    select e.recorded_at, d.queued_at, d.sending_at
      from ledger.events e join notify.deliveries d on d.incident_id = e.originator_id and e.originator_version = 1
     where e.originator_id = %s"""


class Floor:
    """Waits for a notification in a thread of its own and posts at once."""

    def __init__(self, dsn: str, url: str, arrived: Sandbox) -> None:
        self._notifying = psycopg.connect(dsn, autocommit=True)
        self._arrived = arrived
        self._sent = 0
        self._thread = threading.Thread(target=self._answer, args=(dsn, url), daemon=True)
        self._ready = threading.Event()
        self._thread.start()
        self._ready.wait(10)

    def alert(self) -> float:
        """Milliseconds from one commit to its arrival."""
        self._sent += 1
        person = f"4917012{self._sent:06}"
        row = self._notifying.execute("select clock_timestamp(), pg_notify('floor', %s)", (person,)).fetchone()
        assert row is not None
        while not (arrivals := self._arrived.arrivals(person)):
            time.sleep(0.01)
        return 1000 * (arrivals[-1] - row[0].timestamp())

    def _answer(self, dsn: str, url: str) -> None:
        content = messages.alert(
            "incident_alert", "en_US", severity="critical", number=1, title="Checkout answers with errors",
            incident_id="01a2097d-c010-79ec-a861-305b8a6164a7", link="http://127.0.0.1:8080/incidents/INC-1",
        )  # fmt: skip
        headers = {"Authorization": "Bearer token"}
        with psycopg.connect(dsn, autocommit=True) as listening, httpx.Client(headers=headers) as client:
            listening.execute("listen floor")
            self._ready.set()
            with suppress(psycopg.OperationalError):  # the product has stopped
                for notice in listening.notifies():
                    body = {"messaging_product": "whatsapp", "to": notice.payload, **content}
                    client.post(f"{url}/v24.0/{NUMBER_ID}/messages", json=body).raise_for_status()


def _unix(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def percentile(samples: list[float], share: float) -> float:
    return sorted(samples)[min(len(samples) - 1, int(share * len(samples)))]


@contextmanager
def kafka(folder: Path) -> Iterator[str | None]:
    """A real broker's address; None where it cannot be had."""
    try:
        from kafkanode import Kafka, Missing
    except ImportError:
        measure.note("Kafka is left out: pip install -e '.[test]'")
        yield None
        return
    node = Kafka(folder / "kafka")
    try:
        node.start()
    except Missing as missing:
        measure.note(f"Kafka is left out: {missing}")
        yield None
        return
    try:
        yield node.bootstrap
    finally:
        with suppress(ProcessLookupError):
            node.stop()


def run(count: int, loaded: int, folder: Path, bootstrap: str | None) -> dict[str, list[float]]:
    """At rest beside the floor, then under load."""
    port = measure.free_port()
    log = folder / "sandbox.log"
    with sandbox(port, log) as (arrived, url):
        settings = {
            "FANDESK_WHATSAPP_BASE_URL": url,
            "FANDESK_WHATSAPP_PHONE_NUMBER_ID": NUMBER_ID,
            "FANDESK_WHATSAPP_TOKEN": "token",
            "FANDESK_WHATSAPP_APP_SECRET": "secret",
            **({"FANDESK_KAFKA_BOOTSTRAP": bootstrap} if bootstrap else {}),
        }
        with measure.product(port, **settings) as product:
            ours, floor = Ours(product, arrived), Floor(product.server.dsn("fandesk"), url, arrived)
            arrived.behave(statuses="none")  # the floor's would be told to us
            measure.rounds(5, {"ours": ours.alert, "floor": floor.alert}, "ms (to warm up)")
            samples = measure.rounds(count, {"ours": ours.alert, "floor": floor.alert}, "ms")
            samples |= {name: each[-count:] for name, each in ours.stages.items()}
            arrived.behave()
            with ours.load():
                time.sleep(2.0)
                samples["under load"] = [ours.alert() for _ in range(loaded)]
    return samples


def main() -> None:
    options = measure.arguments(__doc__).parse_args()
    count, loaded = (20, 20) if options.quick else (150, 200)
    ratios: dict[str, float] = {}
    samples: dict[str, Any] = {}
    with measure.folder() as folder:
        ways: dict[str, str | None] = {"direct": None}
        with kafka(folder) if not options.quick else nullcontext() as bootstrap:
            if bootstrap:
                ways["kafka"] = bootstrap
            for way, address in ways.items():
                found = run(count, loaded, folder, address)
                samples[way] = {
                    name: {"p50_ms": median(each), "p99_ms": percentile(each, 0.99), "n": len(each)}
                    for name, each in found.items()
                }
                ratios[f"{way} p50/floor p50"] = median(found["ours"]) / median(found["floor"])
                ratios[f"{way} p99 under load, s"] = percentile(found["under load"], 0.99) / 1000
                measure.note(json.dumps(measure.rounded(samples[way])))
    aims = {"direct p50/floor p50": "<= 3", "direct p99 under load, s": "<= 1", "kafka p99 under load, s": "<= 1"}
    measure.finish("alert_latency", ratios, samples, aims)


if __name__ == "__main__":
    main()
