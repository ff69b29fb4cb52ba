"""How long it takes to load an incident of 500 events, against a raw cursor over the same rows.

ours: `LedgerRecorder.load` and `domain.incident.fold`. raw: one prepared SELECT of the same columns of the same
rows, all fetched, and `json.loads` of each. Both in this process with its settings. The ratio, of times, is the
median of the rounds' ratios.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.dirname(sys.path.pop(0) + os.sep)))

import psycopg

from benchmarks import measure
from commands.append import Append, NewEvent
from commands.event_store import LedgerRecorder
from commands.ids import new_id
from domain import events as e
from domain.decisions import Meta
from domain.incident import fold
from fandesk import compose

EVENTS = 500
BESIDES = 200
"""Other incidents in the ledger, of few events."""


def write_incident(store: LedgerRecorder, organization_id: UUID, length: int) -> UUID:
    """An incident that goes through everything again and again, with mostly updates."""
    id = new_id()
    meta: Meta = {
        "organization_id": organization_id,
        "actor": e.Actor(kind="person", id=new_id()),
        "occurred_at": datetime.now(UTC) - timedelta(days=1),
        "correlation_id": new_id(),
        "causation_id": new_id(),
    }
    cycle: list[Callable[[Meta], e.IncidentEvent]] = [
        lambda m: e.IncidentAcknowledged(**m, note="I take it."),
        lambda m: e.InvestigationStarted(**m),
        lambda m: e.UpdatePosted(**m, body="The error rate falls since the release was taken back in one region."),
        lambda m: e.SeverityChanged(**m, severity="critical", previous="high", response_target_s=300),
        lambda m: e.UpdatePosted(**m, body="The second region follows; 5 % of the orders are still refused."),
        lambda m: e.AlertReceived(**m, count=12, first_at=m["occurred_at"], last_at=m["occurred_at"]),
        lambda m: e.UpdatePosted(**m, body="All orders go through."),
        lambda m: e.IncidentResolved(**m, note="The release was taken back."),
        lambda m: e.IncidentReopened(**m, reason="It is back."),
    ]
    opened = e.IncidentTriggered(
        **meta,
        number=0,
        title="Checkout answers with errors in two regions",
        severity="high",
        category="outage",
        response_target_s=3600,
        labels={"service": "checkout", "region": "eu-west-1"},
    )
    events: list[NewEvent] = [NewEvent(id, 1, opened)]
    for version in range(2, length + 1):
        meta["occurred_at"] += timedelta(seconds=30)
        events.append(NewEvent(id, version, cycle[version % len(cycle)](meta)))
    (result,) = store.append([Append(events=events, opens=True)])
    assert result.outcome == "appended", result
    return id


def main() -> None:
    options = measure.arguments(__doc__).parse_args()
    count, loads = (5, 10) if options.quick else (31, 40)
    with measure.database() as database:
        store = compose.open_store(database.dsn)
        organization_id = new_id()
        for _ in range(BESIDES):
            write_incident(store, organization_id, 6)
        id = write_incident(store, organization_id, EVENTS)
        with psycopg.connect(database.owner_dsn, autocommit=True) as connection:
            connection.execute("vacuum analyze ledger.events")
            compose.tune()

            def ours() -> None:
                incident = fold(id, (entry.event for entry in store.load([id]).streams[id]))
                assert incident is not None and incident.version == EVENTS

            def raw() -> None:
                cursor = connection.execute(
                    "select notification_id, originator_id, originator_version, recorded_at, topic, state"
                    " from ledger.events where originator_id = %s order by originator_version",
                    (id,),
                    prepare=True,
                    binary=True,
                )
                decoded = [json.loads(row[5]) for row in cursor.fetchall()]
                assert len(decoded) == EVENTS

            def timed(work: Callable[[], None]) -> float:
                began = time.perf_counter()
                for _ in range(loads):
                    work()
                return 1000 * (time.perf_counter() - began) / loads

            kinds = {"ours": lambda: timed(ours), "raw": lambda: timed(raw)}
            measure.rounds(1, kinds, "ms (to warm up)")
            samples = measure.rounds(count, kinds, "ms")
        store.close()
    ratios = {"ours/raw": measure.ratio(samples["ours"], samples["raw"])}
    measure.finish("replay", ratios, samples, {"ours/raw": "<= 3"})


if __name__ == "__main__":
    main()
