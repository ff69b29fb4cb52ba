"""Read model: what happened to an incident, in words, one row per event."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple, assert_never
from uuid import UUID

from psycopg import AsyncConnection, Cursor

from domain import events as e
from domain.recorded import Recorded
from projections.model import copy_rows


class Told(NamedTuple):
    """An event in words. `{person}` in the summary stands for the name of `person_id`, which is looked up
    only when it is shown: names are no part of history."""

    summary: str
    body: str | None = None
    person_id: UUID | None = None


def tell(event: e.IncidentEvent) -> Told:
    """What an event says on the timeline."""
    match event:
        case e.IncidentTriggered():
            during = f", expected during maintenance “{event.maintenance}”" if event.maintenance else ""
            return Told(f"Triggered as {event.severity}{during}", event.description or None)
        case e.IncidentAcknowledged():
            return Told("Acknowledged", event.note)
        case e.InvestigationStarted():
            return Told("Investigation started", event.note)
        case e.UpdatePosted():
            return Told("Update posted", event.body)
        case e.ResponderAssigned(person_id=None):
            return Told("Lead taken away")
        case e.ResponderAssigned():
            return Told("Assigned to {person}", event.because, event.person_id)
        case e.TeamAssigned():
            return Told(f"Owned by {event.team}" if event.team else "No team owns it any more", event.because)
        case e.SeverityChanged():
            return Told(f"Severity changed from {event.previous} to {event.severity}", event.reason)
        case e.CategoryChanged():
            before, now = event.previous or "unclassified", event.category or "unclassified"
            return Told(f"Category changed from {before} to {now}")
        case e.AlertReceived():
            return Told(_alerts(event.count), "\n".join(alert.summary for alert in event.alerts) or None)
        case e.IncidentEscalated():
            whom, person = _whom(event)
            return Told(f"Escalated to step {event.step}{whom}", event.reason, person)
        case e.ResponseTargetMissed():
            return Told(f"Nobody acknowledged within {_words(event.response_target_s)}")
        case e.MaintenanceEnded():
            return Told(f"Maintenance “{event.window}” is over, and nobody has taken this on")
        case e.IncidentResolved():
            return Told("Resolved", event.note)
        case e.IncidentReopened():
            return Told("Reopened", event.reason)
        case e.IncidentMerged():
            return Told(f"Merged into INC-{event.into_number}")
        case e.IncidentAbsorbed():
            return Told(f"INC-{event.merged_number} was merged into this")
        case e.DetailsCorrected():
            return Told("Corrected: " + ", ".join(_corrected(event)), event.reason)
        case e.PostmortemStarted():
            return Told("Postmortem started")
        case e.AlertSent():
            return Told(f"Alert sent to {{person}} {_on(event)}", None, event.recipient_id)
        case e.AlertDelivered():
            return Told(f"Alert delivered to {{person}} {_on(event)}", None, event.recipient_id)
        case e.AlertRead():
            return Told(f"Alert read by {{person}} {_on(event)}", None, event.recipient_id)
        case e.AlertFailed():
            return Told(f"{{person}} was not reached {_on(event)}", event.reason, event.recipient_id)
        case _:
            assert_never(event)


def _whom(event: e.IncidentEscalated) -> tuple[str, UUID | None]:
    """Whom a step alerts, as a part of a summary, and the person whose name it needs."""
    people = event.people or ()
    if event.everybody:
        return ": everybody", None
    if len(people) == 1:
        return ": {person}", people[0]
    return (f": {len(people)} people" if people else ""), None


def _alerts(count: int) -> str:
    return "1 further alert received" if count == 1 else f"{count} further alerts received"


def _words(seconds: int) -> str:
    """A response target, as people say it."""
    size, unit = next(each for each in ((3600, "hour"), (60, "minute"), (1, "second")) if seconds % each[0] == 0)
    return f"{seconds // size} {unit}{'' if seconds == size else 's'}"


def _on(event: e.AlertStep) -> str:
    return "on WhatsApp" if event.channel == "whatsapp" else f"by {event.channel}"


def _corrected(event: e.DetailsCorrected) -> list[str]:
    names = ("title", "description", "labels", "triggered_at", "acknowledged_at", "resolved_at")
    return [name.removesuffix("_at") for name in names if getattr(event, name) is not None]


class Timeline:
    """One row per event of an incident; shown in order of when it happened, then of the ledger."""

    name: str = "timeline"
    rules: int = 2
    names: tuple[str, ...] = ("timeline",)
    tables: str = """
        create table timeline (
            position        bigint primary key,
            organization_id uuid not null,
            incident_id     uuid not null,
            type            text not null,
            occurred_at     timestamptz not null,
            recorded_at     timestamptz not null,
            actor_kind      text not null,
            actor_id        uuid,
            summary         text not null,
            body            text,
            person_id       uuid
        )"""
    indexes: str = """
        create index on timeline (incident_id, occurred_at, position)"""

    _columns = (
        "position", "organization_id", "incident_id", "type", "occurred_at", "recorded_at",
        "actor_kind", "actor_id", "summary", "body", "person_id",
    )  # fmt: skip

    def write(self, cursor: Cursor[Any], entries: Sequence[Recorded]) -> None:
        copy_rows(cursor, "timeline", self._columns, map(_row, entries))


def _row(entry: Recorded) -> tuple[Any, ...]:
    event = entry.event
    return (
        entry.position,
        event.organization_id,
        entry.stream_id,
        entry.type,
        event.occurred_at,
        entry.recorded_at,
        event.actor.kind,
        event.actor.id,
        *tell(event),
    )


class Item(NamedTuple):
    """A row of the timeline."""

    position: int
    type: str
    occurred_at: datetime
    recorded_at: datetime
    actor_kind: str
    actor_id: UUID | None
    summary: str
    body: str | None
    person_id: UUID | None


async def of_incident(
    connection: AsyncConnection[Any],
    organization_id: UUID,
    incident_id: UUID,
    *,
    after: Sequence[Any] | None = None,
    limit: int = 50,
) -> tuple[list[Item], list[Any] | None]:
    """A page of an incident's timeline, and the place after its last item (None: there are no more)."""
    range_ = "and (occurred_at, position) > (%s, %s)" if after else ""
    cursor = await connection.execute(
        "select position, type, occurred_at, recorded_at, actor_kind, actor_id, summary, body, person_id"
        f" from read.timeline where organization_id = %s and incident_id = %s {range_}"
        " order by occurred_at, position limit %s",
        (organization_id, incident_id, *(after or ()), limit + 1),
    )
    items = [Item(*row) for row in await cursor.fetchall()]
    page = items[:limit]
    return page, [page[-1].occurred_at, page[-1].position] if len(items) > limit else None
