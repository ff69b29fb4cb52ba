"""From events to the facts that the figures are computed from, also in the odd orders of real histories."""

from datetime import timedelta
from typing import Any, NamedTuple

import pytest
from given import (
    OTHER,
    STEP,
    acknowledged,
    at,
    corrected,
    incident,
    investigated,
    merged,
    meta,
    postmortem,
    reopened,
    resolved,
    triggered,
)

from domain import events as e

M = 60.0


class Case(NamedTuple):
    given: tuple[e.IncidentEvent, ...]
    status: str
    tta_s: float | None = None
    ttr_s: float | None = None
    ttr_first_s: float | None = None
    reopenings: int = 0


CASES = {
    "only triggered": Case((triggered(),), "triggered"),
    "acknowledged": Case((triggered(), acknowledged(5)), "acknowledged", 5 * M),
    "investigated without acknowledgement": Case((triggered(), investigated(7)), "investigating", 7 * M),
    "the first acknowledgement counts": Case(
        (triggered(), acknowledged(5), investigated(7), acknowledged(9)), "investigating", 5 * M
    ),
    "resolved without acknowledgement": Case((triggered(), resolved(20)), "resolved", None, 20 * M, 20 * M),
    "resolved": Case((triggered(), acknowledged(5), resolved(20)), "resolved", 5 * M, 20 * M, 20 * M),
    "reopened": Case((triggered(), resolved(20), reopened(25)), "investigating", None, None, 20 * M, 1),
    "reopened and resolved": Case(
        (triggered(), acknowledged(5), resolved(20), reopened(25), resolved(40)),
        "resolved", 5 * M, 40 * M, 20 * M, 1,
    ),
    "reopened twice": Case(
        (triggered(), resolved(20), reopened(25), resolved(40), reopened(50), resolved(60)),
        "resolved", None, 60 * M, 20 * M, 2,
    ),
    "reopened from its postmortem": Case(
        (triggered(), resolved(20), postmortem(22), reopened(25)), "investigating", None, None, 20 * M, 1
    ),
    "postmortem": Case((triggered(), resolved(20), postmortem(22)), "postmortem", None, 20 * M, 20 * M),
    "investigated after a reopening acknowledges nothing": Case(
        (triggered(), resolved(20), reopened(25), investigated(26)), "investigating", None, None, 20 * M, 1
    ),
    "merged while open": Case((triggered(), acknowledged(5), merged(15)), "resolved", 5 * M, 15 * M, 15 * M),
    "merged when resolved": Case((triggered(), resolved(10), merged(15)), "resolved", None, 10 * M, 10 * M),
    "merged in its postmortem": Case(
        (triggered(), resolved(10), postmortem(12), merged(15)), "postmortem", None, 10 * M, 10 * M
    ),
    "trigger corrected": Case(
        (triggered(), acknowledged(5), resolved(20), corrected(triggered_at=at(-10))),
        "resolved", 15 * M, 30 * M, 30 * M,
    ),
    "acknowledgement corrected": Case(
        (triggered(), acknowledged(5), corrected(acknowledged_at=at(2))), "acknowledged", 2 * M
    ),
    "acknowledged again after a correction": Case(
        (triggered(), acknowledged(5), corrected(acknowledged_at=at(2)), acknowledged(9)), "acknowledged", 2 * M
    ),
    "only resolve corrected": Case(
        (triggered(), resolved(20), corrected(resolved_at=at(18))), "resolved", None, 18 * M, 18 * M
    ),
    "final resolve corrected": Case(
        (triggered(), resolved(20), reopened(25), resolved(40), corrected(resolved_at=at(38))),
        "resolved", None, 38 * M, 20 * M, 1,
    ),
    "first resolve corrected, then reopened": Case(
        (triggered(), resolved(20), corrected(resolved_at=at(18)), reopened(25)),
        "investigating", None, None, 18 * M, 1,
    ),
    "import: acknowledged after resolve": Case(
        (triggered(), resolved(20), acknowledged(30)), "resolved", 30 * M, 20 * M, 20 * M
    ),
    "import: acknowledged before trigger": Case((triggered(10), acknowledged(5)), "acknowledged", -5 * M),
    "import: resolved before trigger": Case((triggered(10), resolved(5)), "resolved", None, -5 * M, -5 * M),
    "import: resolved twice": Case((triggered(), resolved(20), resolved(30)), "resolved", None, 30 * M, 20 * M),
    "import: reopened while open": Case((triggered(), reopened(25)), "investigating", None, None, None, 1),
    "import: acknowledged after a reopening": Case(
        (triggered(), resolved(20), reopened(25), acknowledged(30)), "investigating", 30 * M, None, 20 * M, 1
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_events_give_these_facts(name: str) -> None:
    case = CASES[name]
    facts = incident(*case.given)
    assert (
        Case(
            case.given,
            facts.status,
            facts.time_to_acknowledge_s,
            facts.time_to_resolve_s,
            facts.time_to_first_resolve_s,
            facts.reopen_count,
        )
        == case
    )
    assert facts.merged_into == (OTHER if "merged" in name else None)


@pytest.mark.parametrize(
    ("event", "changed"),
    [
        (e.SeverityChanged(**meta(1), severity="low", previous="high", response_target_s=86400),
         {"severity": "low", "response_target_s": 86400}),
        (e.CategoryChanged(**meta(1), category="data"), {"category": "data"}),
        (e.TeamAssigned(**meta(1), team="shop"), {"team": "shop", "team_by_hand": True}),
        (e.TeamAssigned(**meta(1), team="shop", because="R", rule=OTHER), {"team": "shop", "team_rule": OTHER}),
        (e.ResponderAssigned(**meta(1), person_id=OTHER), {"assignee": OTHER, "lead_by_hand": True}),
        (e.ResponderAssigned(**meta(1), person_id=OTHER, because="R"), {"assignee": OTHER}),
        (corrected(title="T", description="D", labels={"a": "b"}),
         {"title": "T", "description": "D", "labels": {"a": "b"}}),
        (e.AlertReceived(**meta(1), count=3, first_at=at(0), last_at=at(1)), {"alert_count": 3}),
        (e.IncidentAbsorbed(**meta(1), merged_id=OTHER, merged_number=8, alert_count=4), {"alert_count": 4}),
        (e.UpdatePosted(**meta(1), body="B"), {}),
        (e.IncidentEscalated(**meta(1), step=1), {}),
        (e.ResponseTargetMissed(**meta(1), response_target_s=300), {}),
        (e.MaintenanceEnded(**meta(1), window="W", severity="high"), {}),
        (e.AlertSent(**meta(1), **STEP), {}),
        (e.AlertDelivered(**meta(1), **STEP), {}),
        (e.AlertRead(**meta(1), **STEP), {}),
        (e.AlertFailed(**meta(1), **STEP, reason="R"), {}),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_an_event_changes_this_and_nothing_else(event: e.IncidentEvent, changed: dict[str, Any]) -> None:
    before, after = incident(triggered()), incident(triggered(), event)
    for name, value in changed.items():
        assert getattr(after, name) == value
        assert getattr(before, name) != value
        setattr(before, name, value)
    before.version += 1
    assert after == before


def test_words_set_can_be_taken_away() -> None:
    events = (
        e.CategoryChanged(**meta(1), previous="bug"),
        e.TeamAssigned(**meta(1)),
        e.ResponderAssigned(**meta(1)),
    )
    facts = incident(triggered(category="bug", team="shop"), *events)
    assert (facts.category, facts.team, facts.assignee) == (None, None, None)


@pytest.mark.parametrize(
    ("given", "seen_at", "breached"),
    [
        ((triggered(),), 60, False),
        ((triggered(),), 60.001, True),
        ((triggered(), acknowledged(60)), 999, False),
        ((triggered(), acknowledged(60.001)), 999, True),
        ((triggered(), resolved(59)), 999, False),
        ((triggered(), resolved(61)), 999, True),
        ((triggered(), acknowledged(50), corrected(acknowledged_at=at(70))), 999, True),
        ((triggered(), acknowledged(50), corrected(triggered_at=at(-20))), 999, True),
    ],
)
def test_the_response_is_late_when_its_due_time_went_by_without_one(
    given: tuple[e.IncidentEvent, ...], seen_at: float, breached: bool
) -> None:
    facts = incident(*given)
    assert facts.response_due_at == facts.triggered_at + timedelta(hours=1)
    assert facts.response_breached(at(seen_at)) is breached


def test_a_stream_that_does_not_begin_with_its_trigger_is_no_incident() -> None:
    with pytest.raises(ValueError, match="begins with IncidentResolved"):
        incident(resolved())
