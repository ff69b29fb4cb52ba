"""`fandesk dead-letters`: what could not be handled, and having it handled once more."""

import json
from typing import Annotated

import psycopg
import typer

from domain.words import rfc3339
from fandesk.options import Data, Json
from fandesk.place import database
from workers.stream.dead_letters import DeadLetter, all_of, resend

dead_letters_app = typer.Typer(help="What consumers could not handle.")


@dead_letters_app.callback(invoke_without_command=True)
def dead_letters(context: typer.Context, data: Data = None, as_json: Json = False) -> None:
    """List what consumers could not handle, and why; `resend` has it handled once more."""
    if context.invoked_subcommand is not None:
        return
    with database(data) as config, psycopg.connect(config.dsn) as connection:
        letters = all_of(connection)
    if as_json:
        typer.echo(json.dumps({"dead_letters": [_shown(letter) for letter in letters]}))
        return
    for letter in letters:
        typer.echo(_line(letter))
    if not letters:
        typer.echo("There are no dead letters.")


@dead_letters_app.command(name="resend")
def resend_command(
    ids: Annotated[list[int] | None, typer.Argument(help="Ids of dead letters.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Have dead letters handled once more by their running consumers; those that are, are gone from the list."""
    if everything == bool(ids):
        raise typer.BadParameter("name ids of dead letters, or --all", param_hint="ID...")
    with database(data) as config, psycopg.connect(config.dsn, autocommit=True) as connection:
        sent = resend(connection, None if everything else ids)
    missing = sorted(set(ids or ()) - set(sent))
    words = f"{len(sent)} dead letter{'' if len(sent) == 1 else 's'} to be handled once more."
    typer.echo(json.dumps({"resent": sent, "missing": missing}) if as_json else words)
    if missing:
        typer.echo(f"There is no dead letter {', '.join(map(str, missing))}.", err=True)
        raise SystemExit(1)


def _shown(letter: DeadLetter) -> dict[str, object]:
    return {
        **letter._asdict(),
        "key": (letter.key or b"").decode(errors="backslashreplace"),
        "body": letter.body.decode(errors="backslashreplace"),
        "failed_at": rfc3339(letter.failed_at),
    }


def _line(letter: DeadLetter) -> str:
    tries = f"tried {letter.tries} times, " if letter.tries > 1 else ""
    waits = ", waits to be handled once more" if letter.again else ""
    what = letter.headers.get("event-id") or (letter.key or b"").decode(errors="backslashreplace") or "?"
    where = f"{letter.source} {letter.partition}/{letter.place}, {tries}{rfc3339(letter.failed_at)}{waits}"
    return f"{letter.id}  {letter.consumer}  {what}  ({where}): {letter.reason}"
