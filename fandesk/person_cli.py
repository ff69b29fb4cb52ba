"""`fandesk person`: who belongs to an organisation, and what they may do, for first set-up."""

import json
from typing import Annotated, Any, get_args

import psycopg
import typer

from api.erasing import keep_a_super_admin, remove_rows
from commands.ids import new_id
from domain import organization_events as o
from domain.access import grant
from domain.access import remove as take_access
from domain.decisions import Request
from domain.organization import Organization as State
from domain.organization_decisions import Events
from domain.organization_uses import not_counted_on
from fandesk.options import Data, Json, Organization
from fandesk.organizing import Person, email_free, insert_person, meant, opened

person_app = typer.Typer(no_args_is_help=True, help="People and their roles.")

Who = Annotated[str, typer.Argument(help="An e-mail address, a name or an id.")]
RoleName = Annotated[str, typer.Option(help="super_admin, org_admin, responder or member.")]


@person_app.command()
def add(
    name: Annotated[str, typer.Argument(help="What they are called.")],
    email: Annotated[str | None, typer.Option(help="Their e-mail address.")] = None,
    role: RoleName = "responder",
    organization: Organization = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Add somebody to an organisation."""
    wanted, id, name = _role(role), new_id(), name.strip()
    if not 1 <= len(name) <= 100:
        raise typer.BadParameter("must have 1 to 100 characters", param_hint="NAME")

    with opened(data, organization) as place:
        place.change(
            lambda now, request: grant(request, now, id, wanted, None),
            lambda cursor: insert_person(cursor, place.id, Person(id, name, email, wanted)),
        )
    _tell(Person(id, name, email, role), as_json, f"{name} is there as {role}.")


@person_app.command(name="list")
def list_people(organization: Organization = None, data: Data = None, as_json: Json = False) -> None:
    """Everybody of an organisation."""
    with opened(data, organization) as place:
        people = place.people()
    if as_json:
        typer.echo(json.dumps({"people": [_shown(person) for person in people]}))
        return
    for person in people:
        typer.echo(f"{person.role:12} {person.name}{f' <{person.email}>' if person.email else ''}  {person.id}")


@person_app.command()
def role(
    who: Who,
    role: Annotated[str, typer.Argument(help="super_admin, org_admin, responder or member.")],
    organization: Organization = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Give somebody another role; who was removed has access again."""
    wanted = _role(role)
    with opened(data, organization) as place:
        person = meant(who, place.everybody())
        held = _role(person.role) if person.has_access else None

        def decide(now: State, request: Request) -> Events:
            if role == "member":
                not_counted_on(now, person.id, person.name, request.asked_at)
            return grant(request, now, person.id, wanted, held)

        def write(cursor: psycopg.Cursor[Any]) -> None:
            if role != "super_admin":
                keep_a_super_admin(cursor, person.id)
            with email_free(cursor, person.email, person.id):
                cursor.execute(_SET_ROLE, (role, person.id, place.id))

        place.change(decide, write)
    _tell(person._replace(role=role), as_json, f"{person.name} is {role}.")


@person_app.command()
def remove(who: Who, organization: Organization = None, data: Data = None, as_json: Json = False) -> None:
    """Take all access from somebody: tokens, sessions, links, alerts. Their name stays on what they did."""
    with opened(data, organization) as place:
        person = place.person(who)

        def decide(now: State, request: Request) -> Events:
            not_counted_on(now, person.id, person.name, request.asked_at)
            return take_access(request, now, person.id, _role(person.role))

        def write(cursor: psycopg.Cursor[Any]) -> None:
            keep_a_super_admin(cursor, person.id)
            remove_rows(cursor, person.id)

        place.change(decide, write)
    _tell(person._replace(has_access=False), as_json, f"{person.name} has no access any more.")


def _role(role: str) -> o.Role:
    found: o.Role | None = next((known for known in get_args(o.Role) if known == role), None)
    if found is None:
        raise typer.BadParameter("must be super_admin, org_admin, responder or member", param_hint="ROLE")
    return found


def _shown(person: Person) -> dict[str, Any]:
    role = person.role if person.has_access else None
    return {"id": str(person.id), "name": person.name, "email": person.email, "role": role}


def _tell(person: Person, as_json: bool, words: str) -> None:
    typer.echo(json.dumps(_shown(person)) if as_json else words)


_SET_ROLE = "update access.people set role = %s, disabled_at = null where id = %s and organization_id = %s"
