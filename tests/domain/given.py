"""Givens: who, when, and incidents at each point of their life, to start a test from."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from domain import events as e
from domain.decisions import Meta, Request
from domain.incident import Incident, fold
from domain.words import RESPONSE_TARGETS_S, Status

ORG = UUID(int=1)
ID = UUID(int=0x100)
OTHER = UUID(int=0x200)
REQUEST = UUID(int=0x300)
COMMAND = UUID(int=0x400)
T0 = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
TARGETS = RESPONSE_TARGETS_S

ALICE = e.Actor(kind="person", id=UUID(int=0xA))
BOB = e.Actor(kind="person", id=UUID(int=0xB))
CAROL = e.Actor(kind="person", id=UUID(int=0xC))
PROMETHEUS = e.Actor(kind="integration", id=UUID(int=0xD))


STEP: dict[str, Any] = {
    "delivery_id": UUID(int=0xF1), "recipient_id": UUID(int=0xF2), "channel": "whatsapp", "attempt": 2,
}  # fmt: skip
"""The second attempt to alert somebody."""


def at(minutes: float) -> datetime:
    """So many minutes after the incident was triggered."""
    return T0 + timedelta(minutes=minutes)


def meta(minutes: float = 0, by: e.Actor = ALICE, organization: UUID = ORG) -> Meta:
    return {
        "organization_id": organization,
        "actor": by,
        "occurred_at": at(minutes),
        "correlation_id": REQUEST,
        "causation_id": COMMAND,
    }


def asked(
    minutes: float = 60, by: e.Actor = ALICE, *, occurred: float | None = None, organization: UUID = ORG
) -> Request:
    """A request that came so many minutes after the trigger."""
    return Request(
        organization_id=organization,
        actor=by,
        asked_at=at(minutes),
        correlation_id=REQUEST,
        causation_id=COMMAND,
        occurred_at=None if occurred is None else at(occurred),
    )


def triggered(minutes: float = 0, by: e.Actor = ALICE, **facts: Any) -> e.IncidentTriggered:
    """Opened as high, without a category, as INC-7."""
    known = {"number": 7, "title": "Checkout is down", "severity": "high", "response_target_s": 3600, **facts}
    return e.IncidentTriggered(**meta(minutes, by), **known)


def acknowledged(minutes: float = 5, by: e.Actor = BOB) -> e.IncidentAcknowledged:
    return e.IncidentAcknowledged(**meta(minutes, by))


def investigated(minutes: float = 10, by: e.Actor = BOB) -> e.InvestigationStarted:
    return e.InvestigationStarted(**meta(minutes, by))


def resolved(minutes: float = 20, by: e.Actor = BOB) -> e.IncidentResolved:
    return e.IncidentResolved(**meta(minutes, by))


def reopened(minutes: float = 25, by: e.Actor = CAROL) -> e.IncidentReopened:
    return e.IncidentReopened(**meta(minutes, by), reason="It is back")


def merged(minutes: float = 15, by: e.Actor = BOB, into: UUID = OTHER) -> e.IncidentMerged:
    return e.IncidentMerged(**meta(minutes, by), into=into, into_number=8)


def postmortem(minutes: float = 30, by: e.Actor = CAROL) -> e.PostmortemStarted:
    return e.PostmortemStarted(**meta(minutes, by))


def corrected(minutes: float = 40, by: e.Actor = ALICE, **facts: Any) -> e.DetailsCorrected:
    return e.DetailsCorrected(**meta(minutes, by), **facts)


IN_STATUS: dict[Status, tuple[e.IncidentEvent, ...]] = {
    "triggered": (triggered(),),
    "acknowledged": (triggered(), acknowledged()),
    "investigating": (triggered(), acknowledged(), investigated()),
    "resolved": (triggered(), acknowledged(), investigated(), resolved()),
    "postmortem": (triggered(), acknowledged(), investigated(), resolved(), postmortem()),
}
"""A straight life up to each status."""

BROUGHT_THERE: dict[Status, tuple[e.Actor, datetime]] = {
    "triggered": (ALICE, at(0)),
    "acknowledged": (BOB, at(5)),
    "investigating": (BOB, at(10)),
    "resolved": (BOB, at(20)),
    "postmortem": (CAROL, at(30)),
}
"""Who brought it into the status of IN_STATUS, and when."""


def incident(*events: e.IncidentEvent, id: UUID = ID) -> Incident:
    """What these events make of an incident."""
    folded = fold(id, events)
    assert folded is not None
    return folded


def incident_in(status: Status) -> Incident:
    return incident(*IN_STATUS[status])
