"""`fandesk import`: a file of another tool's history into the ledger, with its people, and a report."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg

from commands.importers import servicenow
from commands.importers.run import Report, run
from fandesk.compose import Config, open_store

FORMATS = {"servicenow": servicenow.read_incidents}
"""What can be imported: a name, and what reads incidents of an organisation from an open file."""


class NothingToImportInto(Exception):
    """There is no organisation yet."""


def import_file(
    config: Config, format: str, path: Path, *, dry_run: bool, advance: Callable[[int, int], None]
) -> Report:
    """Import; safe to interrupt at any moment and to run again. `advance` is told bytes read, and of how many."""
    store = open_store(config.dsn)
    try:
        with psycopg.connect(config.dsn) as connection, path.open("rb") as file:
            row = connection.execute("select id from access.organizations order by created_at limit 1").fetchone()
            connection.commit()
            if row is None:
                raise NothingToImportInto("There is no organisation yet: run `fandesk up` once.")
            size = path.stat().st_size
            report = run(
                FORMATS[format](file, row[0]),
                store,
                dry_run=dry_run,
                progress=lambda _: advance(file.tell(), size),
            )
            if not dry_run:
                _add_people(connection, row[0], report)
    finally:
        store.close()
    return report


def _add_people(connection: psycopg.Connection[Any], organization_id: object, report: Report) -> None:
    """Names live outside the ledger; who comes with an import may see nothing until an admin says so."""
    with connection.cursor() as cursor:
        cursor.executemany(
            "insert into access.people (id, organization_id, name, role) values (%s, %s, %s, 'member')"
            " on conflict (id) do nothing",
            [(id, organization_id, name) for id, name in report.people.items()],
        )


def words(report: Report) -> str:
    """The report for people: all that was read is accounted for."""
    lines = [
        f"{report.rows_read} rows read, {report.incidents} incidents"
        + (" (a dry run: nothing was written)" if report.dry_run else ""),
        f"  {report.incidents_taken} incidents taken, {report.events_written} events written",
        f"  {report.already_there} incidents were there already",
        f"  {report.updates_kept} rows kept as timeline updates, {report.reopenings} reopenings",
        f"  {len(report.people)} people named",
        f"  {len(report.resolved_by_closing)} incidents were closed without a resolve, which resolves them here:",
        *(f"    {reference}" for reference in report.resolved_by_closing),
        f"  {report.rows_unreadable} rows could not be read:",
        *(f"    line {line}: {reason}" for line, reason in report.unreadable),
    ]
    return "\n".join(lines)
