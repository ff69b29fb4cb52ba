"""Every command in every status: which events it leads to, or the refusal that names the status, who and when."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import pytest
from given import (
    ALICE,
    BOB,
    BROUGHT_THERE,
    CAROL,
    ID,
    IN_STATUS,
    ORG,
    OTHER,
    PROMETHEUS,
    T0,
    TARGETS,
    acknowledged,
    asked,
    at,
    incident,
    incident_in,
    investigated,
    merged,
    meta,
    reopened,
    resolved,
    triggered,
)

from domain import decisions as d
from domain import events as e
from domain import reactions
from domain.decisions import Events, Request
from domain.errors import InvalidField, NotAllowedNow
from domain.incident import Incident
from domain.words import STATUSES, Status

EVERY = frozenset(STATUSES)
OPEN = frozenset({"triggered", "acknowledged", "investigating"})
DAVE = UUID(int=0xDA)
INTO = incident(triggered(0, number=8), id=OTHER)


class Command(NamedTuple):
    decide: Callable[[Incident, Request], Events]
    allowed: frozenset[str]
    events: Callable[[Mapping[str, object]], Events]
    """What it leads to, given what every event names."""


COMMANDS: dict[str, Command] = {
    "acknowledge": Command(
        lambda i, r: d.acknowledge(i, r, note="On it"),
        frozenset({"triggered"}),
        lambda m: (e.IncidentAcknowledged(**m, note="On it"),),
    ),
    "investigate": Command(
        lambda i, r: d.investigate(i, r, note="Logs"),
        frozenset({"triggered", "acknowledged"}),
        lambda m: (e.InvestigationStarted(**m, note="Logs"),),
    ),
    "resolve": Command(
        lambda i, r: d.resolve(i, r, note="Rolled back"),
        OPEN,
        lambda m: (e.IncidentResolved(**m, note="Rolled back"),),
    ),
    "reopen": Command(
        lambda i, r: d.reopen(i, r, reason="Again"),
        frozenset({"resolved", "postmortem"}),
        lambda m: (e.IncidentReopened(**m, reason="Again"),),
    ),
    "start_postmortem": Command(
        d.start_postmortem, frozenset({"resolved"}), lambda m: (e.PostmortemStarted(**m),)
    ),
    "post_update": Command(
        lambda i, r: d.post_update(i, r, body="Still looking"),
        EVERY,
        lambda m: (e.UpdatePosted(**m, body="Still looking"),),
    ),
    "change_severity": Command(
        lambda i, r: d.change_severity(i, r, severity="critical", targets=TARGETS, reason="All shops"),
        EVERY,
        lambda m: (
            e.SeverityChanged(
                **m, severity="critical", previous="high", response_target_s=300, reason="All shops"
            ),
        ),
    ),
    "change_category": Command(
        lambda i, r: d.change_category(i, r, category="outage"),
        EVERY,
        lambda m: (e.CategoryChanged(**m, category="outage", previous=None),),
    ),
    "assign_responder": Command(
        lambda i, r: d.assign_responder(i, r, person_id=DAVE),
        EVERY,
        lambda m: (e.ResponderAssigned(**m, person_id=DAVE),),
    ),
    "assign_team": Command(
        lambda i, r: d.assign_team(i, r, team="payments"), EVERY, lambda m: (e.TeamAssigned(**m, team="payments"),)
    ),
    "correct": Command(
        lambda i, r: d.correct(i, r, title="Checkout is slow", reason="Typo"),
        EVERY,
        lambda m: (e.DetailsCorrected(**m, title="Checkout is slow", reason="Typo"),),
    ),
    "merge": Command(
        lambda i, r: d.merge(i, INTO, r)[0],
        EVERY,
        lambda m: (e.IncidentMerged(**m, into=OTHER, into_number=8),),
    ),
}

REFUSED = [(name, status) for name, command in COMMANDS.items() for status in STATUSES
           if status not in command.allowed]  # fmt: skip
ALLOWED = [(name, status) for name, command in COMMANDS.items() for status in STATUSES
           if status in command.allowed]  # fmt: skip


@pytest.mark.parametrize(("name", "status"), ALLOWED)
def test_an_allowed_command_gives_exactly_its_events(name: str, status: Status) -> None:
    command, given, request = COMMANDS[name], incident_in(status), asked(60, CAROL)
    assert command.decide(given, request) == command.events(meta(60, CAROL))
    assert given == incident_in(status)


@pytest.mark.parametrize(("name", "status"), REFUSED)
def test_a_refused_command_names_the_status_and_who_brought_it_there_and_when(name: str, status: Status) -> None:
    given = incident_in(status)
    with pytest.raises(NotAllowedNow) as refused:
        COMMANDS[name].decide(given, asked(60, CAROL))
    refusal = refused.value
    assert (refusal.status, refusal.acted_by, refusal.acted_at) == (status, *BROUGHT_THERE[status])
    assert (refusal.incident_id, refusal.number) == (ID, 7)
    assert refusal.detail.startswith(f"INC-7 is {status}, so it cannot be ")
    assert given == incident_in(status)


@pytest.mark.parametrize("name", COMMANDS)
def test_nothing_may_happen_to_what_was_merged_away(name: str) -> None:
    with pytest.raises(NotAllowedNow, match="INC-7 is merged into another") as refused:
        COMMANDS[name].decide(incident(triggered(), merged(15, BOB)), asked(60, CAROL))
    assert (refused.value.status, refused.value.acted_by, refused.value.acted_at) == ("resolved", BOB, at(15))


@pytest.mark.parametrize("status", STATUSES)
def test_further_alerts_are_counted_in_every_status(status: Status) -> None:
    seen = (e.AlertSeen(fingerprint="a", summary="A", count=3), e.AlertSeen(fingerprint="b", summary="B"))
    when = {"first_at": at(50), "last_at": at(59)}
    events = reactions.receive_alerts(incident_in(status), asked(60, PROMETHEUS), alerts=seen, **when)
    assert events == (e.AlertReceived(**meta(60, PROMETHEUS), count=4, alerts=seen, **when),)


def test_trigger_opens_with_what_was_given_and_the_target_of_its_severity() -> None:
    seen = (e.AlertSeen(fingerprint="a", summary="A"),)
    given = {"number": 7, "title": "Checkout is down", "severity": "medium", "category": "bug",
             "labels": {"a": "b"}, "description": "Carts", "source": "grafana", "dedup_key": "k", "team": "shop",
             "alerts": seen}  # fmt: skip
    events = d.trigger(asked(0, PROMETHEUS), targets=TARGETS, **given)
    assert events == (e.IncidentTriggered(**meta(0, PROMETHEUS), response_target_s=4 * 3600, **given),)


# When it happened


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize(
    ("occurred", "accepted"),
    [
        (timedelta(0), True),
        (-timedelta(microseconds=1), False),
        (timedelta(minutes=65), True),
        (timedelta(minutes=65, microseconds=1), False),
    ],
    ids=["at the trigger", "just before the trigger", "5 min ahead", "more than 5 min ahead"],
)
def test_it_happened_between_the_trigger_and_five_minutes_ahead(
    name: str, occurred: timedelta, accepted: bool
) -> None:
    command = COMMANDS[name]
    given = incident_in(sorted(command.allowed)[0])
    minutes = occurred / timedelta(minutes=1)
    request = asked(60, CAROL, occurred=minutes)
    assert request.occurred_at == T0 + occurred
    if accepted:
        assert command.decide(given, request) == command.events(meta(minutes, CAROL))
    else:
        with pytest.raises(InvalidField) as refused:
            command.decide(given, request)
        assert refused.value.field == "occurred_at"


@pytest.mark.parametrize(
    ("occurred", "accepted"),
    [
        (datetime(1970, 1, 1, tzinfo=UTC), True),
        (datetime(1970, 1, 1, tzinfo=UTC) - timedelta(microseconds=1), False),
        (at(65), True),
        (at(65) + timedelta(microseconds=1), False),
    ],
)
def test_a_trigger_may_be_backdated_to_1970(occurred: datetime, accepted: bool) -> None:
    request = Request(ORG, ALICE, at(60), UUID(int=1), UUID(int=2), occurred)
    if accepted:
        (event,) = d.trigger(request, number=1, title="T", severity="low", targets=TARGETS)
        assert event.occurred_at == occurred
    else:
        with pytest.raises(InvalidField) as refused:
            d.trigger(request, number=1, title="T", severity="low", targets=TARGETS)
        assert refused.value.field == "occurred_at"


def test_a_refusal_for_its_status_comes_before_one_for_its_time() -> None:
    with pytest.raises(NotAllowedNow):
        d.acknowledge(incident_in("resolved"), asked(60, occurred=-1))


def test_to_investigate_what_is_triggered_acknowledges_at_the_same_instant() -> None:
    given = incident_in("triggered")
    for event in d.investigate(given, asked(60, CAROL, occurred=3)):
        given.apply(event)
    assert (given.status, given.acknowledged_at, given.investigating_at) == ("investigating", at(3), at(3))


def test_to_investigate_what_is_acknowledged_leaves_the_acknowledgement() -> None:
    given = incident_in("acknowledged")
    for event in d.investigate(given, asked(60, CAROL)):
        given.apply(event)
    assert (given.acknowledged_at, given.investigating_at) == (at(5), at(60))


# What is so already


@pytest.mark.parametrize("status", STATUSES)
def test_setting_what_is_set_already_gives_no_event(status: Status) -> None:
    given, request = incident_in(status), asked()
    assert d.change_severity(given, request, severity="high", targets=TARGETS, reason="Sure") == ()
    assert d.change_category(given, request, category=None) == ()
    assert d.assign_responder(given, request, person_id=None) == ()
    assert d.assign_team(given, request, team=None) == ()
    given.category, given.assignee, given.team = "data", DAVE, "shop"
    assert d.change_category(given, request, category="data") == ()
    assert d.assign_responder(given, request, person_id=DAVE) == ()
    assert d.assign_team(given, request, team="shop") == ()


def test_what_was_set_can_be_taken_away() -> None:
    given = incident_in("triggered")
    given.category, given.assignee, given.team = "data", DAVE, "shop"
    assert d.change_category(given, asked(), category=None) == (e.CategoryChanged(**meta(60), previous="data"),)
    assert d.assign_responder(given, asked(), person_id=None) == (e.ResponderAssigned(**meta(60)),)
    assert d.assign_team(given, asked(), team=None) == (e.TeamAssigned(**meta(60)),)


def test_setting_what_is_set_already_is_refused_all_the_same_at_an_impossible_time() -> None:
    with pytest.raises(InvalidField):
        d.assign_team(incident_in("triggered"), asked(60, occurred=-1), team=None)


# Merging


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("into_status", STATUSES)
def test_a_merge_gives_an_event_to_each_of_the_two(status: Status, into_status: Status) -> None:
    given, into = incident_in(status), incident(*IN_STATUS[into_status], id=OTHER)
    given.alert_count, into.number = 12, 8
    assert d.merge(given, into, asked(60, CAROL)) == (
        (e.IncidentMerged(**meta(60, CAROL), into=OTHER, into_number=8),),
        (e.IncidentAbsorbed(**meta(60, CAROL), merged_id=ID, merged_number=7, alert_count=12),),
    )


def test_nothing_is_merged_into_itself() -> None:
    with pytest.raises(InvalidField) as refused:
        d.merge(incident_in("triggered"), incident_in("triggered"), asked())
    assert refused.value.field == "into"


def test_nothing_is_merged_into_what_was_merged_away() -> None:
    gone = incident(triggered(0, number=8), merged(15, CAROL, into=UUID(int=0x999)), id=OTHER)
    with pytest.raises(NotAllowedNow, match="INC-8 is merged into another") as refused:
        d.merge(incident_in("triggered"), gone, asked())
    assert (refused.value.incident_id, refused.value.acted_by, refused.value.acted_at) == (OTHER, CAROL, at(15))


def test_a_merge_did_not_happen_before_its_target_was_triggered() -> None:
    later = incident(triggered(30, number=8), id=OTHER)
    with pytest.raises(InvalidField) as refused:
        d.merge(incident_in("triggered"), later, asked(60, occurred=29))
    assert refused.value.field == "occurred_at"
    assert d.merge(incident_in("triggered"), later, asked(60, occurred=30))


@pytest.mark.parametrize("status", STATUSES)
def test_a_merge_closes_what_is_open_and_leaves_what_is_closed(status: Status) -> None:
    given = incident_in(status)
    resolved_at = given.resolved_at
    (event,), _ = d.merge(given, INTO, asked(60))
    given.apply(event)
    assert given.merged_into == OTHER
    assert not given.is_open
    assert given.resolved_at == (resolved_at or at(60))


# Corrections


def test_only_what_is_given_and_differs_is_corrected() -> None:
    given = incident_in("resolved")
    same = {"title": given.title, "description": given.description, "labels": {}, "triggered_at": at(0),
            "acknowledged_at": at(5), "resolved_at": at(20)}  # fmt: skip
    assert d.correct(given, asked(), reason="No change") == ()
    assert d.correct(given, asked(), **same) == ()
    assert d.correct(given, asked(), **{**same, "resolved_at": at(19)}, reason="Clock") == (
        e.DetailsCorrected(**meta(60), resolved_at=at(19), reason="Clock"),
    )


def test_labels_can_be_emptied() -> None:
    given = incident(triggered(labels={"a": "b"}))
    (event,) = d.correct(given, asked(), labels={})
    assert event == e.DetailsCorrected(**meta(60), labels={})
    given.apply(event)
    assert given.labels == {}


@pytest.mark.parametrize(
    ("events", "field"),
    [
        ((triggered(),), "acknowledged_at"),
        ((triggered(),), "resolved_at"),
        ((triggered(), acknowledged()), "resolved_at"),
        ((triggered(), resolved()), "acknowledged_at"),
        ((triggered(), investigated(), resolved(), reopened()), "resolved_at"),
    ],
)
def test_a_time_that_is_not_there_cannot_be_corrected(events: Events, field: str) -> None:
    with pytest.raises(InvalidField) as refused:
        d.correct(incident(*events), asked(), **{field: at(6)})
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("times", "wrong"),
    [
        ({"acknowledged_at": 0}, None),
        ({"acknowledged_at": -0.001}, "acknowledged_at"),
        ({"resolved_at": -0.001}, "resolved_at"),
        ({"triggered_at": 5}, None),
        ({"triggered_at": 5.001}, "triggered_at"),
        ({"triggered_at": 6, "acknowledged_at": 6}, None),
        ({"triggered_at": 21, "acknowledged_at": 22}, "triggered_at"),
        ({"triggered_at": 21, "acknowledged_at": 22, "resolved_at": 23}, None),
        ({"triggered_at": -100, "acknowledged_at": -50}, None),
        ({"resolved_at": 65}, None),
        ({"resolved_at": 65.001}, "resolved_at"),
        ({"acknowledged_at": 65.001}, "acknowledged_at"),
        ({"triggered_at": 65.001, "acknowledged_at": 65, "resolved_at": 65}, "triggered_at"),
    ],
)
def test_corrected_times_stay_between_the_trigger_and_five_minutes_ahead(
    times: dict[str, float], wrong: str | None
) -> None:
    given = {name: at(minutes) for name, minutes in times.items()}
    if wrong is None:
        assert d.correct(incident_in("resolved"), asked(60), **given) == (e.DetailsCorrected(**meta(60), **given),)
    else:
        with pytest.raises(InvalidField) as refused:
            d.correct(incident_in("resolved"), asked(60), **given)
        assert refused.value.field == wrong


def test_nothing_is_corrected_to_before_1970() -> None:
    with pytest.raises(InvalidField):
        d.correct(incident_in("triggered"), asked(), triggered_at=datetime(1969, 12, 31, tzinfo=UTC))


def test_words_can_be_corrected_where_the_times_are_odd() -> None:
    odd = incident(triggered(10), acknowledged(5))
    assert d.correct(odd, asked(), title="New") == (e.DetailsCorrected(**meta(60), title="New"),)
