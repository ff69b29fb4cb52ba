"""The commands of an incident."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

from commands.append import Key, Waiting
from domain import events as e
from domain.decisions import Request
from domain.words import AlertOutcome, Category, Severity

OWN_KEYS = "fandesk:"
"""What the program's own idempotency keys begin with; no sender's may."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordAlert(Command):
    """Tell what became of an alert to one recipient."""

    outcome: AlertOutcome
    delivery_id: UUID
    recipient_id: UUID
    channel: str
    attempt: int
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Escalate(Command):
    """Go on to the next step of the incident's policy, unless somebody has taken it on."""

    step: int
    people: tuple[UUID, ...]
    everybody: bool
    round: int
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MissTarget(Command):
    """Say that the response target has passed, unless somebody has taken it on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndMaintenance(Command):
    """Alert from now on of what a maintenance window held back, unless somebody has taken it on."""


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
    | RecordAlert
    | Escalate
    | MissTarget
    | EndMaintenance
)


def dedup_claim(organization_id: UUID, actor: e.Actor, dedup_key: str) -> Key:
    """Deduplication keys are the sender's own: two integrations may use the same without meeting."""
    sender = actor.id if actor.kind == "integration" else "api"
    return Key(organization_id, "dedup", f"{sender}:{dedup_key}")
