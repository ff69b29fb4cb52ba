"""What goes on in a running product: how late its read models are, and commands and reads during a rebuild."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from statistics import median, quantiles
from typing import Any
from uuid import UUID

import httpx
import psycopg

from benchmarks import measure
from commands.append import Append, NewEvent
from commands.ids import new_id
from domain import events as e
from domain.decisions import Meta
from fandesk import compose
from fandesk.embedded import EmbeddedPostgres

RATE = 2000
AT_ONCE = 40
"""Events of one append."""

COMMANDS_PER_S, READS_PER_S, READERS = 20, 50, 5


class Lateness:
    """When each written position was in all read models, by the notification that the projector sends."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._over = threading.Event()
        self._reached: list[tuple[float, int]] = []
        self._thread = threading.Thread(target=self._listen)
        self._listening = threading.Event()

    def __enter__(self) -> "Lateness":
        self._thread.start()
        self._listening.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _listen(self) -> None:
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            connection.execute("listen projected")
            self._listening.set()
            while not self._over.is_set():
                for notice in connection.notifies(timeout=0.2):
                    self._reached.append((time.perf_counter(), int(notice.payload)))

    def wait(self, position: int, within_s: float = 60) -> None:
        """Until that position is in the read models."""
        deadline = time.perf_counter() + within_s
        while not self._reached or self._reached[-1][1] < position:
            if time.perf_counter() > deadline:
                raise RuntimeError(f"position {position} is not in the read models after {within_s} s")
            time.sleep(0.01)

    def lags_ms(self, written: list[tuple[float, int]]) -> list[float]:
        """Of positions and the moments at which they were committed, in order."""
        reached = iter(sorted(self._reached))
        at, upto = next(reached)
        lags = []
        for committed, position in written:
            while upto < position:
                at, upto = next(reached)
            lags.append(max(0.0, at - committed) * 1000)
        return lags


def dsn_of(product: measure.Product) -> str:
    return EmbeddedPostgres(product.data).dsn()


def organization_of(dsn: str) -> UUID:
    with psycopg.connect(dsn) as connection:
        row = connection.execute("select id from access.organizations").fetchone()
    assert row is not None
    id: UUID = row[0]
    return id


def keep_up(product: measure.Product, seconds: float) -> dict[str, Any]:
    """Write RATE events a second and see how long they take to be in all read models."""
    dsn = dsn_of(product)
    organization_id = organization_of(dsn)
    store = compose.open_store(dsn)
    written: list[tuple[float, int]] = []
    with Lateness(dsn) as lateness:
        began = time.perf_counter()
        for n in range(int(seconds * RATE / AT_ONCE)):
            events = [event for _ in range(AT_ONCE // 4) for event in some_events(organization_id)]
            time.sleep(max(0.0, began + n * AT_ONCE / RATE - time.perf_counter()))
            appended = store.append(events)
            last = max(result.position for result in appended)
            written.append((time.perf_counter(), last))
        took = time.perf_counter() - began
        lateness.wait(written[-1][1])
    store.close()
    lags = lateness.lags_ms(written)
    found = {
        "events_per_s": len(written) * AT_ONCE / took,
        "lag_median_ms": median(lags),
        "lag_p99_ms": quantiles(lags, n=100, method="inclusive")[-1],
        "lag_most_ms": max(lags),
    }
    measure.note("keeps up: " + ", ".join(f"{name} {value:,.1f}" for name, value in found.items()))
    return found


def some_events(organization_id: UUID) -> Iterator[Append]:
    """An incident with four events, as one append each would write them."""
    id, person = new_id(), new_id()
    meta: Meta = {
        "organization_id": organization_id,
        "actor": e.Actor(kind="person", id=person),
        "occurred_at": datetime.now(UTC),
        "correlation_id": id,
        "causation_id": id,
    }
    opened = e.IncidentTriggered(
        **meta, number=0, title="Written while it is measured", severity="low", response_target_s=86_400
    )
    rest = (
        e.IncidentAcknowledged(**meta),
        e.UpdatePosted(**meta, body="Looking into it."),
        e.IncidentResolved(**meta),
    )
    yield Append(events=[NewEvent(id, 1, opened)], opens=True)
    yield from (Append(events=[NewEvent(id, n, event)]) for n, event in enumerate(rest, 2))


class Traffic:
    """Commands and reads at a steady rate; `wrong` has what did not go well."""

    def __init__(self, product: measure.Product) -> None:
        self.url = f"http://127.0.0.1:{product.port}/api/v1"
        self.over = threading.Event()
        self.wrong: list[str] = []
        self.written: list[tuple[float, int]] = []
        self.commands_ms: list[float] = []
        self.reads_ms: list[float] = []
        self.ids: list[str] = []

    @contextmanager
    def flowing(self) -> Iterator[None]:
        threads = [threading.Thread(target=self._steadily, args=(self._command, COMMANDS_PER_S))]
        threads += [
            threading.Thread(target=self._steadily, args=(self._read, READS_PER_S / READERS))
            for _ in range(READERS)
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.over.set()
            for thread in threads:
                thread.join()

    def _steadily(self, work: Callable[[httpx.Client, int], None], rate: float) -> None:
        began = time.perf_counter()
        headers = {"Authorization": f"Bearer {measure.TOKEN}"}
        with httpx.Client(headers=headers, timeout=30) as client:
            n = 0
            while not self.over.wait(max(0.0, began + n / rate - time.perf_counter())):
                try:
                    work(client, n)
                except (httpx.HTTPError, KeyError) as problem:
                    self.wrong.append(repr(problem)[:200])
                n += 1

    def _command(self, client: httpx.Client, n: int) -> None:
        began = time.perf_counter()
        if n % 10 == 0:
            answer = client.post(f"{self.url}/incidents", json={"title": f"Live {n}", "severity": "low"})
            answer.raise_for_status()
            self.ids.append(answer.json()["id"])
        else:
            answer = client.post(f"{self.url}/incidents/{self.ids[-1]}/updates", json={"body": f"Update {n}"})
            answer.raise_for_status()
        now = time.perf_counter()
        self.commands_ms.append((now - began) * 1000)
        self.written.append((now, int(answer.headers["Ledger-Position"])))

    def _read(self, client: httpx.Client, n: int) -> None:
        """In turn a list, a search, an incident and its timeline with all that was written, and what is open."""
        if not self.ids:
            return
        id = self.ids[-1]
        written = {"Ledger-Position": str(self.written[-1][1])} if self.written else {}
        path, headers = (
            ("/incidents?limit=50", {}),
            ("/incidents?q=zq42&limit=50", {}),
            (f"/incidents/{id}", written),
            (f"/incidents/{id}/timeline", written),
            ("/incidents?status=open&limit=50", {}),
        )[n % 5]
        began = time.perf_counter()
        client.get(self.url + path, headers=headers).raise_for_status()
        self.reads_ms.append((time.perf_counter() - began) * 1000)


def rebuild_live(product: measure.Product) -> dict[str, Any]:
    """All read models are rebuilt while commands and reads go on."""
    traffic = Traffic(product)
    command = [sys.executable, "-m", "fandesk", "rebuild", "--json", "--data", str(product.data)]
    environment = {name: value for name, value in os.environ.items() if name != "FANDESK_DATABASE_URL"}
    with Lateness(dsn_of(product)) as lateness:
        with traffic.flowing():
            time.sleep(3)
            began = time.perf_counter()
            subprocess.run(command, check=True, env=environment, cwd=measure.ROOT, stdout=subprocess.DEVNULL)
            took = time.perf_counter() - began
            time.sleep(3)
        lateness.wait(traffic.written[-1][1])
    lags = lateness.lags_ms(traffic.written)
    found = {
        "rebuild_s": took,
        "wrong": traffic.wrong[:20],
        "commands": len(traffic.commands_ms),
        "reads": len(traffic.reads_ms),
        **{f"{name}_p99_ms": quantiles(values, n=100)[-1] for name, values in _series(traffic, lags)},
        **{f"{name}_most_ms": max(values) for name, values in _series(traffic, lags)},
    }
    measure.note("live: " + json.dumps(measure.rounded(found)))
    return found


def _series(traffic: Traffic, lags: list[float]) -> list[tuple[str, list[float]]]:
    return [("command", traffic.commands_ms), ("read", traffic.reads_ms), ("lag", lags)]


def peaks(product: measure.Product) -> dict[str, float]:
    """The most memory that each process had at once, in megabytes; with the part of the shared it has touched."""
    found: dict[str, float] = {}
    assert product.process is not None
    for pid, command in measure.processes(product.process.pid).items():
        try:
            status = (measure.Path(f"/proc/{pid}/status")).read_text()
        except OSError:
            continue  # it has just ended
        high = next((int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM")), 0.0)
        name = command.split(" ")[0].rsplit("/")[-1]
        found[name] = max(found.get(name, 0.0), high)
    return found
