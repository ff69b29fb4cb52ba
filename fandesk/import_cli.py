"""`fandesk import`: the command line of an import."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from fandesk import compose
from fandesk.importing import FORMATS, import_file, words
from fandesk.options import Data, Json, Organization
from fandesk.place import database, ledger
from fandesk.progress import progress


def _there(file: Path) -> Path:
    """A file, or `-`: typer's own check looks for a file of that name."""
    if str(file) != "-" and not file.is_file():
        raise typer.BadParameter(f"there is no file {file}")
    return file


History = Annotated[
    Path,
    typer.Argument(callback=_there, help="JSON, JSON Lines or CSV, also gzip; or -"),
]


def import_command(
    format: Annotated[str, typer.Argument(help=", ".join(FORMATS))],
    file: History,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Read, map and report; write nothing.")] = False,
    organization: Organization = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Take over the history of another tool. Safe to interrupt and to run again: nothing is doubled.

    Exit status 0 where all was taken, left out by rule or there already; 1 where something could not be read.
    """
    if format not in FORMATS:
        raise typer.BadParameter(f"must be one of {', '.join(FORMATS)}", param_hint="FORMAT")
    compose.tune()
    name = "standard input" if str(file) == "-" else file.name
    with database(data) as config:
        with progress(f"Importing {name}", unit="bytes", quiet=as_json) as advance:
            report = import_file(config, format, file, organization, dry_run=dry_run, advance=advance)
        if not dry_run:
            compose.prepare_read_models(config)
            with ledger(config) as store:
                compose.catch_up(config, store)
    if as_json:
        shown = {name: value for name, value in asdict(report).items() if name != "people"}
        typer.echo(json.dumps({**shown, "people": len(report.people)}))
    else:
        typer.echo(words(report))
    if report.unreadable:
        sys.exit(1)
