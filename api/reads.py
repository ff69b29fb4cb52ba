"""Reads of incidents: list, detail, timeline, raw events, deliveries."""

from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, get_args
from uuid import UUID

import psycopg
from fastapi import APIRouter, Depends, Query, Request

from api import schemas, shapes
from api.call import Reading, reading
from api.cohorts import Words, Zone, known, labels, none, people, split
from api.moments import Moment, moment, past, zone
from api.services import Services, incident_number
from api.shapes import PROBLEMS, DeliveryPage, IncidentPage, LedgerPage, TimelinePage, shows
from api.standing import standing
from api.views import Answer, Raw, from_cursor, incident_view, time_or_null, to_cursor
from commands import codec
from commands.event_store import recorded
from domain.errors import IncidentNotFound, InvalidField
from domain.incident import Incident, fold
from domain.recorded import Recorded
from domain.words import CATEGORIES, SEVERITIES, STATUSES, rfc3339
from projections import deliveries, incidents, ledger, timeline
from projections.cohort import COUNTED

router = APIRouter(prefix="/api/v1/incidents", tags=["incidents"], responses=PROBLEMS)

R = Annotated[Reading, Depends(reading)]
EVERYTHING = 2**31
"""Of one incident: more entries than any has."""

Limit = Annotated[int, Query(ge=1, le=200)]

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
    request: Request,
    status: Words = [],  # noqa: B006
    severity: Words = [],  # noqa: B006
    category: Words = [],  # noqa: B006
    team: Words = [],  # noqa: B006
    assignee: Words = [],  # noqa: B006
    source: Words = [],  # noqa: B006
    unlabelled: Words = [],  # noqa: B006
    q: Annotated[schemas.Text, Query(max_length=500)] | None = None,
    from_: Annotated[Moment | None, Query(alias="from")] = None,
    to: Moment | None = None,
    hour_of_week: Annotated[int, Query(ge=0, le=167)] | None = None,
    tz: Zone = "UTC",
    figure: Annotated[schemas.Text, Query(max_length=40)] | None = None,
    engaged: UUID | None = None,
    alerted: UUID | None = None,
    as_of: Moment | None = None,
    sort: incidents.Sort = "-triggered_at",
    cursor: Annotated[str | None, Query(max_length=1000)] = None,
    limit: Limit = 50,
) -> Answer:
    """Incidents that match, a page at a time.

    Several values of one filter are alternatives: repeat it, or (but for teams, sources and labels) use commas.
    `status=open` stands for every status but resolved and postmortem, `none` for no category, team or assignee.
    `label:NAME=value` asks for a label, unlabelled=NAME for those without it. hour_of_week: triggered in that hour
    of the week in `tz`, 0 is Monday from midnight to one.

    figure: only those that the figure of this name in /analytics/summary counts, so without merged ones. engaged:
    a person who had it in hand; alerted: a person, or a recipient, who was sent an alert. as_of: the list as it
    was then, by what was recorded until then.
    """
    statuses = [s for word in split(status) for s in (STATUSES[:3] if word == "open" else (word,))]
    zone(tz)
    then = past("as_of", as_of)
    which = incidents.Filter(
        organization_id=read.organization_id,
        statuses=known("status", statuses, STATUSES),
        severities=known("severity", split(severity), SEVERITIES),
        categories=[none(w) for w in known("category", split(category), (*CATEGORIES, "none"))],
        teams=[none(w) for w in team],
        responders=people("assignee", assignee),
        sources=source,
        labels=labels(request),
        unlabelled=unlabelled,
        text=q,
        start=moment("from", from_),
        end=moment("to", to),
        hour_of_week=hour_of_week,
        zone=tz,
        counted=known("figure", [figure], tuple(COUNTED))[0] if figure is not None else None,
        engaged=engaged,
        alerted=alerted,
        now=then or datetime.now(UTC),
    )
    after = from_cursor(sort, cursor, _PLACES[sort])
    async with standing(read, then, "incidents", "facts", once=True) as (connection, schema):
        try:
            page, place = await incidents.search(
                connection, which, sort=sort, after=after, limit=limit, schema=schema
            )
        except psycopg.errors.InternalError_ as too_nested:  # "tsquery stack too small": many a - before a word
            raise InvalidField("q", "Is too intricate to search for.") from too_nested
        except psycopg.errors.InvalidParameterValue as unknown:
            raise InvalidField("tz", "The database does not know this time zone.") from unknown
    names = await read.services.directory.names({i.assignee for i in page if i.assignee})
    items = [incident_view(incident, names) for incident in page]
    return read.answer({"items": items, "next_cursor": to_cursor(sort, place)})


@router.get("/{id}", responses=shows(shapes.Incident))
async def get_incident(
    read: R, id: str, as_of: Moment | None = None, clock: Literal["recorded", "occurred"] = "recorded"
) -> Answer:
    """One incident, by id or number; with `as_of` as it stood then, by what was recorded until that time (what was
    known), or with `clock=occurred` by what had happened. 404 where there was none yet."""
    then = past("as_of", as_of)
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
    incident_id, entries = await entries_of(read, id, then, clock)
    incident = fold(incident_id, (entry.event for entry in entries))
    assert incident is not None
    return incident


async def entries_of(
    read: Reading, id: str, then: datetime | None = None, clock: str = "recorded"
) -> tuple[UUID, list[Recorded]]:
    """An incident's id and entries, all or those until then. Raises IncidentNotFound where there are none."""
    incident_id = await read.services.incident_id(read.organization_id, id)
    entries = await history(read.services, read.organization_id, incident_id)
    if then is not None:
        entries = [e for e in entries if (e.recorded_at if clock == "recorded" else e.event.occurred_at) <= then]
    if not entries or entries[0].version != 1:
        raise IncidentNotFound(
            "There is no such incident." if then is None else "There was no such incident then."
        )
    return incident_id, entries


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
