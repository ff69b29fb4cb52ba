"""When people are alerted, when that ends, and how a delivery may go on: rules without a clock or a network."""

from typing import Final, Literal

from domain import events as e
from domain.words import SEVERITIES, Severity

DeliveryState = Literal[
    "queued", "sending", "sent", "delivered", "read", "failed", "unknown", "not_configured", "cancelled"
]

ALERTED: Final[frozenset[Severity]] = frozenset(("critical", "high"))
"""An incident of these wakes people; others are looked at when somebody has time."""

MAY_BECOME: Final[dict[DeliveryState, frozenset[DeliveryState]]] = {
    "queued": frozenset(("sending", "cancelled")),
    "sending": frozenset(("sent", "delivered", "read", "failed", "unknown", "not_configured")),
    "unknown": frozenset(("sent", "delivered", "read", "failed")),
    "sent": frozenset(("delivered", "read", "failed")),
    "delivered": frozenset(("read",)),
    "read": frozenset(),
    "failed": frozenset(),
    "not_configured": frozenset(),
    "cancelled": frozenset(),
}
"""A delivery's state only goes forward. `unknown`: it may or may not have left, nobody has told us yet."""

STOPS: Final = (e.IncidentAcknowledged, e.InvestigationStarted, e.IncidentResolved, e.IncidentMerged)
"""After one of these nobody needs to be woken any more."""

RESEND_UNKNOWN_AFTER_S: Final[dict[Severity, float]] = {"critical": 30.0, "high": 60.0}
"""How long it may stay unknown whether an alert arrived before it is sent again: a duplicate beats silence."""


def before(state: DeliveryState) -> list[DeliveryState]:
    """The states that may become this one."""
    return [now for now, following in MAY_BECOME.items() if state in following]


def calls_for(event: e.IncidentEvent) -> Severity | None:
    """The severity that people have to be alerted of because of this event, None where nobody has to be.

    That is an incident triggered as critical or high, or raised to one of them. What the system itself writes
    down is history that was taken over from elsewhere, and what falls into a maintenance window was expected:
    they wake nobody, until the window is over.
    """
    if isinstance(event, e.MaintenanceEnded):
        return event.severity if event.severity in ALERTED else None
    if event.actor.kind == "system":
        return None
    match event:
        case e.IncidentTriggered(severity=severity, maintenance=None) if severity in ALERTED:
            return severity
        case e.SeverityChanged(severity=severity) if severity in ALERTED and is_raised(event):
            return severity
    return None


def is_raised(event: e.SeverityChanged) -> bool:
    """Whether it is more severe than before."""
    return _rank(event.severity) < _rank(event.previous)


def ends_alerting(event: e.IncidentEvent) -> bool:
    """Whether what has not left yet need not leave any more."""
    if isinstance(event, e.SeverityChanged):
        return event.severity not in ALERTED
    return isinstance(event, STOPS)


def _rank(severity: Severity) -> int:
    return SEVERITIES.index(severity)
