"""Who had an incident in hand, event by event."""

from typing import Any
from uuid import UUID

from given import ALICE, BOB, CAROL, at, corrected, meta, reopened, resolved

from domain import events as e
from domain.engagement import Engagement


def after(*events: Any) -> list[tuple[Any, float, float | None]]:
    """Person, and minutes from the trigger."""
    found = Engagement(triggered_at=at(0), severity="high", response_target_s=3600)
    for event in events:
        found.apply(event)
    minutes = lambda when: None if when is None else (when - at(0)).total_seconds() / 60  # noqa: E731
    spans = zip(found.engaged, found.engaged_from, found.engaged_until, strict=True)
    return [(who, minutes(since), minutes(until)) for who, since, until in spans]


def acked(minutes: float, by: e.Actor = BOB) -> e.IncidentAcknowledged:
    return e.IncidentAcknowledged(**meta(minutes, by))


def assigned(minutes: float, to: e.Actor | None) -> e.ResponderAssigned:
    return e.ResponderAssigned(**meta(minutes), person_id=to.id if to else None)


def test_from_acknowledging_until_the_resolve() -> None:
    assert after(acked(5), resolved(20)) == [(BOB.id, 5, 20)]
    assert after(acked(5)) == [(BOB.id, 5, None)]


def test_a_person_on_whatsapp_is_that_person_and_a_program_is_none() -> None:
    assert after(acked(5, e.Actor(kind="whatsapp", id=BOB.id)))[0][0] == BOB.id
    assert after(acked(5, e.Actor(kind="system"))) == after(acked(5, e.Actor(kind="integration", id=BOB.id))) == []


def test_a_lead_until_another_is_assigned_and_others_until_the_resolve() -> None:
    told = after(acked(5, CAROL), assigned(6, ALICE), assigned(10, BOB), resolved(20))
    assert told == [(CAROL.id, 5, 20), (ALICE.id, 6, 10), (BOB.id, 10, 20)]
    assert after(assigned(6, ALICE), assigned(10, None)) == [(ALICE.id, 6, 10)]


def test_reopening_engages_the_lead_or_else_who_reopened_it() -> None:
    assert after(assigned(1, ALICE), resolved(20), reopened(25))[-1] == (ALICE.id, 25, None)
    assert after(acked(1), resolved(20), reopened(25, CAROL))[-1] == (CAROL.id, 25, None)


def test_who_is_assigned_to_what_is_over_is_not_engaged() -> None:
    assert after(resolved(20), assigned(21, ALICE)) == []


def test_corrections_move_what_began_or_ended_with_it() -> None:
    told = after(acked(5), assigned(6, ALICE), resolved(20), corrected(acknowledged_at=at(3), resolved_at=at(40)))
    assert told == [(BOB.id, 3, 40), (ALICE.id, 6, 40)]


def test_a_merge_ends_it() -> None:
    assert after(acked(5), e.IncidentMerged(**meta(9), into=UUID(int=9), into_number=9)) == [(BOB.id, 5, 9)]
