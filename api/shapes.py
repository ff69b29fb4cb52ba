"""What answers look like, for the OpenAPI document. `views` renders them; a test holds the two together."""

from typing import Any
from uuid import UUID

from pydantic import BaseModel

from domain.alerting import DeliveryState
from domain.words import Category, Severity, Status


class Incident(BaseModel):
    """An incident. Times are RFC 3339 in UTC with microseconds, durations in seconds. maintenance: the window in
    which it was expected, so that it woke nobody."""

    id: UUID
    number: str
    title: str
    description: str
    severity: Severity
    category: Category | None
    status: Status
    team: str | None
    assignee: UUID | None
    assignee_name: str | None
    source: str
    dedup_key: str | None
    maintenance: str | None
    labels: dict[str, str]
    triggered_at: str
    acknowledged_at: str | None
    investigating_at: str | None
    first_resolved_at: str | None
    resolved_at: str | None
    reopen_count: int
    alert_count: int
    merged_into: UUID | None
    time_to_acknowledge_s: float | None
    time_to_resolve_s: float | None
    response_target_s: int
    response_due_at: str
    response_breached: bool
    version: int


class IncidentPage(BaseModel):
    """A page of incidents; `next_cursor` is null on the last."""

    items: list[Incident]
    next_cursor: str | None


class Actor(BaseModel):
    """Who did it. kind: person, integration, whatsapp (a person on it) or system; name: null where unknown or
    erased; via: whatsapp, where that is how a person did it."""

    kind: str
    id: UUID | None
    name: str | None
    via: str | None = None


class TimelineItem(BaseModel):
    """What happened, in words."""

    position: int
    type: str
    occurred_at: str
    recorded_at: str
    actor: Actor
    summary: str
    body: str | None


class TimelinePage(BaseModel):
    """A page of a timeline."""

    items: list[TimelineItem]
    next_cursor: str | None


class Named(BaseModel):
    """Somebody, by id and name."""

    id: UUID
    name: str


class NumberedIncident(BaseModel):
    """An incident, by id and number; the number is null until the read models have it."""

    id: UUID
    number: str | None


class Delivery(BaseModel):
    """An alert to a recipient and what became of it; times are null for what has not happened. `unknown`: it
    left, and nothing was heard since. `superseded`: a later attempt stands for it. `wamid`: WhatsApp's id."""

    id: UUID
    recipient: Named
    channel: str
    attempt: int
    severity: Severity | None
    state: DeliveryState
    reason: str | None
    error_code: int | None
    wamid: str | None
    superseded: bool
    due_at: str
    queued_at: str
    sending_at: str | None
    unknown_at: str | None
    sent_at: str | None
    delivered_at: str | None
    read_at: str | None
    failed_at: str | None
    cancelled_at: str | None


class DeliveryPage(BaseModel):
    """A page of deliveries."""

    items: list[Delivery]
    next_cursor: str | None


class LastDelivery(BaseModel):
    """What became of the last alert to a recipient, and since when it is so."""

    state: DeliveryState
    at: str
    incident: NumberedIncident


class Recipient(BaseModel):
    """Somebody who is alerted. whatsapp: E.164; fallback: the scheme of the address, the rest is never shown."""

    id: UUID
    name: str
    whatsapp: str
    severities: list[Severity]
    person: UUID | None
    opt_in: bool
    opted_in_at: str | None
    fallback: str | None
    created_at: str
    last_delivery: LastDelivery | None


class RecipientPage(BaseModel):
    """A page of recipients."""

    items: list[Recipient]
    next_cursor: str | None


class LedgerEntry(BaseModel):
    """An entry of the ledger; `payload` is the event's JSON, byte for byte as it was stored."""

    position: int
    incident_id: UUID
    version: int
    type: str
    schema_version: int
    recorded_at: str
    payload: dict[str, Any]


class LedgerPage(BaseModel):
    """A page of ledger entries."""

    items: list[LedgerEntry]
    next_cursor: str | None


class Duration(BaseModel):
    """A figure over n durations; null where n is 0."""

    n: int
    mean_s: float | None
    p50_s: float | None
    p90_s: float | None
    p95_s: float | None
    negative: int


class Compliance(BaseModel):
    """How many were acknowledged within their response target, and how many whose time is over were not."""

    met: int
    breached: int


class Figures(BaseModel):
    """Figures of a group of incidents; `key` is null for those without a value."""

    key: str | None
    incidents: int
    open: int
    acknowledged: int
    unacknowledged: int
    resolved: int
    reopened_incidents: int
    reopenings: int
    tta: Duration
    ttr: Duration
    ttr_first: Duration
    response_target: Compliance


class Summary(BaseModel):
    """Figures of incidents triggered in [from, to)."""

    tz: str
    group_by: str
    groups: list[Figures]
    overall: Figures


class WrongField(BaseModel):
    """A field that cannot be accepted, and why."""

    field: str
    detail: str


class Problem(BaseModel):
    """RFC 9457. `incident_status`, `acted_by` and `acted_at` where an incident's status forbids a command."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[WrongField] | None = None
    incident_status: Status | None = None
    acted_by: Actor | None = None
    acted_at: str | None = None


PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": description}
    for status, description in (
        (401, "No valid token"),
        (403, "Not for this role"),
        (404, "Not there, or another organisation's"),
        (413, "Body too large"),
        (422, "A field cannot be accepted"),
        (503, "Try again after Retry-After seconds"),
    )
}

CONFLICTS: dict[int | str, dict[str, Any]] = {
    409: {
        "model": Problem,
        "description": "Refused by the lifecycle, or an Idempotency-Key used already",
    },
    412: {"model": Problem, "description": "Changed since the version in If-Match"},
}


TAKEN: dict[int | str, dict[str, Any]] = {
    409: {"model": Problem, "description": "Another recipient has this number"}
}


def shows(model: type[BaseModel], *statuses: int) -> dict[int | str, dict[str, Any]]:
    """The answer's shape, by status."""
    return {status: {"model": model} for status in statuses or (200,)}
