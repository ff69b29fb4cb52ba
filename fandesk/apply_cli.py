"""`fandesk apply`: an organisation's teams, rules, schedules and policies as a file says."""

import json
from pathlib import Path
from typing import Annotated

import typer

from domain.decisions import Request
from domain.organization import Organization as State
from domain.organization_decisions import Events
from fandesk.apply import Applying, Difference, differences
from fandesk.apply_file import Document
from fandesk.options import Data, Json, Organization
from fandesk.organizing import CannotBe, opened, request_of


def apply_command(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="YAML; see docs/on-call.md.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the differences; change nothing.")] = False,
    prune: Annotated[bool, typer.Option("--prune", help="Remove what the file's sections do not list.")] = False,
    organization: Organization = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Make an organisation's teams, rules, schedules and policies so, in one change, the differences shown first.

    Asks nothing. A second run finds nothing to change. What the file does not mention is left alone.
    """
    try:
        document = Document(file.name, file.read_text("utf-8"))
    except UnicodeDecodeError as wrong:
        raise CannotBe(f"{file.name}: is not UTF-8 text") from wrong
    with opened(data, organization) as place:
        people = place.people()
        wanted = document.wanted(people)
        if wanted.organization is not None and wanted.organization != place.name:
            why = f"is {wanted.organization}, but this is {place.name}"
            raise document.wrong(("organization",), why)
        applying = Applying(document, wanted, {p.id: p.role for p in people}, prune)
        names = {person.id: person.name for person in people}
        found: list[Difference] = []

        def decide(now: State, request: Request) -> Events:
            events = applying.events(now, request)
            found[:] = differences(now, events, names)
            return events

        if not dry_run:
            decide(place.organization(), request_of(place.id))
            if found and not as_json:
                _show(found)  # before anything is changed
            place.change(decide)
        else:
            decide(place.organization(), request_of(place.id))
            if not as_json:
                _show(found)
    if as_json:
        told = [difference._asdict() for difference in found]
        changed = bool(found) and not dry_run
        typer.echo(json.dumps({"changed": changed, "differences": told, "passed_over": applying.passed_over}))
        return
    for name in applying.passed_over:
        typer.echo(f"The maintenance window {name} is over and is not announced.")
    if not found:
        typer.echo("There is nothing to change.")
        return
    count = f"{len(found)} difference{'' if len(found) == 1 else 's'}"
    typer.echo(f"{count}. Nothing was changed (--dry-run)." if dry_run else f"{count}, applied.")


def _show(found: list[Difference]) -> None:
    for difference in found:
        for line in difference.lines:
            typer.echo(line)
