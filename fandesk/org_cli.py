"""`fandesk org`: organisations, for first set-up."""

import json
from typing import Annotated, Any

import psycopg
import typer

from commands.ids import new_id
from commands.organizations import Organizations
from domain.access import grant
from fandesk.options import Data, Json, Organization
from fandesk.organizing import CannotBe, Person, insert_person, opened, request_of
from fandesk.place import database, ledger

org_app = typer.Typer(no_args_is_help=True, help="Organisations.")


@org_app.command()
def show(organization: Organization = None, data: Data = None, as_json: Json = False) -> None:
    """What there is in an organisation."""
    with opened(data, organization) as place:
        now, people = place.organization(), place.people()
    told: dict[str, Any] = {
        "id": str(place.id),
        "name": place.name,
        "version": now.version,
        "people": len(people),
        "teams": sorted(now.teams),
        "rules": [rule.name for rule in now.rules],
        "default_team": now.default_team,
        "schedules": sorted(now.schedules),
        "policies": sorted(now.policies),
        "maintenance_windows": sorted(window.name for window in now.windows.values()),
        "response_targets": dict(now.targets),
    }
    if as_json:
        typer.echo(json.dumps(told))
        return
    for name, value in told.items():
        shown = value if not isinstance(value, list) else ", ".join(value) or "none"
        shown = ", ".join(f"{k} {v} s" for k, v in shown.items()) if isinstance(shown, dict) else shown
        typer.echo(f"{name.replace('_', ' ')}: {'none' if shown is None else shown}")


@org_app.command()
def rename(
    name: Annotated[str, typer.Argument(help="Its new name.")],
    organization: Organization = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Give an organisation another name."""
    name = _written(name)
    with opened(data, organization) as place:
        place.connection.execute("update access.organizations set name = %s where id = %s", (name, place.id))
    typer.echo(json.dumps({"id": str(place.id), "name": name}) if as_json else f"{place.name} is now {name}.")


@org_app.command()
def create(
    name: Annotated[str, typer.Argument(help="What it is called.")],
    admin: Annotated[str, typer.Option(help="Its first admin's name.")],
    email: Annotated[str | None, typer.Option(help="The admin's e-mail address.")] = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Make an organisation and its first admin."""
    name, admin = _written(name), _written(admin)
    id, person = new_id(), new_id()

    def write(cursor: psycopg.Cursor[Any]) -> None:
        cursor.execute("insert into access.organizations (id, name) values (%s, %s)", (id, name))
        insert_person(cursor, id, Person(person, admin, email, "org_admin"))

    with database(data) as config, ledger(config) as store:
        with psycopg.connect(config.dsn) as connection:
            if connection.execute("select 1 from access.organizations where name = %s", (name,)).fetchone():
                raise CannotBe(f"There is an organisation “{name}” already.")
        Organizations(store).change(id, lambda now: grant(request_of(id), now, person, "org_admin", None), write)
    told = {"id": str(id), "name": name, "admin": str(person)}
    typer.echo(json.dumps(told) if as_json else f"{name} is there; its admin is {admin}.")


def _written(name: str) -> str:
    if not name.strip() or len(name) > 100:
        raise typer.BadParameter("must have 1 to 100 characters")
    return name.strip()
