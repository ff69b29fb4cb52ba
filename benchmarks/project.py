"""Events per second through the read models, against reading the log alone and against the library's runner.

all, facts: `projections.runner.Runner.step` until everything is projected into empty tables, for all read models
together and for the facts alone. read: SELECT of the same log, same columns, in the same batches, and
`json.loads` of each event. library: `eventsourcing.projection.ProjectionRunner` keeping one view table with a row
per incident (like our facts) from the log of a library application, one transaction per event, as it does.

All in this one process with its settings. Ratios, of rates, are medians of the rounds' ratios.
"""

import json
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.dirname(sys.path.pop(0) + os.sep)))

import psycopg
from eventsourcing.application import Application
from eventsourcing.domain import Aggregate
from eventsourcing.persistence import Tracking
from eventsourcing.postgres import PostgresDatastore, PostgresTrackingRecorder
from eventsourcing.projection import Projection, ProjectionRunner
from psycopg.sql import SQL, Identifier

from benchmarks import measure
from benchmarks.append import DESCRIPTION, LABELS, NOTE, TITLE, Case, library_settings
from commands.append import Append, NewEvent
from commands.event_store import LedgerRecorder
from commands.ids import new_id
from domain import events as e
from domain.decisions import Meta
from fandesk import compose
from projections.model import ReadModel
from projections.runner import BATCH, Runner, ensure_tables

AT_ONCE = 200
"""How many incidents are in progress at any moment: their events lie between each other's."""

PER_INCIDENT = 8


def fill(store: LedgerRecorder, count: int) -> None:
    """A ledger of `count` events: incidents with their updates, some reopened, side by side."""
    dice = random.Random(1)
    organization_id, people = new_id(), [new_id() for _ in range(20)]
    open_now: dict[UUID, int] = {}
    at = datetime.now(UTC) - timedelta(days=30)
    left = count
    while left:
        appends: list[Append] = []
        for _ in range(min(left, 400)):
            at += timedelta(seconds=dice.expovariate(1 / 20))
            person = dice.choice(people)
            meta: Meta = {
                "organization_id": organization_id,
                "actor": e.Actor(kind="person", id=person),
                "occurred_at": at,
                "correlation_id": new_id(),
                "causation_id": new_id(),
            }
            if len(open_now) < AT_ONCE:
                id, version = new_id(), 1
            else:
                id = dice.choice(list(open_now)[:AT_ONCE])
                version = open_now[id] + 1
            open_now[id] = version
            appends.append(
                Append(events=[NewEvent(id, version, story(version, meta, person))], opens=version == 1)
            )
            if version == PER_INCIDENT:
                del open_now[id]
        results = store.append(appends)
        assert all(result.outcome == "appended" for result in results)
        left -= len(appends)


def story(version: int, meta: Meta, person: UUID) -> e.IncidentEvent:
    """The event of an incident at that place."""
    match version:
        case 1:
            return e.IncidentTriggered(
                **meta,
                number=0,
                title=TITLE,
                description=DESCRIPTION,
                severity="high",
                category="outage",
                response_target_s=3600,
                labels=LABELS,
            )
        case 2:
            return e.IncidentAcknowledged(**meta, note="I take it.")
        case 3:
            return e.ResponderAssigned(**meta, person_id=person)
        case 4:
            return e.InvestigationStarted(**meta)
        case 6:
            return e.SeverityChanged(**meta, severity="critical", previous="high", response_target_s=300)
        case 8:
            return e.IncidentResolved(**meta, note=NOTE)
        case _:
            return e.UpdatePosted(**meta, body=NOTE)


class View(PostgresTrackingRecorder):
    """The library's tracking, and a table with a row per incident."""

    def __init__(self, datastore: PostgresDatastore, **options: Any) -> None:
        super().__init__(datastore, **options)
        self.table = SQL("{}.{}").format(Identifier(datastore.schema), Identifier("case_view"))
        self.sql_create_statements.append(
            SQL(
                "create table if not exists {} (id uuid primary key, severity text, category text, status text,"
                " triggered_at timestamptz, acknowledged_at timestamptz, resolved_at timestamptz, updates int)"
            ).format(self.table)
        )
        self.insert = SQL("insert into {} values (%s, %s, %s, 'triggered', %s, null, null, 0)").format(self.table)
        self.acknowledge = SQL("update {} set status = 'acknowledged', acknowledged_at = %s where id = %s").format(
            self.table
        )
        self.count = SQL("update {} set updates = updates + 1 where id = %s").format(self.table)
        self.resolve = SQL("update {} set status = 'resolved', resolved_at = %s where id = %s").format(self.table)

    def change(self, statement: Any, values: Sequence[Any], tracking: Tracking) -> None:
        with self.datastore.transaction(commit=True) as cursor:
            cursor.execute(statement, values, prepare=True)
            self._insert_tracking(cursor, tracking)


class Cases(Projection[View]):
    """Keeps the view of the library's application."""

    seen = 0
    first = last = 0.0

    def process_event(self, domain_event: Any, tracking: Tracking) -> None:
        if Cases.seen == 0:
            Cases.first = time.perf_counter()
        id, at = domain_event.originator_id, domain_event.timestamp
        match domain_event:
            case Case.Triggered():
                row = (id, domain_event.severity, domain_event.category, at)
                self.view.change(self.view.insert, row, tracking)
            case Case.Acknowledged():
                self.view.change(self.view.acknowledge, (at, id), tracking)
            case Case.Updated():
                self.view.change(self.view.count, (id,), tracking)
            case Case.Resolved():
                self.view.change(self.view.resolve, (at, id), tracking)
            case Aggregate.Event():
                raise AssertionError(domain_event)
        Cases.seen += 1
        Cases.last = time.perf_counter()


class Desk(Application[UUID]):
    """The library's application whose log its runner projects."""


def fill_library(settings: dict[str, str], count: int) -> None:
    application = Desk(env=settings)
    for _ in range(count // 4):
        case = Case(TITLE, "high", "outage", DESCRIPTION, LABELS)
        case.acknowledge("I take it.")
        case.update(NOTE)
        case.resolve(NOTE)
        application.save(case)
    application.close()


def main() -> None:
    options = measure.arguments(__doc__).parse_args()
    count, of_library, rounds = (20_000, 300, 2) if options.quick else (100_000, 1_500, 4)
    spent: Counter[str] = Counter()
    with measure.database() as database:
        store = compose.open_store(database.dsn)
        began = time.perf_counter()
        fill(store, count)
        measure.note(f"{count:,} events written in {time.perf_counter() - began:.1f} s")
        settings = library_settings(database.owner_dsn)
        fill_library(settings, of_library)
        with (
            psycopg.connect(database.dsn, autocommit=True) as connection,
            psycopg.connect(database.owner_dsn, autocommit=True) as owner,
        ):
            owner.execute("vacuum analyze")
            compose.tune()

            def project(models: list[ReadModel], spent: Counter[str] | None = None) -> float:
                for model in compose.read_models():
                    for table in model.names:
                        connection.execute(f"drop table if exists read.{table}".encode())
                connection.execute("delete from read.checkpoints")
                ensure_tables(connection, models)
                owner.execute("checkpoint")
                read = store.read if spent is None else clocked("read and decode", store.read, spent)
                for model in models if spent is not None else ():
                    model.write = clocked(model.name, model.write, spent)  # type: ignore[method-assign,arg-type]
                runner = Runner(database.dsn, read, models)
                began = time.perf_counter()
                done = 0
                while batch := runner.step(connection):
                    done += batch
                took = time.perf_counter() - began
                assert done == count, done
                if spent is not None:
                    spent["all"] += took  # type: ignore[assignment]
                return count / took

            def read() -> float:
                owner.execute("checkpoint")
                began = time.perf_counter()
                done = position = 0
                while True:
                    rows = connection.execute(
                        "select notification_id, originator_id, originator_version, recorded_at, topic, state"
                        " from ledger.events where notification_id > %s order by notification_id limit %s",
                        (position, BATCH),
                        prepare=True,
                        binary=True,
                    ).fetchall()
                    for row in rows:
                        json.loads(row[5])
                    done += len(rows)
                    if len(rows) < BATCH:
                        break
                    position = rows[-1][0]
                assert done == count, done
                return count / (time.perf_counter() - began)

            def library() -> float:
                owner.execute("drop table if exists public.case_view, public.notification_tracking")
                owner.execute("drop table if exists public.cases_tracking")
                owner.execute("checkpoint")
                Cases.seen = 0
                with ProjectionRunner(
                    application_class=Desk, projection_class=Cases, view_class=View, env=settings
                ) as runner:
                    runner.wait(runner.app.recorder.max_notification_id(), timeout=120)
                assert Cases.seen == of_library, Cases.seen
                return (of_library - 1) / (Cases.last - Cases.first)

            facts = [model for model in compose.read_models() if model.name == "facts"]
            kinds: dict[str, Callable[[], float]] = {
                "all": lambda: project(compose.read_models()),
                "facts": lambda: project(facts),
                "read": read,
                "library": library,
            }
            if not options.quick:
                measure.rounds(1, {name: kinds[name] for name in ("read", "library")}, "events/s (to warm up)")
            samples = measure.rounds(rounds, kinds, "events/s")
            project(compose.read_models(), spent)
        store.close()
    measure.note("seconds of all: " + ", ".join(f"{part} {took:.2f}" for part, took in spent.items()))
    ratios = {
        "all/read": measure.ratio(samples["all"], samples["read"]),
        "facts/read": measure.ratio(samples["facts"], samples["read"]),
        "all/library": measure.ratio(samples["all"], samples["library"]),
        "facts/library": measure.ratio(samples["facts"], samples["library"]),
    }
    aims = {"all/read": ">= 0.15", "facts/library": ">= 40"}
    measure.finish("project", ratios, {**samples, "seconds_of_all": dict(spent)}, aims)


def clocked(name: str, work: Callable[..., Any], spent: Counter[str]) -> Callable[..., Any]:
    """The same, its time counted."""

    def timed(*arguments: Any) -> Any:
        began = time.perf_counter()
        try:
            return work(*arguments)
        finally:
            spent[name] += time.perf_counter() - began  # type: ignore[assignment]

    return timed


if __name__ == "__main__":
    main()
