"""A file of another tool's history into the ledger, with its people, and a report."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import psycopg

from commands.importers import gcp_status, opsgenie, pagerduty, servicenow, statuspage
from commands.importers.report import Report
from commands.importers.run import run
from fandesk.compose import Config, open_store

FORMATS = {
    "servicenow": servicenow.read_incidents,
    "statuspage": statuspage.read_incidents,
    "gcp-status": gcp_status.read_incidents,
    "pagerduty": pagerduty.read_incidents,
    "opsgenie": opsgenie.read_incidents,
}
"""What can be imported: a name, and what reads incidents of an organisation from an open file."""


class NothingToImportInto(Exception):
    """There is no such organisation; the text says what to do."""


def import_file(
    config: Config,
    format: str,
    path: Path,
    organization: str | None = None,
    *,
    dry_run: bool,
    advance: Callable[[int, int], None],
) -> Report:
    """Import; safe to interrupt at any moment and to run again. `advance` is told bytes read, and of how many.

    organization: its name or id; None: the only one. Raises NothingToImportInto.
    """
    store = open_store(config.dsn)
    try:
        with psycopg.connect(config.dsn) as connection, _open(path) as file:
            organization_id = organization_named(connection, organization, one=True)
            connection.commit()
            size = path.stat().st_size if str(path) != "-" else 0
            report = run(
                FORMATS[format](file, organization_id),
                store,
                dry_run=dry_run,
                progress=lambda _: advance(_place(file), size),
            )
            if not dry_run:
                _add_people(connection, organization_id, report)
    finally:
        store.close()
    return report


@contextmanager
def _open(path: Path) -> Iterator[BufferedReader]:
    if str(path) == "-":
        yield cast(BufferedReader, sys.stdin.buffer)
        return
    with path.open("rb") as file:
        yield file


def _place(file: BufferedReader) -> int:
    """How far it was read, by whichever process; standard input cannot tell."""
    try:
        return os.lseek(file.fileno(), 0, os.SEEK_CUR)
    except OSError:
        return 0


def organization_named(connection: psycopg.Connection[Any], named: str | None, *, one: bool = False) -> UUID:
    """The organisation of that name or id; without one, the first, or with `one` the only one. Raises
    NothingToImportInto."""
    found = connection.execute("select id, name from access.organizations order by created_at").fetchall()
    if one and named is None and len(found) > 1:
        names = ", ".join(f"{name} ({id})" for id, name in found)
        raise NothingToImportInto(
            f"There are several organisations: name one with --organization. There are {names}."
        )
    for id, name in found:
        if named is None or named in (str(id), name):
            return cast(UUID, id)
    if not found:
        raise NothingToImportInto("There is no organisation yet: run `fandesk up` once.")
    raise NothingToImportInto(
        f"There is no organisation {named}. There are {', '.join(name for _, name in found)}."
    )


def _add_people(connection: psycopg.Connection[Any], organization_id: UUID, report: Report) -> None:
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
        f"  {report.incidents_completed} incidents were there in part and were completed",
        f"  {report.already_there} incidents were there already",
        f"  {report.updates_kept} rows kept as timeline updates, {report.reopenings} reopenings",
        f"  {report.out_of_place} rows came after later ones were there already: kept as timeline updates",
        f"  {len(report.people)} people named",
        f"  {len(report.resolved_by_closing)} incidents were closed without a resolve, which resolves them here:",
        *(f"    {reference}" for reference in report.resolved_by_closing),
        f"  {len(report.left_open)} incidents have an end but nothing that resolves them, so they stay open here:",
        *(f"    {reference}" for reference in report.left_open),
        f"  {len(report.unknown)} words mean nothing here:",
        *(f"    {word}: {times} times" for word, times in report.unknown.items()),
        f"  {report.rows_left_out} rows left out by rule:",
        *_places(report.left_out),
        f"  {report.rows_unreadable} rows could not be read:",
        *_places(report.unreadable),
    ]
    return "\n".join(lines)


def _places(places: list[tuple[int, str]]) -> Iterator[str]:
    return (f"    line or item {line}: {reason}" for line, reason in places)
