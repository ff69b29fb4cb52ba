"""Calendar feeds (iCalendar): of a schedule, or of a person by all schedules.

A calendar program cannot sign in, so a feed has an address with a key of its own. Of the key only a hash is kept;
a feed can be revoked, and works for as long as who made it sees incidents.
"""

import asyncio
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any, LiteralString
from uuid import UUID

from fastapi import APIRouter, Depends
from psycopg import Cursor
from psycopg.rows import dict_row
from starlette.responses import Response

from api import access, schemas
from api import setting_shapes as shapes
from api.call import services
from api.changes import asking, change
from api.directory import new_secret, secret_hash
from api.problems import NotThere
from api.refused import forbidden
from api.schedules import find
from api.services import Services
from api.settings import REMOVED, Look, LookNow, Named, people_of
from api.shapes import PROBLEMS, shows
from api.views import Answer
from commands.ids import new_id
from domain.access import SEES_INCIDENTS, end_feed, feed
from domain.errors import InvalidField
from domain.icalendar import Entry, calendar, feed_span
from domain.oncall import Schedule, everybody_on
from domain.organization import Organization
from domain.shifts import Shift, shifts
from domain.words import rfc3339

router = APIRouter(tags=["on-call"], responses=PROBLEMS)

CALENDAR: dict[int | str, dict[str, Any]] = {200: {"content": {"text/calendar": {}}, "description": "iCalendar"}}
FEEDS = "/api/v1/calendar-feeds"


class Calendar(Response):
    media_type = "text/calendar; charset=utf-8"


@router.get("/api/v1/schedules/{name}/calendar.ics", response_class=Calendar, responses=CALENDAR)
async def get_calendar(look: Look, name: Named) -> Calendar:
    """A schedule's shifts as iCalendar; `/calendar-feeds` gives an address to subscribe to."""
    organization = await look.organization()
    return await _calendar(look.services, organization, find(organization, name), None)


@router.post(FEEDS, status_code=201, responses=shows(shapes.NewFeed, 201))
async def post_feed(look: LookNow, body: shapes.FeedBody) -> Answer:
    """An address to subscribe to: 201. It is shown once, and whoever has it can read the calendar."""
    if (body.schedule is None) == (body.person is None):
        raise InvalidField("schedule", "Exactly one of schedule and person is needed.")
    if "read" not in look.caller.powers:
        raise await forbidden(look.services, look.caller, access.WHY["read"])
    organization, me = await look.organization(), look.caller
    if body.schedule is not None and body.schedule not in organization.schedules:
        raise InvalidField("schedule", f"There is no schedule “{body.schedule}”.")
    if body.person is not None and body.person not in await people_of(look.services, me.organization_id):
        raise InvalidField("person", "There is no such person in this organisation.")
    id, key, ask = new_id(), new_secret("fdc"), asking(me)
    added = (id, me.organization_id, me.person_id, body.schedule, body.person, secret_hash(key))

    def write(cursor: Cursor[Any]) -> None:
        cursor.execute(_ADD, added)

    await change(look.services, me, lambda _: feed(ask, id, body.schedule, body.person), write)
    (row,) = await _rows(look.services, f"{_FEEDS} and id = %s", (me.organization_id, id))
    url = f"{look.services.public_url.rstrip('/')}/feeds/{key}.ics"
    return Answer({**_view(row), "url": url}, 201, {"Location": f"{FEEDS}/{id}"})


@router.get(FEEDS, responses=shows(shapes.Feeds))
async def list_feeds(look: LookNow) -> Answer:
    """One's own feeds; for admins, all of the organisation."""
    found = await _rows(look.services, f"{_FEEDS} order by created_at, id", (look.caller.organization_id,))
    mine = [row for row in found if row["owner_id"] == look.caller.person_id or "manage" in look.caller.powers]
    return Answer({"items": [_view(row) for row in mine]})


@router.delete(FEEDS + "/{id}", status_code=204, response_class=Response, responses=REMOVED)
async def delete_feed(look: LookNow, id: UUID) -> Response:
    """Revoke one: its address answers 404 from now on. One's own, or as an admin anybody's."""
    found = await _rows(look.services, f"{_FEEDS} and id = %s", (look.caller.organization_id, id))
    if not found or not (found[0]["owner_id"] == look.caller.person_id or "manage" in look.caller.powers):
        raise NotThere("There is no such feed.")
    ask = asking(look.caller)

    def write(cursor: Cursor[Any]) -> None:
        cursor.execute(_REVOKE, (look.caller.organization_id, id))

    await change(look.services, look.caller, lambda _: end_feed(ask, id), write)
    return Response(status_code=204)


@router.get("/feeds/{key}.ics", response_class=Calendar, responses=CALENDAR)
async def get_feed(services: Annotated[Services, Depends(services)], key: schemas.Text) -> Calendar:
    """The calendar of that key; 404 for one that was revoked, or whose owner sees no incidents any more."""
    found = await _rows(services, _BY_KEY, (secret_hash(key),))
    if not found or found[0]["role"] not in SEES_INCIDENTS:
        raise NotThere("There is no such feed.")
    row = found[0]
    organization = await asyncio.to_thread(services.executor.organizations.now, row["organization_id"])
    if row["schedule"] is None:
        return await _calendar(services, organization, None, row["person_id"])
    return await _calendar(services, organization, find(organization, row["schedule"]), None)


async def _calendar(
    services: Services, organization: Organization, schedule: Schedule | None, person: UUID | None
) -> Calendar:
    """The shifts of a schedule; or without one, the person's by all of them."""
    now = datetime.now(UTC)
    start, end = feed_span(now)
    if schedule is not None:
        name = schedule.name
        found = await asyncio.to_thread(_of_schedule, schedule, start, end)
    else:
        name = "On call"
        found = await asyncio.to_thread(_of_person, organization, person, start, end)
    names = await services.directory.names(
        {entry.shift.person for entry in found if entry.shift.person is not None}
    )
    changed_at = min(organization.changed_at or now, now)
    text = await asyncio.to_thread(calendar, name, organization.id, found, names, changed_at)
    return Calendar(text, headers={"Cache-Control": "private, max-age=300"})


def _of_schedule(schedule: Schedule, start: datetime, end: datetime) -> list[Entry]:
    return [Entry(schedule.name, shift) for shift in _shifts(schedule, start, end)]


def _of_person(organization: Organization, person: UUID | None, start: datetime, end: datetime) -> list[Entry]:
    """The person's shifts by every schedule that names them, in order."""
    every = [
        entry
        for schedule in organization.schedules.values()
        if person in everybody_on(schedule)
        for entry in _of_schedule(schedule, start, end)
        if entry.shift.person == person
    ]
    return sorted(every, key=lambda entry: (entry.shift.start, entry.shift.end, entry.schedule))


@lru_cache(maxsize=32)
def _shifts(schedule: Schedule, start: datetime, end: datetime) -> tuple[Shift, ...]:
    """Remembered: a feed is asked for again and again, without signing in, and its span moves once a month."""
    return tuple(shifts(schedule, start, end))


def _view(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": row["id"],
        "schedule": row["schedule"],
        "person": row["person_id"],
        "created_at": rfc3339(row["created_at"]),
    }


async def _rows(services: Services, query: LiteralString, values: tuple[Any, ...]) -> list[dict[str, Any]]:
    async with services.pool.connection() as connection, connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(query, values)
        return await cursor.fetchall() if cursor.description else []


_ADD = """
    insert into access.feeds (id, organization_id, owner_id, schedule, person_id, key_hash)
    values (%s, %s, %s, %s, %s, %s) on conflict (id) do nothing"""
_FEEDS = """
    select id, owner_id, schedule, person_id, created_at from access.feeds
     where organization_id = %s and revoked_at is null"""
_REVOKE = (
    "update access.feeds set revoked_at = now() where organization_id = %s and id = %s and revoked_at is null"
)
_BY_KEY = """
    select f.organization_id, f.schedule, f.person_id, p.role
      from access.feeds f join access.people p on p.id = f.owner_id
       and (p.organization_id = f.organization_id or p.role = 'super_admin') and p.disabled_at is null
     where f.key_hash = %s and f.revoked_at is null"""
