"""The command line: `fandesk up` and everything else an operator types."""

import json
import logging
import socket
import sys
from functools import partial
from typing import Annotated, NoReturn

import psycopg
import typer
from pydantic import ValidationError

from commands.importers import NotThisFormat
from commands.importers.apart import ReaderDied
from fandesk import compose, first_start
from fandesk.account import EmbeddedPostgresError
from fandesk.apply_cli import apply_command
from fandesk.dead_letters_cli import dead_letters_app
from fandesk.demo import demo as demo_of
from fandesk.demo import fill
from fandesk.embedded import EmbeddedPostgres
from fandesk.export_cli import export_command
from fandesk.exporting import NotExported
from fandesk.import_cli import import_command
from fandesk.importing import NothingToImportInto
from fandesk.migrate import MigrationError
from fandesk.options import Data, Host, Json, Port
from fandesk.org_cli import org_app
from fandesk.organizing import CannotBe
from fandesk.person_cli import person_app
from fandesk.place import DEFAULT_DATA, NoData, begin, bring_up_to_date, config_of, database, is_external, ledger
from fandesk.progress import Say, progress
from fandesk.ready import is_ready
from fandesk.roles_cli import api, escalate, notify, project, relay
from fandesk.sandbox_cli import serve, whatsapp_sandbox
from fandesk.settings import Settings
from fandesk.supervisor import Role, Supervisor
from fandesk.team_cli import team_app
from projections.rebuild import HalfFailed, RebuildRefused, compare, rebuild

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="An event-sourced incident ledger.",
)
token_app = typer.Typer(no_args_is_help=True, help="API tokens.")
app.add_typer(token_app, name="token")
app.add_typer(dead_letters_app, name="dead-letters")
app.add_typer(org_app, name="org")
app.add_typer(person_app, name="person")
app.add_typer(team_app, name="team")
app.command(name="apply")(apply_command)
app.command(name="import")(import_command)
app.command(name="export")(export_command)
app.command()(whatsapp_sandbox)
for role in (api, project, notify, escalate, relay):
    app.command()(role)


REFUSALS = (
    MigrationError,
    EmbeddedPostgresError,
    RebuildRefused,
    HalfFailed,
    NotThisFormat,
    ReaderDied,
    NothingToImportInto,
    NotExported,
    NoData,
    CannotBe,
    compose.NoKafka,
)
"""What is told by its own words."""

FIRST_LINK = "To sign in the first time, within 24 hours and only once"
FIRST_TOKEN = "The first super admin's API token, shown only now"  # noqa: S105 - words, no token
SET_TOKEN = "the one in FANDESK_ADMIN_TOKEN"  # noqa: S105


def main() -> None:
    """Entry point. Exit status: 0 done, 1 refused or found bad, 2 wrong usage."""
    try:
        level = Settings().log_level
        logging.basicConfig(
            level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr
        )
        for chatty in ("uvicorn.error", "psycopg.pool", "httpx", "apprise"):
            logging.getLogger(chatty).setLevel(logging.WARNING)
        logging.getLogger("kafka").setLevel(logging.CRITICAL)  # our own words for an outage are enough, once
        app()
    except REFUSALS as refusal:
        _refuse(str(refusal))
    except ValidationError as wrong:
        _refuse("\n".join(f"FANDESK_{str(e['loc'][0]).upper()}: {e['msg']}" for e in wrong.errors()))
    except psycopg.errors.UndefinedTable:
        _refuse("The database has no schema of this product yet: run `fandesk migrate`.")
    except psycopg.OperationalError as away:
        _refuse(f"The database cannot be reached: {away}")
    except psycopg.ProgrammingError as wrong_address:
        _refuse(f"The database's address is wrong: {wrong_address}")
    except OSError as problem:
        _refuse(f"{problem.filename or 'A file'}: {problem.strerror or problem}")


@app.command()
def up(
    data: Data = None,
    host: Host = "127.0.0.1",
    port: Port = 8080,
    demo: Annotated[
        bool, typer.Option("--demo", help="With a sample organisation, and a phone that alerts arrive on.")
    ] = False,
) -> None:
    """Run everything on this machine."""
    settings = Settings()
    postgres = None if is_external(settings, data) else EmbeddedPostgres(data or DEFAULT_DATA)
    config = config_of(settings, postgres, host, port)
    _check_port(host, port)
    play = demo_of(config) if demo else None
    if play is not None:
        config = play.config
        _check_port("127.0.0.1", play.port)
    made: list[first_start.FirstStart] = []

    def prepare() -> None:
        bring_up_to_date(config)
        first = begin(config, settings)
        compose.prepare_read_models(config)
        compose.forget_followers(config)
        if play is not None:
            fill(config)
        made.extend([first] if first else [])

    def ready() -> bool:
        if not is_ready(config):
            return False
        say(f"FanDesk Incidents {compose.VERSION} answers on {config.public_url}")
        show_token()
        if play is not None:
            say(f"A phone to play with is on http://127.0.0.1:{play.port}: trigger something critical, then look.")
        return True

    def show_token() -> None:
        for first in made:
            say(f"{FIRST_LINK}: {config.public_url}/auth/link/{first.link}")
            say(f"{FIRST_TOKEN}: {first.token if settings.admin_token is None else SET_TOKEN}")
        made.clear()

    say = Say()
    roles = [
        Role("project", lambda: compose.run_projector(config)),
        Role("notify", lambda: compose.run_notify(config)),
        Role("escalate", lambda: compose.run_escalate(config)),
        Role("api", lambda: compose.run_api(config)),
    ]
    if play is not None:
        roles.append(Role("sandbox", lambda: serve(play.sandbox, "127.0.0.1", play.port)))
    if config.kafka is not None:
        roles.append(Role("relay", lambda: compose.run_relay(config)))
    try:
        raise SystemExit(Supervisor(roles, postgres=postgres, say=say, prepare=prepare).run(ready))
    finally:
        show_token()  # where it never came to serve: the token is made, and is not shown another time


@app.command(name="migrate")
def migrate_command(data: Data = None, as_json: Json = False) -> None:
    """Bring the schema up to date, and make the first organisation where there is none. Safe to run twice, and
    from two processes at once."""
    settings = Settings()
    with database(data, up_to_date=False) as config:
        done = bring_up_to_date(config)
        compose.prepare_read_models(config)
        compose.forget_followers(config)  # one that runs is heard of again at once
        first = begin(config, settings)
    result: dict[str, object] = {"migrated": done}
    words = f"{len(done)} migrations run." if done else "The schema is up to date."
    if first is not None:
        result["token"] = first.token if settings.admin_token is None else None
        result["link"] = f"{config.public_url}/auth/link/{first.link}"
        words += f"\n{FIRST_LINK}: {result['link']}\n{FIRST_TOKEN}: {result['token'] or SET_TOKEN}"
    _tell(result, as_json, words)


@app.command(name="rebuild")
def rebuild_command(
    models: Annotated[list[str] | None, typer.Argument(help="Read models; all of them without one.")] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Compare a rebuild with the live tables, switch nothing.")
    ] = False,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Make read models anew from the ledger, beside the live ones, and switch at once."""
    known = {model.name: model for model in compose.read_models()}
    unknown = set(models or ()) - known.keys()
    if unknown:
        raise typer.BadParameter(
            f"no such read model: {', '.join(sorted(unknown))}. There are {', '.join(known)}."
        )
    chosen = [known[name] for name in models] if models else list(known.values())
    names = [model.name for model in chosen]
    compose.tune()
    with database(data) as config, ledger(config) as store:
        compose.prepare_read_models(config)
        reading = partial(compose.reading, config.dsn)
        with progress("Rebuilding " + ", ".join(names), quiet=as_json) as advance:
            if not check:
                rebuild(config.dsn, store.read, chosen, advance, reading=reading)
                _tell({"rebuilt": names}, as_json, f"Rebuilt {', '.join(names)}.")
                return
            compose.catch_up(config, store)
            differences = compare(config.dsn, store.read, chosen, advance, reading=reading)
    bad = [difference for difference in differences if difference.only_live or difference.only_rebuilt]
    words = "\n".join(
        f"{d.table}: {d.only_live} rows only in the live table, {d.only_rebuilt} only in the rebuilt one"
        for d in bad
    )
    _tell({"differences": [d._asdict() for d in differences]}, as_json, words or "Live and rebuilt are identical.")
    if bad:
        raise SystemExit(1)


@app.command()
def dsn(data: Data = None) -> None:
    """Print the database's address, with the program's own rights."""
    settings = Settings()
    postgres = None if is_external(settings, data) else EmbeddedPostgres(data or DEFAULT_DATA)
    typer.echo(config_of(settings, postgres).dsn)


@token_app.command(name="create")
def token_create(
    person: Annotated[str, typer.Argument(help="The person's name; added if new.")] = "Super admin",
    role: Annotated[
        str, typer.Option(help="super_admin, org_admin, responder or member, where the person is new.")
    ] = "responder",
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Make an API token for a person of the first organisation. It is shown once."""
    if not person.strip():
        raise typer.BadParameter("must not be blank", param_hint="PERSON")
    if role not in ("super_admin", "org_admin", "responder", "member"):
        raise typer.BadParameter("must be super_admin, org_admin, responder or member", param_hint="--role")
    with database(data) as config, psycopg.connect(config.dsn) as connection:
        row = connection.execute("select id from access.organizations order by created_at limit 1").fetchone()
        if row is None:
            _refuse("There is no organisation yet: run `fandesk migrate`.")
        token = first_start.add_token(connection, row[0], person, role)
    _tell({"token": token, "person": person}, as_json, token)


@app.command()
def doctor(data: Data = None, as_json: Json = False) -> None:
    """Look whether the installation is sound, and say what is not."""
    from fandesk.doctor import examine

    with database(data) as config:
        findings = examine(config)
    words = "\n".join(f"{'ok ' if f.ok else 'BAD'} {f.what}" for f in findings)
    _tell({"findings": [f._asdict() for f in findings]}, as_json, words)
    if not all(f.ok for f in findings):
        raise SystemExit(1)


def _check_port(host: str, port: int) -> None:
    """Refuse at once what would only fail later, again and again."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as problem:
            _refuse(f"Cannot listen on {host}:{port}: {problem.strerror}. Choose another with --port.")


def _tell(result: object, as_json: bool, words: str) -> None:
    typer.echo(json.dumps(result) if as_json else words)


def _refuse(why: str) -> NoReturn:
    typer.echo(why, err=True)
    raise SystemExit(1)
