"""Whom an event wakes, what ends that, and that deliveries only go forward."""

from itertools import product
from typing import Any, get_args

import pytest
from given import ALICE, BOB, OTHER, PROMETHEUS, STEP, at, meta, triggered

from domain import events as e
from domain.alerting import ALERTED, MAY_BECOME, DeliveryState, before, calls_for, ends_alerting
from domain.words import RESPONSE_TARGETS_S, SEVERITIES, Severity

SYSTEM = e.Actor(kind="system")


def changed(previous: Severity, severity: Severity, by: e.Actor = ALICE) -> e.SeverityChanged:
    target = RESPONSE_TARGETS_S[severity]
    return e.SeverityChanged(**meta(5, by), severity=severity, previous=previous, response_target_s=target)


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("by", [ALICE, PROMETHEUS], ids=["person", "integration"])
def test_a_critical_or_high_incident_wakes_people_whoever_opened_it(severity: Severity, by: e.Actor) -> None:
    wanted = severity if severity in ("critical", "high") else None
    assert calls_for(triggered(0, by, severity=severity)) == wanted


@pytest.mark.parametrize(("previous", "severity"), list(product(SEVERITIES, SEVERITIES)))
def test_a_severity_raised_to_critical_or_high_wakes_people(previous: Severity, severity: Severity) -> None:
    raised = SEVERITIES.index(severity) < SEVERITIES.index(previous)
    wanted = severity if raised and severity in ("critical", "high") else None
    assert calls_for(changed(previous, severity)) == wanted


def test_history_taken_over_from_elsewhere_wakes_nobody() -> None:
    assert calls_for(triggered(0, SYSTEM, severity="critical")) is None
    assert calls_for(triggered(severity="critical", maintenance="Upgrade")) is None
    assert calls_for(changed("low", "critical", SYSTEM)) is None


OTHERS: list[tuple[e.IncidentEvent, bool]] = [
    (triggered(), False),
    (e.IncidentAcknowledged(**meta(1, BOB)), True),
    (e.InvestigationStarted(**meta(1)), True),
    (e.IncidentResolved(**meta(1)), True),
    (e.IncidentMerged(**meta(1), into=OTHER, into_number=8), True),
    (changed("critical", "medium"), True),
    (changed("high", "low"), True),
    (changed("critical", "high"), False),
    (e.UpdatePosted(**meta(1), body="B"), False),
    (e.ResponderAssigned(**meta(1), person_id=OTHER), False),
    (e.TeamAssigned(**meta(1), team="shop"), False),
    (e.CategoryChanged(**meta(1), category="data"), False),
    (e.AlertReceived(**meta(1), count=1, first_at=at(0), last_at=at(1)), False),
    (e.IncidentEscalated(**meta(1), step=1), False),
    (e.ResponseTargetMissed(**meta(1), response_target_s=300), False),
    (e.MaintenanceEnded(**meta(1), window="W", severity="high"), False),
    (e.IncidentReopened(**meta(1), reason="R"), False),
    (e.IncidentAbsorbed(**meta(1), merged_id=OTHER, merged_number=8, alert_count=1), False),
    (e.DetailsCorrected(**meta(1), title="T"), False),
    (e.PostmortemStarted(**meta(1)), False),
    (e.AlertSent(**meta(1), **STEP), False),
    (e.AlertDelivered(**meta(1), **STEP), False),
    (e.AlertRead(**meta(1), **STEP), False),
    (e.AlertFailed(**meta(1), **STEP, reason="R"), False),
]


def test_the_table_of_what_ends_alerting_knows_every_event() -> None:
    assert {type(event) for event, _ in OTHERS} == set(get_args(e.IncidentEvent))


@pytest.mark.parametrize(("event", "ends"), OTHERS, ids=lambda value: type(value).__name__)
def test_alerting_ends_when_somebody_takes_it_on_or_it_is_over(event: Any, ends: bool) -> None:
    assert ends_alerting(event) is ends


def test_a_delivery_never_comes_back_to_a_state_it_has_left() -> None:
    def reachable(state: DeliveryState) -> set[DeliveryState]:
        found: set[DeliveryState] = set()
        todo = list(MAY_BECOME[state])
        while todo:
            following = todo.pop()
            if following not in found:
                found.add(following)
                todo.extend(MAY_BECOME[following])
        return found

    assert set(MAY_BECOME) == set(get_args(DeliveryState))
    assert all(state not in reachable(state) for state in MAY_BECOME)
    assert before("unknown") == ["sending"]
    assert before("delivered") == ["sending", "unknown", "sent"]
    assert set(SEVERITIES) > ALERTED
