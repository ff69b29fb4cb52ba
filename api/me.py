"""Oneself: name, time zone, and the WhatsApp number, which counts once its code has come back."""

import asyncio
import base64
import secrets
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from psycopg import Cursor
from psycopg.types.json import Jsonb

from api import passwords, throttle
from api.access_shapes import CodeBody, Me, MePatch
from api.call import caller, services
from api.directory import Caller
from api.person_numbers import TAKEN, put_number
from api.person_rows import find, person_view
from api.problems import NumberTaken
from api.recipient_rules import whatsapp_number
from api.services import Services
from api.sessions import organization_named
from api.shapes import PROBLEMS, Problem, shows
from api.views import Answer
from commands.ids import new_id
from domain.errors import InvalidField

REFUSALS: dict[int | str, dict[str, Any]] = {
    409: {"model": Problem, "description": "The number is another recipient's"},
    429: {"model": Problem, "description": "Again after Retry-After"},
}

router = APIRouter(prefix="/api/v1/me", tags=["people"], responses={**PROBLEMS, **REFUSALS})

S = Annotated[Services, Depends(services)]
C = Annotated[Caller, Depends(caller)]

CODES_PER_WINDOW = 5


@router.get("", responses=shows(Me))
async def get_me(services: S, caller: C) -> Answer:
    """Who one is, and what one may do."""
    return await _me(services, caller)


@router.patch("", responses=shows(Me))
async def change_me(services: S, caller: C, body: MePatch) -> Answer:
    """Change what is named, leave the rest. A new number gets a code on WhatsApp, and counts once that is
    confirmed (`/me/whatsapp/confirm`, within 10 minutes). What became of the code is `whatsapp_code` of
    `GET /me`."""
    mine = caller._replace(organization_id=caller.home)
    given = body.model_dump(exclude_unset=True)
    new_number = "whatsapp" in given
    number = given.pop("whatsapp", None)
    number = whatsapp_number(number) if number is not None else None
    row = await find(services, mine, caller.person_id)
    code = None
    if number is not None and (number != row["whatsapp"] or row["opted_in_at"] is None):
        code = await _code(services, mine, number)
    sets = ", ".join(f"{column} = %({column})s" for column in given)

    def write(cursor: Cursor[Any]) -> None:
        if sets:
            query = f"update access.people set {sets} where id = %(id)s"
            cursor.execute(query.encode(), {**given, "id": caller.person_id})
        if new_number:
            cursor.execute("delete from access.codes where person_id = %s", (caller.person_id,))
        if new_number and number is None:
            put_number(cursor, caller.home, caller.person_id, None, agreed=False)
        if code is not None:
            if cursor.execute(_HELD, code).fetchone() is not None:
                raise NumberTaken(TAKEN)
            cursor.execute(_CODE, code)
            cursor.execute(_SEND, code)

    await asyncio.to_thread(services.store.transact, write)
    services.directory.forget_name(caller.person_id)
    return await _me(services, caller)


@router.post("/whatsapp/confirm", responses=shows(Me))
async def confirm_number(services: S, caller: C, body: CodeBody) -> Answer:
    """The code that came: the number counts from now on. Five tries."""
    async with services.pool.connection() as connection:
        row = await (await connection.execute(_TRY, (caller.person_id,))).fetchone()
    if row is None:
        raise InvalidField("code", "No code waits to be confirmed: it is too old, or was tried too often.")
    hash, number = row
    if not await passwords.matches(body.code.replace(" ", ""), hash):
        raise InvalidField("code", "Is not the code that was sent.")

    def write(cursor: Cursor[Any]) -> None:
        if cursor.execute(_DONE, (caller.person_id, hash)).rowcount == 0:
            raise InvalidField("code", "No code waits to be confirmed.")
        put_number(cursor, caller.home, caller.person_id, number, agreed=True)

    await asyncio.to_thread(services.store.transact, write)
    return await _me(services, caller)


async def _code(services: Services, caller: Caller, number: str) -> dict[str, Any]:
    """A new code, as it is kept: hashed, and encrypted for the message that brings it. Raises InvalidField,
    TooManyAttempts."""
    if services.vault is None:
        raise InvalidField(
            "whatsapp", "Cannot be confirmed without a key to encrypt the code with: FANDESK_SECRET_KEY."
        )
    await throttle.count_codes(services, str(caller.person_id), CODES_PER_WINDOW)
    code = f"{secrets.randbelow(10**6):06d}"
    encrypted = await asyncio.to_thread(services.vault.encrypt, code)
    return {
        "org": caller.organization_id,
        "person": caller.person_id,
        "number": number,
        "hash": await passwords.hashed(code),
        "recipient": new_id(),
        "delivery": new_id(),
        "content": Jsonb({"code": base64.b64encode(encrypted).decode()}),
    }


async def _me(services: Services, caller: Caller) -> Answer:
    mine = caller._replace(organization_id=caller.home)
    row = await find(services, mine, caller.person_id)
    async with services.pool.connection() as connection:
        waiting = await (await connection.execute(_WAITING, (caller.person_id,))).fetchone()
    more = {
        "organization": await organization_named(services, caller.home),
        "powers": sorted(caller.powers),
        "has_password": row["has_password"],
        "whatsapp_waiting": waiting[0] if waiting else None,
        "whatsapp_code": {"state": waiting[1], "reason": waiting[2]} if waiting and waiting[1] else None,
    }
    return Answer({**person_view(row), **more})


_WAITING = """
    select c.whatsapp, d.state, d.reason from access.codes c left join lateral (
           select d.state, d.reason from notify.deliveries d join notify.recipients r on r.id = d.recipient_id
            where d.kind = 'code' and r.person_id = c.person_id and r.whatsapp = c.whatsapp
            order by d.queued_at desc limit 1) d on true
     where c.person_id = %s and c.expires_at > now()"""
_HELD = """
    select 1 from notify.recipients where organization_id = %(org)s and whatsapp = %(number)s
       and removed_at is null and person_id is distinct from %(person)s and person_id is not null"""
_CODE = """
    insert into access.codes (person_id, whatsapp, hash, expires_at)
    values (%(person)s, %(number)s, %(hash)s, now() + interval '10 minutes')"""
_SEND = """
    with there as (  -- one that is removed from the start: nothing else is ever sent to it
        insert into notify.recipients (id, organization_id, name, whatsapp, severities, person_id, removed_at)
        select %(recipient)s, %(org)s, name, %(number)s, '{}', id, now() from access.people where id = %(person)s
        returning id)
    insert into notify.deliveries (id, kind, organization_id, recipient_id, channel, content)
    select %(delivery)s, 'code', %(org)s, id, 'whatsapp', %(content)s from there"""
_TRY = """
    update access.codes set tries = tries + 1 where person_id = %s and expires_at > now() and tries < 5
    returning hash, whatsapp"""
_DONE = "delete from access.codes where person_id = %s and hash = %s"
