"""Reads of incidents: list, detail, timeline, raw events, deliveries."""

from contextlib import suppress
from datetime import datetime
from typing import Annotated, Any, Literal, get_args
from uuid import UUID

import psycopg
from fastapi import APIRouter, Depends, Query

from api import schemas, shapes
from api.call import Reading, reading
from api.moments import Moment, moment
from api.services import Services, incident_number
from api.shapes import PROBLEMS, DeliveryPage, IncidentPage, LedgerPage, TimelinePage, shows
from api.views import Answer, Raw, from_cursor, incident_view, time_or_null, to_cursor
from commands import codec
from commands.event_store import recorded
from domain.errors import IncidentNotFound, InvalidField
from domain.incident import Incident, fold
from domain.recorded import Recorded
from domain.words import CATEGORIES, SEVERITIES, STATUSES, rfc3339
from projections import deliveries, incidents, ledger, timeline

router = APIRouter(prefix="/api/v1/incidents", tags=["incidents"], responses=PROBLEMS)

R = Annotated[Reading, Depends(reading)]
EVERYTHING = 2**31
"""Of one incident: more entries than any has."""

Limit = Annotated[int, Query(ge=1, le=200)]
Words = Annotated[list[schemas.Text], Query(max_length=50)]

_PLACES: dict[str, tuple[type, ...]] = {
    "-triggered_at": (datetime, UUID),
    "triggered_at": (datetime, UUID),
    "-number": (int,),
    "number": (int,),
    "severity": (int, datetime, UUID),
}


@router.get("", responses=shows(IncidentPage))
async def list_incidents(
    read: R,
    status: Words = [],  # noqa: B006
    severity: Words = [],  # noqa: B006
    category: Words = [],  # noqa: B006
    team: Words = [],  # noqa: B006
    assignee: Words = [],  # noqa: B006
    q: Annotated[schemas.Text, Query(max_length=500)] | None = None,
    from_: Annotated[Moment | None, Query(alias="from")] = None,
    to: Moment | None = None,
    sort: incidents.Sort = "-triggered_at",
    cursor: Annotated[str | None, Query(max_length=1000)] = None,
    limit: Limit = 50,
) -> Answer:
    """Incidents that match, a page at a time.

    Several values of one filter are alternatives: repeat it, or (but for teams) use commas. `status=open` stands
    for every status but resolved and postmortem, `none` for no category, team or assignee.
    """
    statuses = [s for word in split(status) for s in (STATUSES[:3] if word == "open" else (word,))]
    which = incidents.Filter(
        organization_id=read.organization_id,
        statuses=known("status", statuses, STATUSES),
        severities=known("severity", split(severity), SEVERITIES),
        categories=[none(w) for w in known("category", split(category), (*CATEGORIES, "none"))],
        teams=[none(w) for w in team],
        assignees=[_person(w) for w in split(assignee)],
        text=q,
        start=moment("from", from_),
        end=moment("to", to),
    )
    after = from_cursor(sort, cursor, _PLACES[sort])
    async with read.services.readers.of(read.organization_id) as connection:
        try:
            page, place = await incidents.search(connection, which, sort=sort, after=after, limit=limit)
        except psycopg.errors.InternalError_ as too_nested:  # "tsquery stack too small": many a - before a word
            raise InvalidField("q", "Is too intricate to search for.") from too_nested
    names = await read.services.directory.names({i.assignee for i in page if i.assignee})
    items = [incident_view(incident, names) for incident in page]
    return read.answer({"items": items, "next_cursor": to_cursor(sort, place)})


@router.get("/{id}", responses=shows(shapes.Incident))
async def get_incident(
    read: R, id: str, as_of: Moment | None = None, clock: Literal["recorded", "occurred"] = "recorded"
) -> Answer:
    """One incident, by id or number; with `as_of` as it stood then, by what was recorded until that time (what was
    known), or with `clock=occurred` by what had happened. 404 where there was none yet."""
    then = moment("as_of", as_of)
    incident = await (_find(read, id) if then is None else _as_of(read, id, then, clock))
    names = await read.services.directory.names({incident.assignee} if incident.assignee else set())
    return read.answer(incident_view(incident, names), {"ETag": f'"{incident.version}"'})


@router.get("/{id}/timeline", responses=shows(TimelinePage))
async def get_timeline(
    read: R, id: str, cursor: Annotated[str | None, Query(max_length=1000)] = None, limit: Limit = 50
) -> Answer:
    """What happened to it, in order of when it happened."""
    incident = await _find(read, id)
    after = from_cursor("timeline", cursor, (datetime, int))
    async with read.services.readers.of(read.organization_id) as connection:
        page, place = await timeline.of_incident(
            connection, read.organization_id, incident.id, after=after, limit=limit
        )
    ids = {id for item in page for id in (item.actor_id, item.person_id) if id}
    names = await read.services.directory.names(ids)
    items = [_item(item, names) for item in page]
    return read.answer({"items": items, "next_cursor": to_cursor("timeline", place)})


@router.get("/{id}/events", responses=shows(LedgerPage))
async def get_events(
    read: R, id: str, cursor: Annotated[str | None, Query(max_length=1000)] = None, limit: Limit = 50
) -> Answer:
    """Its entries in the ledger, as they were written."""
    incident = await _find(read, id)
    after = (from_cursor("events", cursor, (int,)) or [0])[0]
    return await ledger_page(read, after, limit, incident.id)


@router.get("/{id}/deliveries", responses=shows(DeliveryPage))
async def get_deliveries(
    read: R, id: str, cursor: Annotated[str | None, Query(max_length=1000)] = None, limit: Limit = 50
) -> Answer:
    """Who was alerted about it and what became of that, in the order in which it was to be sent."""
    incident = await _find(read, id)
    after = from_cursor("deliveries", cursor, (datetime, UUID))
    async with read.services.readers.of(read.organization_id) as connection:
        page, place = await deliveries.of_incident(
            connection, read.organization_id, incident.id, after=after, limit=limit
        )
    items = [_delivery(delivery) for delivery in page]
    return read.answer({"items": items, "next_cursor": to_cursor("deliveries", place)})


async def ledger_page(read: Reading, after: int, limit: int, incident_id: UUID | None = None) -> Answer:
    """A page of ledger entries after a position."""
    async with read.services.readers.of(read.organization_id) as connection:
        entries = await ledger.after(
            connection, read.organization_id, after, incident_id=incident_id, limit=limit + 1
        )
    page = entries[:limit]
    place = to_cursor("events", [page[-1].position]) if len(entries) > limit else None
    items = b",".join(ledger.entry_json(entry) for entry in page)
    cursor = b"null" if place is None else b'"' + place.encode() + b'"'
    return read.answer(Raw(b'{"items":[' + items + b'],"next_cursor":' + cursor + b"}"))


async def history(services: Services, organization_id: UUID, incident_id: UUID) -> list[Recorded]:
    """All that was recorded of an incident, in order; nothing where the organisation has no such incident."""
    async with services.readers.of(organization_id) as connection:
        found = await ledger.after(connection, organization_id, 0, incident_id=incident_id, limit=EVERYTHING)
    with suppress(codec.OfAnOrganization):
        return [recorded((e.position, *e[1:3], e.recorded_at, e.topic, bytes(e.state))) for e in found]
    return []


def split(words: list[str]) -> list[str]:
    return [part.strip() for word in words for part in word.split(",") if part.strip()]


def known(field: str, words: list[str], allowed: tuple[str, ...]) -> list[str]:
    """The words, all of which must be allowed ones. Raises InvalidField."""
    for word in words:
        if word not in allowed:
            raise InvalidField(field, f"Must be one of {', '.join(allowed)}.")
    return words


def none(word: str) -> str | None:
    return None if word == "none" else word


def _person(word: str) -> UUID | None:
    try:
        return None if word == "none" else UUID(word)
    except ValueError:
        raise InvalidField("assignee", "Must be a person's id, or none.") from None


async def _find(read: Reading, id: str) -> Incident:
    try:
        key: UUID | int = UUID(id)
    except ValueError:
        key = incident_number(id)
    async with read.services.readers.of(read.organization_id) as connection:
        incident = await incidents.find(connection, read.organization_id, key)
    if incident is None:
        raise IncidentNotFound("There is no such incident.")
    return incident


async def _as_of(read: Reading, id: str, then: datetime, clock: str) -> Incident:
    """Folded from the ledger by the same rules as ever."""
    incident_id = await read.services.incident_id(read.organization_id, id)
    entries = await history(read.services, read.organization_id, incident_id)
    known = [e for e in entries if (e.recorded_at if clock == "recorded" else e.event.occurred_at) <= then]
    if not known or known[0].version != 1:
        raise IncidentNotFound("There was no such incident then.")
    incident = fold(incident_id, (entry.event for entry in known))
    assert incident is not None
    return incident


def _item(item: timeline.Item, names: dict[UUID, str]) -> dict[str, Any]:
    person = names.get(item.person_id, "somebody") if item.person_id else ""
    return {
        "position": item.position,
        "type": item.type,
        "occurred_at": rfc3339(item.occurred_at),
        "recorded_at": rfc3339(item.recorded_at),
        "actor": {
            "kind": item.actor_kind,
            "id": item.actor_id,
            "name": names.get(item.actor_id) if item.actor_id else None,
            **({"via": "whatsapp"} if item.actor_kind == "whatsapp" else {}),
        },
        "summary": item.summary.replace("{person}", person) if item.person_id else item.summary,
        "body": item.body,
    }


def _delivery(delivery: deliveries.Delivery) -> dict[str, Any]:
    row = delivery._asdict()
    recipient = {"id": row.pop("recipient_id"), "name": row.pop("recipient_name")}
    times = {name: time_or_null(row.pop(name)) for name in list(row) if name.endswith("_at")}
    return {"id": row.pop("id"), "recipient": recipient, **row, **times}


assert set(_PLACES) == set(get_args(incidents.Sort))
