"""People: who they are, what they may do, and their end. Every change of access is an event; names and numbers are
rows only."""

import asyncio
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import psycopg
from fastapi import APIRouter, Depends, Query
from psycopg import Cursor
from starlette.responses import Response

from api.access_shapes import Person, PersonBody, PersonPage, PersonPatch, RoleBody, SignInLink
from api.call import caller, services
from api.changes import asking, change
from api.directory import Caller, new_secret, secret_hash
from api.erasing import erase_rows, keep_a_super_admin, remove_rows
from api.person_numbers import put_number
from api.person_rows import email_taken, find, may_change, of_super_admins, people, person_view
from api.problems import NotPossible
from api.recipient_rules import whatsapp_number
from api.refused import forbidden
from api.services import Services
from api.shapes import PROBLEMS, Problem, shows
from api.views import Answer, from_cursor, time_or_null, to_cursor
from commands.ids import new_id
from domain.access import LINK_FOR, erase, grant, link, powers, remove
from domain.errors import InvalidField
from domain.organization import Organization
from domain.organization_decisions import Events
from domain.organization_uses import not_counted_on

CONFLICT: dict[int | str, dict[str, Any]] = {409: {"model": Problem, "description": "Not possible as it stands"}}

router = APIRouter(prefix="/api/v1/people", tags=["people"], responses={**PROBLEMS, **CONFLICT})

S = Annotated[Services, Depends(services)]
C = Annotated[Caller, Depends(caller)]

EMAIL_TAKEN = "Somebody else signs in with this e-mail address."


@router.get("", responses=shows(PersonPage))
async def list_people(
    services: S,
    caller: C,
    cursor: Annotated[str | None, Query(max_length=1000)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> Answer:
    """The people of the organisation who have access, in the order in which they were added."""
    after = from_cursor("people", cursor, (datetime, UUID))
    which = "p.organization_id = %s and p.disabled_at is null"
    if after:
        which += " and (p.created_at, p.id) > (%s, %s)"
    rows = await people(services, which, (caller.organization_id, *(after or ())), limit + 1)
    page = rows[:limit]
    place = [page[-1]["created_at"], page[-1]["id"]] if len(rows) > limit else None
    return Answer({"items": [person_view(row) for row in page], "next_cursor": to_cursor("people", place)})


@router.post("", status_code=201, responses=shows(Person, 201))
async def add_person(services: S, caller: C, body: PersonBody) -> Answer:
    """Add somebody: 201. They sign in by a link (`/sign-in-link`) or by the provider that knows their e-mail."""
    await _may_give(services, caller, body.role)
    number = whatsapp_number(body.whatsapp) if body.whatsapp else None
    id, ask = new_id(), asking(caller)
    row = (id, caller.organization_id, body.name, body.email, body.role, body.time_zone)

    def write(cursor: Cursor[Any]) -> None:
        _with_email(cursor, body.email, id, _INSERT, row)
        if number is not None:
            put_number(cursor, caller.organization_id, id, number, agreed=False)

    await change(services, caller, lambda now: grant(ask, now, id, body.role, None), write)
    shown = person_view(await find(services, caller, id))
    return Answer(shown, 201, {"Location": f"/api/v1/people/{id}"})


@router.get("/{id}", responses=shows(Person))
async def get_person(services: S, caller: C, id: UUID) -> Answer:
    """One of them, also one who has no access any more."""
    return Answer(person_view(await find(services, caller, id)))


@router.patch("/{id}", responses=shows(Person))
async def change_person(services: S, caller: C, id: UUID, body: PersonPatch) -> Answer:
    """Change what is named, leave the rest. A number that an admin sets is not confirmed."""
    row = await may_change(services, caller, id)
    if row["erased_at"] is not None:
        raise NotPossible("This person was erased.")
    given = body.model_dump(exclude_unset=True)
    new_number = "whatsapp" in given
    number = given.pop("whatsapp", None)
    number = whatsapp_number(number) if number is not None else None
    sets = ", ".join(f"{column} = %({column})s" for column in given)

    def write(cursor: Cursor[Any]) -> None:
        if sets:
            query = f"update access.people set {sets} where id = %(id)s"
            _with_email(cursor, given.get("email"), id, query, {**given, "id": id})
        if new_number:
            put_number(cursor, caller.organization_id, id, number, agreed=False)

    await asyncio.to_thread(services.store.transact, write)
    services.directory.forget_name(id)
    return Answer(person_view(await find(services, caller, id)))


@router.delete("/{id}", status_code=204, response_class=Response, responses={204: {"description": "Removed"}})
async def remove_person(services: S, caller: C, id: UUID) -> Response:
    """Their access ends at once, with all tokens, sessions and links, and they are alerted no more. What they did
    keeps their name. A role gives access again. 409 while a team, a schedule or a policy counts on them."""
    row = await may_change(services, caller, id)
    if row["disabled_at"] is None:
        ask = asking(caller)

        def decide(now: Organization) -> Events:
            not_counted_on(now, id, row["name"], ask.asked_at)
            return remove(ask, now, id, row["role"])

        def write(cursor: Cursor[Any]) -> None:
            keep_a_super_admin(cursor, id)
            remove_rows(cursor, id)

        await change(services, caller, decide, write)
    return Response(status_code=204)


@router.post("/{id}/role", responses=shows(Person))
async def give_role(services: S, caller: C, id: UUID, body: RoleBody) -> Answer:
    """Let them do what the role may, from now on and nothing else. A member is counted on by nothing: 409 while a
    team, a schedule or a policy does."""
    await _may_give(services, caller, body.role)
    row = await may_change(services, caller, id)
    if row["erased_at"] is not None:
        raise NotPossible("This person was erased.")
    held = row["role"] if row["disabled_at"] is None else None
    ask = asking(caller)

    def decide(now: Organization) -> Events:
        if body.role == "member":
            not_counted_on(now, id, row["name"], ask.asked_at)
        return grant(ask, now, id, body.role, held)

    def write(cursor: Cursor[Any]) -> None:
        if body.role != "super_admin":
            keep_a_super_admin(cursor, id)
        query = "update access.people set role = %s, disabled_at = null where id = %s"
        _with_email(cursor, row["email"], id, query, (body.role, id))

    await change(services, caller, decide, write)
    return Answer(person_view(await find(services, caller, id)))


@router.post("/{id}/erase", responses=shows(Person))
async def erase_person(services: S, caller: C, id: UUID) -> Answer:
    """Delete what is known about them, everywhere and for good: name, e-mail, numbers, password, sessions, tokens,
    what was written to them. The ledger has their id alone, and stays as it is. Teams, schedules and
    policies go on without them: their turns are gaps."""
    row = await may_change(services, caller, id)
    if row["erased_at"] is None:
        ask = asking(caller)

        def write(cursor: Cursor[Any]) -> None:
            keep_a_super_admin(cursor, id)
            erase_rows(cursor, id)

        await change(services, caller, lambda _: erase(ask, id), write)
        services.directory.forget_names()
    return Answer(person_view(await find(services, caller, id)))


@router.post("/{id}/sign-in-link", status_code=201, responses=shows(SignInLink, 201))
async def make_link(services: S, caller: C, id: UUID) -> Answer:
    """A link that signs them in once, within 24 hours: 201. It is shown now and never again: hand it over by a way
    that nobody else reads. Only for whom may no more than the asker: 403 else."""
    row = await may_change(services, caller, id)
    if row["disabled_at"] is not None:
        raise NotPossible("This person has no access.")
    if not powers(row["role"], None) <= caller.powers:
        raise await forbidden(services, caller, "Who signs in by it could do more than you may with this token.")
    secret, ask = new_secret("fdl"), asking(caller)
    expires_at = ask.asked_at + LINK_FOR
    made = (secret_hash(secret), id, caller.person_id, expires_at)

    def write(cursor: Cursor[Any]) -> None:
        cursor.execute(_LINK, made)

    await change(services, caller, lambda _: link(ask, id, expires_at), write)
    shown = {"url": f"{services.public_url}/auth/link/{secret}", "expires_at": time_or_null(expires_at)}
    return Answer(shown, 201, {"Cache-Control": "no-store"})


async def _may_give(services: Services, caller: Caller, role: str) -> None:
    if role == "super_admin":
        await of_super_admins(services, caller, "Super admins are made by super admins.")
    elif not powers(role, None) <= caller.powers:
        raise await forbidden(services, caller, "Nobody gives away what they may not do themselves.")


def _with_email(cursor: Cursor[Any], email: str | None, id: UUID, query: str, values: Any) -> None:
    if email is not None and email_taken(cursor, email, id):
        raise InvalidField("email", EMAIL_TAKEN)
    try:
        cursor.execute(query.encode(), values)
    except psycopg.errors.UniqueViolation as taken:
        if taken.diag.constraint_name != "people_by_email":
            raise
        raise InvalidField("email", EMAIL_TAKEN) from None


_INSERT = """
    insert into access.people (id, organization_id, name, email, role, time_zone)
    values (%s, %s, %s, %s, %s, %s) on conflict (id) do nothing"""
_LINK = """
    insert into access.links (hash, person_id, made_by, expires_at)
    values (%s, %s, %s, %s) on conflict (hash) do nothing"""
