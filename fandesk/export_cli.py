"""`fandesk export`: the command line of an export."""

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import psycopg
import typer

from api.tables import Format
from fandesk import compose
from fandesk.exporting import LISTS, NotExported, export, export_ledger
from fandesk.importing import organization_named
from fandesk.options import Data, Organization
from fandesk.place import database, ledger

WHAT = ("ledger", *LISTS)


def export_command(
    what: Annotated[str, typer.Argument(help=", ".join(WHAT))],
    incident: Annotated[str | None, typer.Argument(help="Its number or id, for what is of one incident.")] = None,
    format: Annotated[str, typer.Option(help="csv or jsonl")] = "csv",
    out: Annotated[Path | None, typer.Option(help="A file; else standard output.")] = None,
    query: Annotated[
        list[str] | None, typer.Option(help="A filter as over HTTP, such as severity=critical; may be repeated.")
    ] = None,
    organization: Organization = None,
    data: Data = None,
) -> None:
    """Write a list, figures or the whole ledger as CSV or JSON Lines. A file appears when it is complete."""
    if what not in WHAT:
        raise typer.BadParameter(f"must be one of {', '.join(WHAT)}", param_hint="WHAT")
    if format not in ("csv", "jsonl"):
        raise typer.BadParameter("must be csv or jsonl", param_hint="--format")
    of_incident = "{}" in LISTS.get(what, "")
    if of_incident != (incident is not None):
        why = f"{what} needs an incident" if of_incident else f"{what} takes no incident"
        raise typer.BadParameter(why, param_hint="INCIDENT")
    pairs = [(name, value) for name, _, value in (each.partition("=") for each in query or ())]
    chosen: Format = "csv" if format == "csv" else "jsonl"
    with database(data) as config:
        with psycopg.connect(config.dsn) as connection:
            organization_id = organization_named(connection, organization)
        part = out.with_name(out.name + ".part") if out is not None else None
        file = part.open("wb") if part is not None else sys.stdout.buffer
        try:
            if what == "ledger":
                export_ledger(config.dsn, organization_id if organization else None, chosen, file.write)
            else:
                compose.prepare_read_models(config)
                with ledger(config) as store:
                    compose.catch_up(config, store)
                path = LISTS[what].format(incident)
                asyncio.run(export(config, organization_id, path, pairs, chosen, file.write))
            file.flush()
        except NotExported:
            if part is not None:
                part.unlink()
            raise
        finally:
            if part is not None:
                file.close()
        if part is not None and out is not None:
            part.replace(out)
