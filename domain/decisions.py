"""What may happen to an incident: pure functions from its state and a request to new events, or a refusal.

Time and ids come in through `Request`; nothing here reads a clock. Each returns the events to append; an
empty tuple means that it is so already.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypedDict
from uuid import UUID

from domain import events as e
from domain.errors import InvalidField, NotAllowedNow
from domain.incident import Incident
from domain.placing import NOWHERE, Place
from domain.words import Category, Severity, Status

Events = tuple[e.IncidentEvent, ...]

SYSTEM = e.Actor(kind="system")

AHEAD = timedelta(minutes=5)
"""How far ahead of our clock a sender's may be."""

EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
"""Nothing is recorded as having happened before this."""


class Meta(TypedDict):
    """What every event names, besides its own facts."""

    organization_id: UUID
    actor: e.Actor
    occurred_at: datetime
    correlation_id: UUID
    causation_id: UUID


@dataclass(frozen=True, slots=True)
class Request:
    """Who asks for a change, in which organisation, and when.

    asked_at: our clock when the request came. occurred_at: when the change really happened, if not then.
    """

    organization_id: UUID
    actor: e.Actor
    asked_at: datetime
    correlation_id: UUID
    causation_id: UUID
    occurred_at: datetime | None = None

    @property
    def at(self) -> datetime:
        return self.occurred_at or self.asked_at

    def meta(self) -> Meta:
        return {
            "organization_id": self.organization_id,
            "actor": self.actor,
            "occurred_at": self.at,
            "correlation_id": self.correlation_id,
            "causation_id": self.causation_id,
        }


def trigger(
    request: Request,
    *,
    number: int,
    title: str,
    severity: Severity,
    targets: Mapping[Severity, int],
    category: Category | None = None,
    description: str = "",
    labels: dict[str, str] | None = None,
    source: str = "api",
    dedup_key: str | None = None,
    team: str | None = None,
    alerts: tuple[e.AlertSeen, ...] = (),
    place: Place = NOWHERE,
) -> Events:
    """Open an incident. May be backdated as far as 1970, not more than five minutes ahead of the clock.

    place: where it goes by itself; a team named by hand is `team`.
    """
    _check_instant(request, earliest=EARLIEST, what="1970")
    opened: Events = (
        e.IncidentTriggered(
            **request.meta(),
            number=number,
            title=title,
            description=description,
            severity=severity,
            category=category,
            response_target_s=targets[severity],
            labels=labels or {},
            source=source,
            dedup_key=dedup_key,
            team=team,
            alerts=alerts,
            maintenance=place.maintenance,
        ),
    )
    return opened + _placed(request, place, team=place.team if team is None else None, person=place.person)


def _placed(request: Request, place: Place, *, team: str | None, person: UUID | None) -> Events:
    """Give it to that team and that person, who were found for it; None: to nobody else."""
    meta = request.meta() | {"actor": SYSTEM}
    events: Events = ()
    if team is not None:
        events += (e.TeamAssigned(**meta, team=team, because=place.team_because, rule=place.rule),)
    if person is not None:
        events += (e.ResponderAssigned(**meta, person_id=person, because=place.person_because),)
    return events


def lacking(incident: Incident, request: Request, place: Place) -> Events:
    """Give it what it has not."""
    team = place.team if incident.team is None else None
    return _placed(request, place, team=team, person=place.person if incident.assignee is None else None)


def acknowledge(incident: Incident, request: Request, *, note: str | None = None) -> Events:
    """Take it on. Only a triggered incident can be acknowledged."""
    _check(incident, request, "acknowledged", allowed=("triggered",))
    return (e.IncidentAcknowledged(**request.meta(), note=note),)


def investigate(incident: Incident, request: Request, *, note: str | None = None) -> Events:
    """Start work. From triggered this acknowledges too."""
    _check(incident, request, "investigated", allowed=("triggered", "acknowledged"))
    return (e.InvestigationStarted(**request.meta(), note=note),)


def resolve(incident: Incident, request: Request, *, note: str | None = None) -> Events:
    """Declare it over, from any open status."""
    _check(incident, request, "resolved", allowed=("triggered", "acknowledged", "investigating"))
    return (e.IncidentResolved(**request.meta(), note=note),)


def reopen(incident: Incident, request: Request, *, reason: str) -> Events:
    """Declare that it is not over after all."""
    _check(incident, request, "reopened", allowed=("resolved", "postmortem"))
    return (e.IncidentReopened(**request.meta(), reason=reason),)


def start_postmortem(incident: Incident, request: Request) -> Events:
    """Begin to write down what was learned. Only after it was resolved."""
    _check(incident, request, "taken to its postmortem", allowed=("resolved",))
    return (e.PostmortemStarted(**request.meta()),)


def post_update(incident: Incident, request: Request, *, body: str) -> Events:
    """Say something about it, in any status."""
    _check(incident, request, "updated")
    return (e.UpdatePosted(**request.meta(), body=body),)


def change_severity(
    incident: Incident,
    request: Request,
    *,
    severity: Severity,
    targets: Mapping[Severity, int],
    reason: str | None = None,
    place: Place = NOWHERE,
) -> Events:
    """Set the severity, and with it the response target. Nothing happens where it is that already.

    place: where it goes by itself with that severity; who has it already keeps it.
    """
    _check(incident, request, "given another severity")
    if severity == incident.severity:
        return ()
    return (
        e.SeverityChanged(
            **request.meta(),
            severity=severity,
            previous=incident.severity,
            response_target_s=targets[severity],
            reason=reason,
        ),
        *lacking(incident, request, place),
    )


def change_category(
    incident: Incident, request: Request, *, category: Category | None, place: Place = NOWHERE
) -> Events:
    """Set the category. Nothing happens where it is that already.

    place: where it goes by itself with that category. A team that was named by hand keeps it; so does who leads
    it, if named by hand or at work on it already.
    """
    _check(incident, request, "given another category")
    if category == incident.category:
        return ()
    moves = place.team not in (None, incident.team) and not incident.team_by_hand
    leads = incident.assignee is not None and (
        not moves or incident.lead_by_hand or incident.status != "triggered" or place.person == incident.assignee
    )
    return (
        e.CategoryChanged(**request.meta(), category=category, previous=incident.category),
        *_placed(request, place, team=place.team if moves else None, person=None if leads else place.person),
    )


def assign_responder(incident: Incident, request: Request, *, person_id: UUID | None) -> Events:
    """Set who leads it; None takes the lead away."""
    _check(incident, request, "assigned")
    if person_id == incident.assignee:
        return ()
    return (e.ResponderAssigned(**request.meta(), person_id=person_id),)


def assign_team(incident: Incident, request: Request, *, team: str | None) -> Events:
    """Set which team owns it; None takes the owner away."""
    _check(incident, request, "assigned")
    if team == incident.team:
        return ()
    return (e.TeamAssigned(**request.meta(), team=team),)


def merge(incident: Incident, into: Incident, request: Request) -> tuple[Events, Events]:
    """Declare it the same as `into`: the events of each of the two."""
    if incident.id == into.id:
        raise InvalidField("into", "An incident cannot be merged into itself.")
    _check(incident, request, "merged")
    if into.merged_into is not None:
        raise _not_allowed(into, "have others merged into it")
    _check_instant(request, earliest=into.triggered_at, what="the other incident was triggered")
    merged = e.IncidentMerged(**request.meta(), into=into.id, into_number=into.number)
    absorbed = e.IncidentAbsorbed(
        **request.meta(),
        merged_id=incident.id,
        merged_number=incident.number,
        alert_count=incident.alert_count,
    )
    return (merged,), (absorbed,)


def correct(
    incident: Incident,
    request: Request,
    *,
    title: str | None = None,
    description: str | None = None,
    labels: dict[str, str] | None = None,
    triggered_at: datetime | None = None,
    acknowledged_at: datetime | None = None,
    resolved_at: datetime | None = None,
    reason: str | None = None,
) -> Events:
    """Put right what was written down wrongly; only what is given and differs is changed.

    A time can be corrected only where there is one, and the trigger stays the earliest of them.
    """
    _check(incident, request, "corrected")
    given = {
        "title": title,
        "description": description,
        "labels": labels,
        "triggered_at": triggered_at,
        "acknowledged_at": acknowledged_at,
        "resolved_at": resolved_at,
    }
    changed = {name: new for name, new in given.items() if new is not None and new != getattr(incident, name)}
    if not changed:
        return ()
    event = e.DetailsCorrected.model_validate({**request.meta(), **changed, "reason": reason})
    _check_corrected_times(incident, request, event)
    return (event,)


def _check_corrected_times(incident: Incident, request: Request, event: e.DetailsCorrected) -> None:
    """Refuse times that cannot be, or that put out of order what was in it; what imports brought may stay odd."""
    corrected = {name for name in ("triggered_at", "acknowledged_at", "resolved_at") if getattr(event, name)}
    for name in corrected:
        if getattr(incident, name) is None:
            raise InvalidField(name, "The incident has no such time yet, so it cannot be corrected.")
        if not EARLIEST <= getattr(event, name) <= request.asked_at + AHEAD:
            raise InvalidField(name, "Must not lie before 1970 or more than five minutes in the future.")
    then = incident.copy()
    then.apply(event)
    for name in ("acknowledged_at", "resolved_at", "first_resolved_at"):
        was, now = getattr(incident, name), getattr(then, name)
        if now is not None and now < then.triggered_at and (was >= incident.triggered_at or now != was):
            wrong = name if name in corrected else "triggered_at"
            raise InvalidField(wrong, f"Would put {name} before the trigger.")
    first, last = then.first_resolved_at, then.resolved_at
    if "resolved_at" in corrected and first is not None and last is not None and last < first:
        raise InvalidField("resolved_at", "Must not lie before the first resolve.")


def _check(incident: Incident, request: Request, what: str, *, allowed: tuple[Status, ...] | None = None) -> None:
    """Refuse where the incident was merged away, its status forbids it, or its time is impossible."""
    if incident.merged_into is not None or (allowed is not None and incident.status not in allowed):
        raise _not_allowed(incident, f"be {what}")
    _check_instant(request, earliest=incident.triggered_at)


def _not_allowed(incident: Incident, what: str) -> NotAllowedNow:
    now = "merged into another" if incident.merged_into is not None else incident.status
    return NotAllowedNow(
        f"INC-{incident.number} is {now}, so it cannot {what}.",
        incident_id=incident.id,
        number=incident.number,
        status=incident.status,
        acted_by=incident.status_by,
        acted_at=incident.status_at,
    )


def _check_instant(request: Request, *, earliest: datetime, what: str = "the incident was triggered") -> None:
    if request.occurred_at is None:
        return
    if request.occurred_at > request.asked_at + AHEAD:
        raise InvalidField("occurred_at", "Must not lie more than five minutes in the future.")
    if request.occurred_at < earliest:
        raise InvalidField("occurred_at", f"Must not lie before {what}.")
