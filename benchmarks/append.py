"""Complete commands per second at 1, 8 and 32 writers, against a raw INSERT and against the library's save.

ours: `Executor.execute` (load, decide, append, commit) of trigger, acknowledge, update, resolve on one incident
after another. raw: one prepared INSERT of an equal payload, committed by itself, into a table with the ledger's
columns and no index but its identity key. library: `eventsourcing.application.Application.save` of small
aggregates by its default PostgreSQL recorder, the aggregate kept in hand, so that it never loads.

All run in threads of this one process with its settings, one after another on one PostgreSQL. Ratios are medians
of the rounds' ratios.
"""

import itertools
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID

if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.dirname(sys.path.pop(0) + os.sep)))

import psycopg
from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from psycopg.conninfo import conninfo_to_dict

from benchmarks import measure
from commands import codec
from commands import incident as c
from commands.event_store import LedgerRecorder
from commands.executor import Executor
from commands.ids import new_id
from domain.decisions import Request
from domain.events import Actor
from fandesk import compose

WRITERS = (1, 8, 32)
TITLE = "Checkout answers with errors in two regions"
DESCRIPTION = "Error rate above 5 % since the release of 14:05."
LABELS = {"service": "checkout", "region": "eu-west-1"}
NOTE = "The release is being taken back; the error rate falls."

Work = Iterator[None]
"""One thread's: each step is one command, done and committed."""


def timed(writers: int, seconds: float, work: Callable[[], Work]) -> float:
    """Commands per second that so many threads complete together; each makes its first one before the time."""
    counts = [0] * writers
    problems: list[BaseException] = []
    start = threading.Barrier(writers + 1)
    over = threading.Event()

    def write(n: int) -> None:
        try:
            mine = work()
            next(mine)
            start.wait()
            while not over.is_set():
                next(mine)
                counts[n] += 1
            mine.close()  # type: ignore[attr-defined]
        except BaseException as problem:
            problems.append(problem)
            start.abort()

    threads = [threading.Thread(target=write, args=(n,)) for n in range(writers)]
    for thread in threads:
        thread.start()
    try:
        start.wait()
        began = time.perf_counter()
        over.wait(seconds)
        done, took = sum(counts), time.perf_counter() - began
    finally:
        over.set()
        for thread in threads:
            thread.join()
        if problems:
            raise problems[0]
    return done / took


def lifecycles(executor: Executor, organization_id: UUID) -> Work:
    """Ours."""
    actor = Actor(kind="person", id=new_id())

    def request() -> Request:
        return Request(organization_id, actor, datetime.now(UTC), new_id(), new_id())

    while True:
        id = new_id()
        executor.execute(
            c.Trigger(
                request=request(),
                incident_id=id,
                title=TITLE,
                severity="high",
                category="outage",
                description=DESCRIPTION,
                labels=LABELS,
            )
        )
        yield
        executor.execute(c.Acknowledge(request=request(), incident_id=id, note="I take it."))
        yield
        executor.execute(c.PostUpdate(request=request(), incident_id=id, body=NOTE))
        yield
        executor.execute(c.Resolve(request=request(), incident_id=id, note=NOTE))
        yield


def inserts(dsn: str, organization_id: UUID, payloads: list[tuple[str, bytes]]) -> Work:
    """The floor: rows with the payloads that ours wrote."""
    with psycopg.connect(dsn, autocommit=True) as connection, connection.cursor() as cursor:
        while True:
            id = new_id()
            for version, (topic, state) in enumerate(payloads, start=1):
                cursor.execute(
                    "insert into raw_events (originator_id, originator_version, organization_id, topic, state,"
                    " recorded_at) values (%s, %s, %s, %s, %s, %s)",
                    (id, version, organization_id, topic, state, datetime.now(UTC)),
                    prepare=True,
                )
                yield


class Case(Aggregate):
    """A small aggregate in the library's own way."""

    @event("Triggered")
    def __init__(self, title: str, severity: str, category: str, description: str, labels: dict[str, str]) -> None:
        self.title = title
        self.severity = severity
        self.category = category
        self.description = description
        self.labels = labels
        self.status = "triggered"

    @event("Acknowledged")
    def acknowledge(self, note: str) -> None:
        self.status = "acknowledged"

    @event("Updated")
    def update(self, body: str) -> None:
        pass

    @event("Resolved")
    def resolve(self, note: str) -> None:
        self.status = "resolved"


def saves(application: Application[UUID]) -> Work:
    """The library's."""
    while True:
        case = Case(TITLE, "high", "outage", DESCRIPTION, LABELS)
        application.save(case)
        yield
        case.acknowledge("I take it.")
        application.save(case)
        yield
        case.update(NOTE)
        application.save(case)
        yield
        case.resolve(NOTE)
        application.save(case)
        yield


def library_settings(dsn: str) -> dict[str, str]:
    """The environment by which the library keeps its events in that database; all else is its default."""
    options = conninfo_to_dict(dsn)
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": str(options["dbname"]),
        "POSTGRES_HOST": str(options["host"]),
        "POSTGRES_PORT": str(options["port"]),
        "POSTGRES_USER": str(options["user"]),
        "POSTGRES_PASSWORD": "",
        "POSTGRES_SCHEMA": "public",
    }


class Batches:
    """How many commands were appended in how many batches, and how long the calls took."""

    def __init__(self, store: LedgerRecorder) -> None:
        self.commands = self.calls = 0
        self.seconds = 0.0
        self._append = store.append
        store.append = self.append  # type: ignore[method-assign]

    def append(self, appends: Any) -> Any:
        began = time.perf_counter()
        results = self._append(appends)
        self.seconds += time.perf_counter() - began
        self.commands += len(appends)
        self.calls += 1
        return results

    def take(self) -> dict[str, float]:
        found = {
            "commands_per_batch": self.commands / max(1, self.calls),
            "append_ms_per_batch": 1000 * self.seconds / max(1, self.calls),
        }
        self.commands = self.calls = 0
        self.seconds = 0.0
        return found


def main() -> None:
    options = measure.arguments(__doc__).parse_args()
    count, seconds = (3, 0.4) if options.quick else (9, 1.5)
    samples: dict[str, Any] = {}
    ratios: dict[str, float] = {}
    with measure.database() as database:
        with psycopg.connect(database.owner_dsn, autocommit=True) as connection:
            connection.execute(
                "create table raw_events (notification_id bigint generated always as identity primary key,"
                " originator_id uuid not null, originator_version bigint not null, organization_id uuid not null,"
                " topic text not null, state bytea not null, recorded_at timestamptz not null)"
            )
        store = compose.open_store(database.dsn)
        executor = Executor(store)
        application = Application[UUID](env=library_settings(database.owner_dsn))
        organization_id = new_id()
        for _ in itertools.islice(lifecycles(executor, organization_id), 4):
            pass
        payloads = [codec.encode(entry.event) for entry in store.read(0, 4).entries]
        batches = Batches(store)
        compose.tune()
        for writers in WRITERS:
            measure.note(f"{writers} writers:")
            kinds: dict[str, Callable[[], Work]] = {
                "ours": lambda: lifecycles(executor, organization_id),
                "raw": lambda: inserts(database.owner_dsn, organization_id, payloads),
                "library": lambda: saves(application),
            }
            measured = {name: partial(timed, writers, seconds, work) for name, work in kinds.items()}
            for warm_up in measured.values():
                warm_up()
            batches.take()
            found = measure.rounds(count, measured, "commands/s")
            samples[f"writers_{writers}"] = found | batches.take()
            for name in ("raw", "library"):
                ratios[f"ours/{name} at {writers}"] = measure.ratio(found["ours"], found[name])
        executor.close()
        application.close()
        store.close()
    measure.finish("append", ratios, samples, {"ours/raw at 8": ">= 0.55", "ours/library at 8": ">= 4"})


if __name__ == "__main__":
    main()
