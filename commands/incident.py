"""The commands of an incident, and how each is decided: state in, events and claims out."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, TypeAlias, assert_never
from uuid import UUID

from commands.event_store import Append, Claim, Held, Key, Waiting
from domain import decisions
from domain import events as e
from domain.decisions import Request
from domain.errors import DedupKeyTaken, IncidentNotFound, InvalidField
from domain.incident import Incident
from domain.words import Category, Severity


@dataclass(frozen=True, slots=True)
class Idempotency:
    """The key a sender gave to a request, and the SHA-256 of all that the request says."""

    key: str
    request_hash: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A wish to change one incident. if_match: the version the sender last saw, where it insists on it."""

    request: Request
    incident_id: UUID
    idempotency: Idempotency | None = None
    if_match: int | None = None

    def idempotency_keys(self) -> list[Key]:
        """The claim that its Idempotency-Key is."""
        if self.idempotency is None:
            return []
        return [Key(self.request.organization_id, "idempotency", self.idempotency.key)]

    def keys(self) -> list[Key]:
        """The other claims that must be known to decide it."""
        return []

    def streams(self) -> list[UUID]:
        """The incidents that must be known to decide it."""
        return [self.incident_id]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger(Command):
    """Open an incident; where an open one has the same dedup_key, the alerts are counted there instead."""

    title: str
    severity: Severity
    category: Category | None = None
    description: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    source: str = "api"
    dedup_key: str | None = None
    team: str | None = None
    alerts: tuple[e.AlertSeen, ...] = ()

    def dedup(self) -> Key | None:
        if self.dedup_key is None:
            return None
        return dedup_claim(self.request.organization_id, self.request.actor, self.dedup_key)

    def streams(self) -> list[UUID]:
        return []  # its own is new

    def keys(self) -> list[Key]:
        key = self.dedup()
        return [key] if key else []


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledge(Command):
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Investigate(Command):
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolve(Command):
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reopen(Command):
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PostUpdate(Command):
    body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeSeverity(Command):
    severity: Severity
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeCategory(Command):
    category: Category | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AssignResponder(Command):
    person_id: UUID | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AssignTeam(Command):
    team: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Merge(Command):
    into: UUID

    def streams(self) -> list[UUID]:
        return [self.incident_id, self.into]


@dataclass(frozen=True, slots=True, kw_only=True)
class Correct(Command):
    title: str | None = None
    description: str | None = None
    labels: dict[str, str] | None = None
    triggered_at: datetime | None = None
    acknowledged_at: datetime | None = None
    resolved_at: datetime | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClearAlerts(Command):
    """The sender of alerts says that what they were about is over; `incident_id` was seen to hold the key."""

    dedup_key: str
    summary: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldAlerts(Command):
    """Account for alerts that waited in the intake by one AlertReceived."""

    waiting: tuple[Waiting, ...]


IncidentCommand: TypeAlias = (
    Trigger
    | Acknowledge
    | Investigate
    | Resolve
    | Reopen
    | PostUpdate
    | ChangeSeverity
    | ChangeCategory
    | AssignResponder
    | AssignTeam
    | Merge
    | Correct
    | ClearAlerts
    | FoldAlerts
)


class Workspace(Protocol):
    """What a decision may look at."""

    def incident(self, organization_id: UUID, incident_id: UUID) -> Incident:
        """The incident as it stands. Raises IncidentNotFound, also for another organisation's."""

    def holder(self, key: Key) -> Held | None:
        """Who holds a claim."""

    def targets(self, organization_id: UUID) -> Mapping[Severity, int]:
        """The organisation's response targets, in seconds."""


@dataclass(slots=True)
class Draft:
    """What a command would change: events by stream, and the rest of an Append. `incident_id`: its answer."""

    incident_id: UUID
    events: dict[UUID, decisions.Events]
    rest: Append = field(default_factory=Append)


def dedup_claim(organization_id: UUID, actor: e.Actor, dedup_key: str) -> Key:
    """Deduplication keys are the sender's own: two integrations may use the same without meeting."""
    sender = actor.id if actor.kind == "integration" else "api"
    return Key(organization_id, "dedup", f"{sender}:{dedup_key}")


def decide(command: IncidentCommand, look: Workspace) -> Draft:
    """The changes that a command leads to. Raises a Refusal where it may not be."""
    request, id = command.request, command.incident_id
    if isinstance(command, Trigger):
        return _trigger(command, look)
    incident = look.incident(request.organization_id, id)
    events: decisions.Events
    match command:
        case Acknowledge():
            events = decisions.acknowledge(incident, request, note=command.note)
        case Investigate():
            events = decisions.investigate(incident, request, note=command.note)
        case Resolve():
            events = decisions.resolve(incident, request, note=command.note)
            return Draft(id, {id: events}, _release(incident))
        case Reopen():
            events = decisions.reopen(incident, request, reason=command.reason)
            return Draft(id, {id: events}, _hold_again(incident, look))
        case PostUpdate():
            events = decisions.post_update(incident, request, body=command.body)
        case ChangeSeverity():
            targets = look.targets(request.organization_id)
            events = decisions.change_severity(
                incident, request, severity=command.severity, targets=targets, reason=command.reason
            )
        case ChangeCategory():
            events = decisions.change_category(incident, request, category=command.category)
        case AssignResponder():
            events = decisions.assign_responder(incident, request, person_id=command.person_id)
        case AssignTeam():
            events = decisions.assign_team(incident, request, team=command.team)
        case Correct():
            events = decisions.correct(
                incident,
                request,
                title=command.title,
                description=command.description,
                labels=command.labels,
                triggered_at=command.triggered_at,
                acknowledged_at=command.acknowledged_at,
                resolved_at=command.resolved_at,
                reason=command.reason,
            )
        case Merge():
            try:
                into = look.incident(request.organization_id, command.into)
            except IncidentNotFound as missing:
                raise InvalidField("into", missing.detail) from missing
            merged, absorbed = decisions.merge(incident, into, request)
            heir = Claim("move", Key(request.organization_id, "dedup", str(into.id)), incident.id)
            rest = Append(claims=[heir]) if into.is_open else _release(incident)
            return Draft(id, {id: merged, into.id: absorbed}, rest)
        case ClearAlerts():
            return _clear(command, incident)
        case FoldAlerts():
            events = decisions.receive_alerts(
                incident,
                request,
                first_at=min(row.received_at for row in command.waiting),
                last_at=max(row.received_at for row in command.waiting),
                alerts=distinct(alert for row in command.waiting for alert in row.alerts),
            )
            return Draft(id, {id: events}, Append(folds=[row.id for row in command.waiting]))
        case _:
            assert_never(command)
    return Draft(id, {id: events})


def distinct(alerts: Iterable[e.AlertSeen], *, at_most: int = 100) -> tuple[e.AlertSeen, ...]:
    """The alerts with equal ones counted together. Beyond `at_most` kinds the rest is one entry: all count."""
    kinds: dict[str, e.AlertSeen] = {}
    others = 0
    for alert in alerts:
        seen = kinds.get(alert.fingerprint)
        if seen is not None:
            kinds[alert.fingerprint] = seen.model_copy(update={"count": seen.count + alert.count})
        elif len(kinds) < at_most:
            kinds[alert.fingerprint] = alert
        else:
            others += alert.count
    rest = e.AlertSeen(fingerprint="", summary=f"other alerts beyond {at_most} kinds", count=others or 1)
    return (*kinds.values(), rest) if others else tuple(kinds.values())


def _trigger(command: Trigger, look: Workspace) -> Draft:
    request, key = command.request, command.dedup()
    held = look.holder(key) if key else None
    if key and held:
        return _attach(command, look.incident(request.organization_id, held.stream_id), key)
    events = decisions.trigger(
        request,
        number=0,  # the ledger puts the organisation's next one there
        title=command.title,
        severity=command.severity,
        targets=look.targets(request.organization_id),
        category=command.category,
        description=command.description,
        labels=command.labels,
        source=command.source,
        dedup_key=command.dedup_key,
        team=command.team,
        alerts=distinct(command.alerts),
    )
    id = command.incident_id
    claims = [Claim("take", key, id)] if key else []
    return Draft(id, {id: events}, Append(claims=claims, opens=True))


def _attach(command: Trigger, incident: Incident, key: Key) -> Draft:
    """Count a further alert: a person's at once, an integration's by way of the intake, which folds storms."""
    request = command.request
    still_held = Claim("held", key, incident.id)
    alerts = command.alerts or (e.AlertSeen(fingerprint=key.key, summary=command.title),)
    if request.actor.kind == "integration" and request.actor.id is not None:
        row = Waiting(
            command.incident_id, request.organization_id, incident.id, request.actor.id, request.asked_at, alerts
        )
        return Draft(incident.id, {}, Append(claims=[still_held], intake=[row]))
    events = decisions.receive_alerts(
        incident, request, first_at=request.at, last_at=request.at, alerts=distinct(alerts)
    )
    return Draft(incident.id, {incident.id: events}, Append(claims=[still_held]))


def _clear(command: ClearAlerts, incident: Incident) -> Draft:
    """Resolve what the alerts opened. Where they were merged into it, or it was told apart since, say so."""
    request, id = command.request, incident.id
    if not incident.is_open:
        return Draft(id, {})
    if incident.dedup_key == command.dedup_key and incident.source_id == request.actor.id:
        events = decisions.resolve(incident, request, note=command.summary)
        return Draft(id, {id: events}, _release(incident))
    return Draft(id, {id: decisions.post_update(incident, request, body=command.summary)})


def _release(incident: Incident) -> Append:
    """Free the deduplication keys of an incident that is over: the next alert opens a new one."""
    return Append(claims=[Claim("release", Key(incident.organization_id, "dedup", ""), incident.id)])


def _hold_again(incident: Incident, look: Workspace) -> Append:
    if incident.dedup_key is None:
        return Append()
    sender = e.Actor(kind="integration" if incident.source_id else "person", id=incident.source_id)
    key = dedup_claim(incident.organization_id, sender, incident.dedup_key)
    held = look.holder(key)
    if held is not None and held.stream_id != incident.id:
        other = look.incident(incident.organization_id, held.stream_id)
        raise DedupKeyTaken(
            f"INC-{other.number} is open for the same alerts. Work there, or resolve or merge it first.",
            incident_id=other.id,
        )
    return Append(claims=[Claim("take", key, incident.id)])
