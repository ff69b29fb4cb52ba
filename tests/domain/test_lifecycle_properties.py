"""Whatever is asked of incidents in whatever order and time: what always holds."""

from collections import Counter
from copy import deepcopy
from random import Random
from typing import get_args
from uuid import UUID

from given import ORG
from histories import COMMANDS, Histories, Step, figures_of, steps
from hypothesis import given, settings

from domain import events as e
from domain.incident import Incident, fold
from domain.words import OPEN, STATUSES

IDS = [UUID(int=n) for n in (1, 2, 3)]
NEXT = {
    "triggered": {"triggered", "acknowledged", "investigating", "resolved"},
    "acknowledged": {"acknowledged", "investigating", "resolved"},
    "investigating": {"investigating", "resolved"},
    "resolved": {"resolved", "postmortem", "investigating"},
    "postmortem": {"postmortem", "investigating"},
}
"""CONTRACT section 2: the transitions; merging an open one closes it."""


def check(incident: Incident, events: list[e.IncidentEvent]) -> None:
    """What holds of every incident at every moment."""
    assert incident.status in STATUSES
    assert incident.version == len(events)
    assert incident.reopen_count == sum(isinstance(event, e.IncidentReopened) for event in events)
    assert (incident.resolved_at is None) == (incident.status in OPEN) == incident.is_open
    assert not (incident.merged_into and incident.is_open)
    assert (incident.first_resolved_at is None) == (incident.resolved_at is None and not incident.reopen_count)
    if incident.reopen_count == 0:
        assert incident.first_resolved_at == incident.resolved_at
    if incident.status == "acknowledged":
        assert incident.acknowledged_at is not None
    figures = figures_of(events)
    assert incident.triggered_at == figures.triggered_at
    assert incident.time_to_acknowledge_s == figures.tta
    assert incident.time_to_resolve_s == figures.ttr
    assert incident.time_to_first_resolve_s == figures.ttr_first
    assert (incident.is_open, incident.reopen_count) == (figures.open, figures.reopenings)


def check_step(before: Incident, after: Incident, new: list[e.IncidentEvent]) -> None:
    """What holds from one moment to the next."""
    assert after.status in NEXT[before.status]
    corrected = any(isinstance(event, e.DetailsCorrected) for event in new)
    if not corrected:
        assert after.triggered_at == before.triggered_at
        for name in ("acknowledged_at", "first_resolved_at"):
            assert getattr(before, name) in (None, getattr(after, name)), name
        assert before.investigating_at in (None, after.investigating_at)
    assert after.alert_count >= before.alert_count


@settings(max_examples=200, deadline=None)
@given(wanted=steps(3, at_most=50))
def test_what_always_holds(wanted: list[Step]) -> None:
    lives = Histories(IDS, ORG)
    for step in wanted:
        before, written = {id: incident.copy() for id, incident in lives.incidents.items()}, len(lives.ledger)
        allowed = lives.take(step)
        new = lives.ledger[written:]
        if not allowed:
            assert not new
            assert lives.incidents == before
        touched = {happened.id for happened in new}
        for id, incident in lives.incidents.items():
            if id not in touched:
                assert incident == before[id]
                continue
            events = lives.of(id)
            check(incident, events)
            assert fold(id, events) == incident
            mine = [happened.event for happened in new if happened.id == id]
            if id in before:
                check_step(before[id], incident, mine)
                prefix = fold(id, events[: before[id].version])
                assert prefix == before[id]
            else:
                assert [type(event) for event in mine] == [e.IncidentTriggered]
    assert [h.version for h in lives.ledger] == [
        sum(other.id == h.id for other in lives.ledger[: n + 1]) for n, h in enumerate(lives.ledger)
    ]


@settings(max_examples=60, deadline=None)
@given(wanted=steps(2, at_most=40))
def test_a_copy_is_left_alone_by_what_comes_later(wanted: list[Step]) -> None:
    lives = Histories(IDS[:2], ORG).play(())
    copies = [(incident.copy(), deepcopy(incident)) for incident in lives.incidents.values()]
    for step in wanted:
        lives.take(step)
    for copy, then in copies:
        assert copy == then


def test_the_histories_tried_hold_everything_that_commands_can_do() -> None:
    """The generator itself: were a command always refused, the properties above would say nothing of it."""
    dice = Random(7)
    kinds: Counter[type] = Counter()
    refused: Counter[str] = Counter()
    for _ in range(60):
        lives = Histories(IDS, ORG).play(())
        for _ in range(40):
            before = dice.choice((None, dice.randint(-400, 20_000)))
            what, later_s = dice.choice(COMMANDS), dice.randint(0, 7200)
            step = Step(dice.randrange(3), what, later_s, before, dice.randrange(12))
            if not lives.take(step):
                refused[step.what] += 1
        kinds.update(type(happened.event) for happened in lives.ledger)
    by_timers = {e.IncidentEscalated, e.ResponseTargetMissed, e.MaintenanceEnded}
    assert set(kinds) == set(get_args(e.IncidentEvent)) - by_timers
    assert min(kinds.values()) > 20
    assert set(refused) == set(COMMANDS) - {"alerts", "told"}
