"""Who is alerted on WhatsApp: their numbers, what they want to hear of, and whether they agree to it."""

import asyncio
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import psycopg
from fastapi import APIRouter, Depends, Query
from psycopg.rows import dict_row
from starlette.responses import Response

from api import schemas, shapes
from api.call import caller, services
from api.directory import Caller
from api.person_rows import may_change
from api.problems import NotThere, NumberTaken
from api.recipient_rules import fallback_scheme, whatsapp_number
from api.services import Services
from api.shapes import PROBLEMS, TAKEN, RecipientPage, shows
from api.views import Answer, from_cursor, time_or_null, to_cursor
from commands.ids import new_id
from domain.errors import InvalidField

router = APIRouter(prefix="/api/v1/notifications/recipients", tags=["recipients"], responses=PROBLEMS)

S = Annotated[Services, Depends(services)]
C = Annotated[Caller, Depends(caller)]


@router.post("", status_code=201, responses={**shows(shapes.Recipient, 201), **TAKEN})
async def create_recipient(services: S, caller: C, body: schemas.RecipientBody) -> Answer:
    """Add somebody to alert: 201. `severities`: of which they hear; `opt_in`: they agree to be written to;
    `fallback`: an apprise URL that is tried where WhatsApp fails. It is kept encrypted, and only its scheme is
    shown."""
    changes = await _columns(services, caller, body.model_dump())
    id = new_id()
    columns = {"id": id, "organization_id": caller.organization_id, **changes}
    await _write(
        services,
        f"insert into notify.recipients ({', '.join(columns)}, opted_in_at)"
        f" values ({', '.join(f'%({name})s' for name in columns)}, case when %(opt_in)s then now() end)",
        {**columns, "opt_in": body.opt_in},
    )
    headers = {"Location": f"/api/v1/notifications/recipients/{id}"}
    return Answer(await _find(services, caller, id), 201, headers)


@router.get("", responses=shows(RecipientPage))
async def list_recipients(
    services: S,
    caller: C,
    cursor: Annotated[str | None, Query(max_length=1000)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> Answer:
    """Who is alerted, in the order in which they were added."""
    after = from_cursor("recipients", cursor, (datetime, UUID))
    rows = await _rows(
        services, caller, "(r.created_at, r.id) > (%s, %s)" if after else "true", after or (), limit + 1
    )
    page = rows[:limit]
    place = [page[-1]["created_at"], page[-1]["id"]] if len(rows) > limit else None
    return Answer({"items": [_view(row) for row in page], "next_cursor": to_cursor("recipients", place)})


@router.get("/{id}", responses=shows(shapes.Recipient))
async def get_recipient(services: S, caller: C, id: UUID) -> Answer:
    """One of them, with what became of the last alert to them."""
    return Answer(await _find(services, caller, id))


@router.patch("/{id}", responses={**shows(shapes.Recipient), **TAKEN})
async def change_recipient(services: S, caller: C, id: UUID, body: schemas.RecipientPatch) -> Answer:
    """Change what is named, leave the rest."""
    await _may_touch(services, caller, id)
    changes = await _columns(services, caller, body.model_dump(exclude_unset=True))
    assignments = [f"{name} = %({name})s" for name in changes]
    if "whatsapp" in changes:  # what WhatsApp called the old number says nothing of the new one
        assignments.append("wa_id = case when whatsapp = %(whatsapp)s then wa_id end")
    if changes.keys() & {"person_id", "whatsapp"}:
        assignments.append(_once(changes))
    if "opt_in" in body.model_fields_set:
        assignments.append("opted_in_at = case when %(opt_in)s then coalesce(opted_in_at, now()) end")
    if assignments:
        await _write(
            services,
            f"update notify.recipients set {', '.join(assignments)}"
            " where organization_id = %(organization_id)s and id = %(id)s and removed_at is null",
            {**changes, "opt_in": body.opt_in, "organization_id": caller.organization_id, "id": id},
        )
        services.directory.forget_name(id)
    return Answer(await _find(services, caller, id))


@router.delete("/{id}", status_code=204, response_class=Response, responses={204: {"description": "Removed"}})
async def remove_recipient(services: S, caller: C, id: UUID) -> Response:
    """Alert them no more. Their name stays on the timelines on which it is; how to reach them is
    forgotten."""
    await _may_touch(services, caller, id)
    query = """
        update notify.recipients set removed_at = now(), fallback = null, fallback_kind = null, whatsapp = null,
               wa_id = null
         where organization_id = %s and id = %s and removed_at is null returning id"""
    async with services.pool.connection() as connection:
        if await (await connection.execute(query, (caller.organization_id, id))).fetchone() is None:
            raise _not_there()
    return Response(status_code=204)


async def _may_touch(services: Services, caller: Caller, id: UUID) -> None:
    """Whose number it is may be changed by the caller. Raises NotThere, Forbidden."""
    person = (await _find(services, caller, id))["person"]
    if person is not None:
        await may_change(services, caller, person)


async def _columns(services: Services, caller: Caller, given: dict[str, Any]) -> dict[str, Any]:
    """The columns that a body's fields set, but for opted_in_at, whose rule differs. Raises InvalidField."""
    columns: dict[str, Any] = {name: given[name] for name in ("name", "severities") if name in given}
    if "whatsapp" in given:
        columns["whatsapp"] = whatsapp_number(given["whatsapp"])
    if "person" in given:
        columns["person_id"] = await _person(services, caller, given["person"])
    if "fallback" in given:
        columns["fallback"], columns["fallback_kind"] = await _fallback(services, given["fallback"])
    return columns


def _once(changes: dict[str, Any]) -> str:
    """Whose number it was stays known until it is another number, so that it can be erased with them."""
    kept = "whatsapp = %(whatsapp)s" if "whatsapp" in changes else "true"
    unlinked = "person_id" in changes and changes["person_id"] is None
    whose = "coalesce(person_id, once_person_id)" if unlinked else "once_person_id"
    return f"once_person_id = case when {kept} then {whose} end"


async def _person(services: Services, caller: Caller, id: UUID | None) -> UUID | None:
    if id is not None:
        role = await services.directory.role(caller.organization_id, id)
        if role is None:
            raise InvalidField("person", "There is no such person in this organisation.")
        if role == "member":
            raise InvalidField("person", "Is a member, who sees no incidents: make them a responder first.")
        await may_change(services, caller, id)
    return id


async def _fallback(services: Services, url: str | None) -> tuple[bytes | None, str | None]:
    if url is None:
        return None, None
    if services.vault is None:
        raise InvalidField("fallback", "Cannot be kept without a key to encrypt it with: set FANDESK_SECRET_KEY.")
    scheme = await asyncio.to_thread(fallback_scheme, url)
    return await asyncio.to_thread(services.vault.encrypt, url), scheme


async def _write(services: Services, query: str, values: dict[str, Any]) -> None:
    """Raises NumberTaken. It looks first: PostgreSQL's log says of a row that it refuses what is in it."""
    taken = NumberTaken("Another recipient of this organisation has this number.")
    async with services.pool.connection() as connection:
        if "whatsapp" in values and await (await connection.execute(_HOLDER, values)).fetchone() is not None:
            raise taken
        try:
            await connection.execute(query.encode(), values)
        except psycopg.errors.UniqueViolation:
            raise taken from None


async def _find(services: Services, caller: Caller, id: UUID) -> dict[str, Any]:
    rows = await _rows(services, caller, "r.id = %s", (id,), 1)
    if not rows:
        raise _not_there()
    return _view(rows[0])


def _not_there() -> NotThere:
    return NotThere("There is no such recipient.")


async def _rows(services: Services, caller: Caller, which: str, values: Any, limit: int) -> list[dict[str, Any]]:
    async with (
        services.readers.of(caller.organization_id) as connection,
        connection.cursor(row_factory=dict_row) as cursor,
    ):
        await cursor.execute(_ROWS.format(which=which).encode(), (caller.organization_id, *values, limit))
        rows: list[dict[str, Any]] = await cursor.fetchall()
    return rows


def _view(row: dict[str, Any]) -> dict[str, Any]:
    last = None
    if row["state"] is not None:
        number = None if row["number"] is None else f"INC-{row['number']}"
        last = {
            "state": row["state"],
            "at": time_or_null(row["at"]),
            "incident": {"id": row["incident_id"], "number": number},
        }
    return {
        "id": row["id"],
        "name": row["name"],
        "whatsapp": row["whatsapp"],
        "severities": row["severities"],
        "person": row["person_id"],
        "opt_in": row["opted_in_at"] is not None,
        "opted_in_at": time_or_null(row["opted_in_at"]),
        "fallback": row["fallback_kind"],
        "created_at": time_or_null(row["created_at"]),
        "last_delivery": last,
    }


_HOLDER = """
    select 1 from notify.recipients
     where organization_id = %(organization_id)s and whatsapp = %(whatsapp)s and id <> %(id)s
       and removed_at is null"""
_ROWS = """
    select r.id, r.name, r.whatsapp, r.severities, r.person_id, r.opted_in_at, r.fallback_kind, r.created_at,
           d.state, d.at, d.incident_id, i.number
      from notify.recipients r
      left join lateral (
           select incident_id, state,
                  coalesce(case state when 'sending' then sending_at when 'unknown' then unknown_at
                                      when 'sent' then sent_at when 'delivered' then delivered_at
                                      when 'read' then read_at when 'cancelled' then cancelled_at
                                      when 'queued' then queued_at else failed_at end, queued_at) as at
             from notify.deliveries where recipient_id = r.id and kind = 'alert'
            order by queued_at desc, id desc limit 1) d on true
      left join read.incidents i on i.organization_id = r.organization_id and i.id = d.incident_id
     where r.organization_id = %s and r.removed_at is null and {which}
     order by r.created_at, r.id limit %s"""
