"""What is told of an incident without anybody asking: alerts that came and went, timers that have run out."""

from datetime import datetime
from uuid import UUID

from domain import events as e
from domain.decisions import Events, Request, lacking
from domain.incident import Incident
from domain.placing import NOWHERE, Place
from domain.words import AlertOutcome


def receive_alerts(
    incident: Incident, request: Request, *, first_at: datetime, last_at: datetime, alerts: tuple[e.AlertSeen, ...]
) -> Events:
    """Count further alerts that arrived for it while it was open, also where it has been closed since."""
    count = sum(alert.count for alert in alerts)
    return (e.AlertReceived(**request.meta(), count=count, first_at=first_at, last_at=last_at, alerts=alerts),)


def escalate(
    incident: Incident,
    request: Request,
    *,
    step: int,
    people: tuple[UUID, ...],
    everybody: bool,
    round: int,
    reason: str | None = None,
) -> Events:
    """Go on to the next step of its policy; nothing happens where somebody has taken it on, or it is over."""
    if not incident.waits:
        return ()
    return (
        e.IncidentEscalated(
            **request.meta(), step=step, people=people, everybody=everybody or None, round=round, reason=reason
        ),
    )


def miss_target(incident: Incident, request: Request) -> Events:
    """Say that the response target has passed; nothing happens where it has not, or somebody has taken it on."""
    if not incident.waits or request.at < incident.response_due_at:
        return ()
    meta = request.meta() | {"occurred_at": incident.response_due_at}
    return (e.ResponseTargetMissed(**meta, response_target_s=incident.response_target_s),)


def end_maintenance(incident: Incident, request: Request, *, place: Place = NOWHERE) -> Events:
    """Alert from now on of what a maintenance window held back; nothing happens where somebody has taken it on.

    place: where it goes by itself now; who has it already keeps it.
    """
    if incident.maintenance is None or not incident.waits:
        return ()
    return (
        e.MaintenanceEnded(**request.meta(), window=incident.maintenance, severity=incident.severity),
        *lacking(incident, request, place),
    )


def record_alert(
    request: Request,
    *,
    outcome: AlertOutcome,
    delivery_id: UUID,
    recipient_id: UUID,
    channel: str,
    attempt: int,
    reason: str = "",
) -> Events:
    """Tell what became of an alert, in any status of the incident: it is so, whatever was decided meanwhile."""
    step = {"delivery_id": delivery_id, "recipient_id": recipient_id, "channel": channel, "attempt": attempt}
    kind: type[e.AlertStep]
    match outcome:
        case "sent":
            kind = e.AlertSent
        case "delivered":
            kind = e.AlertDelivered
        case "read":
            kind = e.AlertRead
        case "failed":
            kind, step["reason"] = e.AlertFailed, reason
    return (kind.model_validate({**request.meta(), **step}),)
