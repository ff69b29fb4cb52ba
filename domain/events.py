"""What can happen to an incident: immutable facts in the past tense, one type each.

An event holds person ids, never names, numbers or addresses: erasing a person leaves the ledger whole.
"""

from typing import Literal, TypeAlias
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from domain.words import Category, Instant, Severity

ActorKind = Literal["person", "integration", "whatsapp", "system"]


class Value(BaseModel):
    """An immutable value. Unknown fields are ignored, so that an older program can read a newer ledger."""

    model_config = ConfigDict(frozen=True)


class Actor(Value):
    """Who did it. `id` is the person's or the integration's; a `whatsapp` actor is a person on WhatsApp."""

    kind: ActorKind
    id: UUID | None = None


class Event(Value):
    """What every event names, besides its own facts.

    occurred_at: when it happened (may be earlier than when it was recorded).
    correlation_id: the same for everything that one outside request set in motion.
    causation_id: the command (or earlier event) that directly led to this.
    """

    organization_id: UUID
    actor: Actor
    occurred_at: Instant
    correlation_id: UUID
    causation_id: UUID


class AlertSeen(Value):
    """One distinct alert among those received, and how often it came. `labels` are the sender's own."""

    fingerprint: str
    summary: str
    labels: dict[str, str] = {}
    starts_at: str | None = None
    count: int = 1


class IncidentTriggered(Event):
    """An incident opened. `source` is `api`, an import's name, or the kind of the integration that alerted.

    maintenance: the window in which it was expected, by name: it wakes nobody.
    """

    number: int
    title: str
    description: str = ""
    severity: Severity
    category: Category | None = None
    response_target_s: int
    labels: dict[str, str] = {}
    source: str = "api"
    dedup_key: str | None = None
    team: str | None = None
    alerts: tuple[AlertSeen, ...] = ()
    maintenance: str | None = None


class IncidentAcknowledged(Event):
    """Somebody took it on. Stops the clock of the time to acknowledge."""

    note: str | None = None


class InvestigationStarted(Event):
    """Work began. From triggered it acknowledges too, at the same instant."""

    note: str | None = None


class UpdatePosted(Event):
    """A person, an integration or an import said something about it."""

    body: str


class ResponderAssigned(Event):
    """A person leads it now; `person_id` is null when the lead was taken away. `because`: why, if not by hand."""

    person_id: UUID | None = None
    because: str | None = None


class TeamAssigned(Event):
    """A team owns it now; `team` is null when the owner was taken away.

    because: why, if not by hand; rule: the routing rule that chose it, if one did.
    """

    team: str | None = None
    because: str | None = None
    rule: UUID | None = None


class SeverityChanged(Event):
    """Its severity, and with it the response target, is another."""

    severity: Severity
    previous: Severity
    response_target_s: int
    reason: str | None = None


class CategoryChanged(Event):
    """Its category is another; null is unclassified."""

    category: Category | None = None
    previous: Category | None = None


class AlertReceived(Event):
    """`count` further alerts arrived for it between `first_at` and `last_at`; the distinct ones are listed."""

    count: int
    first_at: Instant
    last_at: Instant
    alerts: tuple[AlertSeen, ...] = ()


class IncidentEscalated(Event):
    """Nobody acknowledged in time, so the next step of the policy was alerted.

    people: who; everybody: also all recipients of the organisation; round: from 2 on a repetition.
    """

    step: int
    reason: str | None = None
    people: tuple[UUID, ...] | None = None
    everybody: bool | None = None
    round: int | None = None


class ResponseTargetMissed(Event):
    """Nobody acknowledged within the response target."""

    response_target_s: int


class MaintenanceEnded(Event):
    """The maintenance window in which it was expected is over, and nobody has taken it on: people are alerted of
    it from now on. window: its name; severity: the incident's."""

    window: str
    severity: Severity


class IncidentResolved(Event):
    """It is over. The last one of these stops the clock of the time to resolve."""

    note: str | None = None


class IncidentReopened(Event):
    """It was not over: back to investigating."""

    reason: str


class IncidentMerged(Event):
    """It is the same as another, which goes on in its place; this one is closed."""

    into: UUID
    into_number: int


class IncidentAbsorbed(Event):
    """Another incident was merged into this one, with the alerts it had received."""

    merged_id: UUID
    merged_number: int
    alert_count: int


class DetailsCorrected(Event):
    """What was written down wrongly, put right. Only what is set changes; `labels` replaces all labels."""

    title: str | None = None
    description: str | None = None
    labels: dict[str, str] | None = None
    triggered_at: Instant | None = None
    acknowledged_at: Instant | None = None
    resolved_at: Instant | None = None
    reason: str | None = None


class PostmortemStarted(Event):
    """What was learned is being written down."""


class AlertStep(Event):
    """What became of one alert to one recipient. `channel` is `whatsapp` or the kind of a fallback channel."""

    delivery_id: UUID
    recipient_id: UUID
    channel: str
    attempt: int


class AlertSent(AlertStep):
    """The channel's provider has taken it."""


class AlertDelivered(AlertStep):
    """It is on the recipient's device."""


class AlertRead(AlertStep):
    """The recipient has opened it."""


class AlertFailed(AlertStep):
    """It could not be delivered, and is not tried again on this channel."""

    reason: str


NOTICES = (
    AlertSent,
    AlertDelivered,
    AlertRead,
    AlertFailed,
    IncidentEscalated,
    ResponseTargetMissed,
    MaintenanceEnded,
)
"""What the program itself tells of an incident that waits for somebody: no person's change stands against it."""

IncidentEvent: TypeAlias = (
    IncidentTriggered
    | IncidentAcknowledged
    | InvestigationStarted
    | UpdatePosted
    | ResponderAssigned
    | TeamAssigned
    | SeverityChanged
    | CategoryChanged
    | AlertReceived
    | IncidentEscalated
    | ResponseTargetMissed
    | MaintenanceEnded
    | IncidentResolved
    | IncidentReopened
    | IncidentMerged
    | IncidentAbsorbed
    | DetailsCorrected
    | PostmortemStarted
    | AlertSent
    | AlertDelivered
    | AlertRead
    | AlertFailed
)
"""Every event an incident's stream may hold: a closed union, matched exhaustively."""
