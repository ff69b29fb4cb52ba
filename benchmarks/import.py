"""Events per second of `fandesk import` (read, map, encode, write), against writing the same events by raw COPY.

ours: a ServiceNow log of the benchmark's own making through the same `run` as the command's, into an empty ledger.
copy: the very events that ours wrote, encoded already, by binary COPY into a table with the ledger's columns and
indexes. bare: the same into a table with no index but its identity key. Each round has a database of its own.
Memory is the peak of a process that imports.
"""

import os
import resource
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.dirname(sys.path.pop(0) + os.sep)))

import psycopg

from benchmarks import measure
from commands.importers import servicenow
from commands.importers.run import run
from fandesk import compose

ORGANIZATION = UUID(int=1)
COLUMNS = "notification_id, originator_id, originator_version, organization_id, topic, state, recorded_at"
STATES = ("New", "Active", "Active", "Awaiting User Info", "Active", "Resolved", "Closed")


def make_log(path: Path, incidents: int) -> None:
    """A ServiceNow log: about six rows per incident, as the real one has."""
    columns = (
        "number,incident_state,caller_id,opened_at,sys_updated_by,sys_updated_at,contact_type,location,category,"
        "subcategory,u_symptom,impact,urgency,priority,assignment_group,assigned_to,made_sla,notify"
    )
    with path.open("w") as file:
        file.write(columns + "\n")
        for n in range(incidents):
            day, month = n % 28 + 1, n // 28 % 12 + 1
            for row, state in enumerate(STATES[: 5 + n % 3] + STATES[6:]):
                cells = (
                    *(f"INC{n:07}", state, f"Caller {n % 5000}", f"{day}/{month}/2016 0{n % 10}:1{n % 10}"),
                    *(f"Updated by {(n + row) % 700}", f"{day}/{month}/2016 1{row}:{n % 60:02}", "Phone"),
                    *(f"Location {n % 200}", f"Category {n % 50}", f"Subcategory {n % 250}", f"Symptom {n % 500}"),
                    *("2 - Medium", "2 - Medium", "3 - Moderate", f"Group {(n + row // 3) % 70}"),
                    *(f"Resolver {(n + row // 2) % 200}", "true", "Do Not Notify"),
                )
                file.write(",".join(cells) + "\n")


def imported(path: Path, dsn: str) -> float:
    """Events per second."""
    store = compose.open_store(dsn)
    began = time.perf_counter()
    with path.open("rb") as file:
        report = run(servicenow.read_incidents(file, ORGANIZATION), store)
    took = time.perf_counter() - began
    store.close()
    return report.events_written / took


def copied(rows: list[tuple[Any, ...]], dsn: str, table: str) -> float:
    """Events per second."""
    with psycopg.connect(dsn, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute(f"truncate {table}")
        began = time.perf_counter()
        names = COLUMNS.removeprefix("notification_id, ")
        with cursor.copy(f"copy {table} ({names}) from stdin (format binary)") as copy:
            copy.set_types(["uuid", "int8", "uuid", "text", "bytea", "timestamptz"])
            for row in rows:
                copy.write_row(row)
        return len(rows) / (time.perf_counter() - began)


def main() -> None:
    options = measure.arguments(__doc__).parse_args()
    count, incidents = (3, 1500) if options.quick else (7, 12000)
    compose.tune()
    with measure.folder() as folder:
        log = folder / "log.csv"
        make_log(log, incidents)
        samples: dict[str, list[float]] = {"ours": [], "copy": [], "bare": []}
        rows: list[tuple[Any, ...]] = []
        before_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        for _ in range(count + 1):
            with measure.database() as database:
                with psycopg.connect(database.owner_dsn, autocommit=True) as connection:
                    connection.execute("create table copy_events (like ledger.events including all)")
                    connection.execute(
                        "create table bare_events (like ledger.events including identity);"
                        "alter table bare_events add primary key (notification_id)"
                    )
                measured = {
                    "ours": partial(imported, log, database.dsn),
                    "copy": partial(copied, rows, database.owner_dsn, "copy_events"),
                    "bare": partial(copied, rows, database.owner_dsn, "bare_events"),
                }
                if not rows:  # the first time is not counted: it gives the events to copy
                    measured["ours"]()
                    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
                    with (
                        psycopg.connect(database.owner_dsn) as connection,
                        connection.cursor(binary=True) as cursor,
                    ):
                        query = f"select {COLUMNS.removeprefix('notification_id, ')} from ledger.events"
                        rows = cursor.execute(query + " order by notification_id").fetchall()
                    continue
                for name, values in measure.rounds(1, measured, "events/s").items():
                    samples[name] += values
    ratios = {
        "ours/copy": measure.ratio(samples["ours"], samples["copy"]),
        "ours/bare": measure.ratio(samples["ours"], samples["bare"]),
        "peak/400MB": peak_mb / 400,
    }
    aims = {"ours/copy": ">= 0.3", "peak/400MB": "<= 1"}
    memory = {"before_mb": before_mb, "peak_mb": peak_mb, "events": len(rows)}
    measure.finish("import", ratios, {**samples, **memory}, aims)


if __name__ == "__main__":
    main()
