"""Given an organisation, when its settings shall change, then events, nothing, or a refusal naming the field."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from given import ORG, asked, at
from orggiven import FULL_CONDITIONS, NIGHT, OVERRIDE, PEOPLE, RULE, WINDOW, A, B, C, layer, policy, rule, schedule

from domain import organization_decisions as d
from domain import organization_events as o
from domain.errors import InUse, InvalidField, NotDefined, StaleVersion
from domain.escalation import ToPerson, ToSchedule, ToTeam
from domain.oncall import Override, Schedule
from domain.organization import Organization, Team, fold_organization
from domain.quiet import Maintenance, QuietHours
from domain.routing import Rule

NOBODY = UUID(int=0xFFFF)
REQUEST = asked()
NEW = UUID(int=0x777)


def new_id() -> UUID:
    return NEW


def organization(*decided: Callable[[Organization], d.Events]) -> Organization:
    """What these decisions make of an empty one."""
    made = fold_organization(ORG, ())
    for decide in decided:
        for event in decide(made):
            made.apply(event)
    return made


def team(name: str = "payments", **more: Any) -> Callable[[Organization], d.Events]:
    return lambda org: d.define_team(org, REQUEST, Team(name, **more), PEOPLE)


def with_schedule(made: Schedule | None = None) -> Callable[[Organization], d.Events]:
    return lambda org: d.define_schedule(org, REQUEST, made or schedule(), PEOPLE, new_id)


def with_policy(*targets: Any, name: str = "standard") -> Callable[[Organization], d.Events]:
    return lambda org: d.define_policy(org, REQUEST, policy(name, *targets), PEOPLE)


def routing(*rules: Rule, default: str | None = None) -> Callable[[Organization], d.Events]:
    return lambda org: d.set_routing(org, REQUEST, [(r.id, r) for r in rules], default, new_id)


def field_of(org: Organization, decide: Callable[[Organization], d.Events]) -> str:
    with pytest.raises(InvalidField) as refused:
        decide(org)
    return refused.value.field


EVERYTHING = organization(
    with_schedule(), with_policy(), team(members=(A, B), schedule="primary", policy="standard"),
    routing(rule(schedule="primary", policy="standard"), default="payments"),
)  # fmt: skip


@pytest.mark.parametrize(
    "decide",
    [
        with_schedule(), with_policy(), team(members=(A, B), schedule="primary", policy="standard"),
        team(members=(A, B, A), schedule="primary", policy="standard"),
        routing(rule(schedule="primary", policy="standard"), default="payments"),
        lambda org: d.set_response_targets(org, REQUEST, None),
        lambda org: d.set_quiet_hours(org, REQUEST, B, None, PEOPLE),
    ],
)  # fmt: skip
def test_setting_what_is_set_already_gives_no_event(decide: Callable[[Organization], d.Events]) -> None:
    assert decide(EVERYTHING) == ()


def test_a_team_is_defined_changed_and_removed() -> None:
    (event,) = team(members=(A, B))(organization())
    assert event == o.TeamDefined(**REQUEST.meta(), team="payments", members=(A, B))
    org = organization(team(members=(A,)))
    (event,) = team(members=(B,))(org)
    assert isinstance(event, o.TeamDefined) and event.members == (B,)
    assert d.remove_team(org, REQUEST, "payments") == (o.TeamRemoved(**REQUEST.meta(), team="payments"),)
    with pytest.raises(NotDefined):
        d.remove_team(org, REQUEST, "search")


@pytest.mark.parametrize(
    ("decide", "field"),
    [
        (team(members=(A, NOBODY)), "members.1"),
        (team(members=(C,)), "members.0"),
        (team(schedule="other"), "schedule"),
        (team(policy="other"), "policy"),
        (team("a/b"), "name"),
        (team(".."), "name"),
        (routing(rule(), rule("x", id=NEW, team="other")), "rules.1.team"),
        (routing(rule(schedule="other")), "rules.0.schedule"),
        (routing(rule(policy="other")), "rules.0.policy"),
        (routing(rule(), rule(id=NEW)), "rules.1.name"),
        (routing(rule(), rule("other")), "rules.1.id"),
        (routing(default="other"), "default_team"),
        (routing(*(rule(f"r{n}", id=uuid4()) for n in range(501))), "rules"),
        (with_schedule(schedule("s", layer(people=(A, C)))), "layers.0.people.1"),
        (with_schedule(schedule("s", layer(), layer("top", people=(NOBODY,)))), "layers.1.people.0"),
        (with_schedule(schedule("s", overrides=(Override(start=at(0), end=at(1), person=C),))),
         "overrides.0.person"),
        (with_schedule(schedule("a/b")), "name"),
        (with_policy(ToPerson(id=A), ToPerson(id=C)), "steps.0.targets.1.id"),
        (with_policy(ToTeam(id="other")), "steps.0.targets.0.id"),
        (with_policy(ToSchedule(id="other")), "steps.0.targets.0.id"),
        (lambda org: d.schedule_maintenance(org, REQUEST, WINDOW, Maintenance(name="W", start=at(0), end=at(60))),
         "end"),
        (lambda org: d.set_response_targets(org, REQUEST, o.Targets(critical=1, high=0, medium=1, low=1)), "high"),
        (lambda org: d.set_response_targets(org, REQUEST, o.Targets(critical=1, high=1, medium=1, low=2592001)),
         "low"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_and_the_field_named(
    decide: Callable[[Organization], d.Events], field: str
) -> None:
    assert field_of(EVERYTHING, decide) == field


def test_at_most_500_rules() -> None:
    rules = [rule(f"r{n}", id=uuid4()) for n in range(500)]
    assert len(routing(*rules)(EVERYTHING)) == 1


def test_ids_of_rules_are_kept_by_name_and_made_where_they_are_missing() -> None:
    given = [(None, rule("new", id=NOBODY)), (None, rule(id=NOBODY))]
    (event,) = d.set_routing(EVERYTHING, REQUEST, given, None, new_id)
    assert isinstance(event, o.RoutingChanged)
    assert [(r.name, r.id) for r in event.rules] == [("new", NEW), ("databases", RULE)]


def test_overrides_get_ids_and_keep_them() -> None:
    override = Override(start=at(0), end=at(1), person=None)
    org = organization(with_schedule(schedule(overrides=(override,))))
    assert org.schedules["primary"].overrides[0].id == NEW
    assert d.define_schedule(org, REQUEST, schedule(overrides=(override,)), PEOPLE, uuid4) == ()


def test_an_override_goes_before_those_that_are_there_and_can_be_taken_back() -> None:
    org = organization(with_schedule())
    override = Override(id=OVERRIDE, start=at(0), end=at(60), person=B)
    (event,) = d.add_override(org, REQUEST, "primary", override, PEOPLE)
    org.apply(event)
    assert org.schedules["primary"].overrides == (override,)
    assert d.add_override(org, REQUEST, "primary", override, PEOPLE) == ()
    (event,) = d.remove_override(org, REQUEST, "primary", OVERRIDE)
    org.apply(event)
    assert org.schedules["primary"] == schedule()
    for gone in ("primary", "other"):
        with pytest.raises(NotDefined):
            d.remove_override(org, REQUEST, gone, OVERRIDE)
    with pytest.raises(NotDefined):
        d.add_override(org, REQUEST, "other", override, PEOPLE)
    refused = override.model_copy(update={"person": C})
    assert field_of(org, lambda now: d.add_override(now, REQUEST, "primary", refused, PEOPLE)) == "person"


def test_overrides_that_are_long_over_make_room_for_new_ones() -> None:
    def past(days: float) -> Override:
        return Override(id=uuid4(), start=at(0) - timedelta(days=days, hours=1), end=at(0) - timedelta(days=days),
                        person=B)  # fmt: skip

    long_over, lately = [past(d.OVERRIDES_STAY.days + 1)] * (d.MOST_OVERRIDES - 1), past(d.OVERRIDES_STAY.days - 1)
    full = schedule(overrides=(*long_over, lately))
    org = organization()
    org.schedules = {"primary": full}
    new = Override(id=OVERRIDE, start=at(0), end=at(60), person=B)
    (event,) = d.add_override(org, REQUEST, "primary", new, PEOPLE)
    assert isinstance(event, o.ScheduleDefined)
    assert event.schedule.overrides == (lately, new)
    org.schedules = {"primary": schedule(overrides=(lately,) * d.MOST_OVERRIDES)}
    assert field_of(org, lambda now: d.add_override(now, REQUEST, "primary", new, PEOPLE)) == "overrides"


@pytest.mark.parametrize(
    ("remove", "by"),
    [
        (lambda org: d.remove_schedule(org, REQUEST, "primary"),
         ("the team “payments”", "rule 1, “databases”", "the policy “calls”")),
        (lambda org: d.remove_policy(org, REQUEST, "standard"), ("the team “payments”", "rule 1, “databases”")),
        (lambda org: d.remove_team(org, REQUEST, "payments"),
         ("rule 1, “databases”", "the default team of routing", "the policy “calls”")),
    ],
)  # fmt: skip
def test_what_is_in_use_is_not_removed_and_it_is_said_by_whom(
    remove: Callable[[Organization], d.Events], by: tuple[str, ...]
) -> None:
    org = fold_organization(ORG, ())
    org.__dict__.update(EVERYTHING.__dict__)
    org.policies = {**org.policies, "calls": policy("calls", ToTeam(id="payments"), ToSchedule(id="primary"))}
    with pytest.raises(InUse) as refused:
        remove(org)
    assert refused.value.by == by


def test_what_nobody_uses_is_removed() -> None:
    org = organization(with_schedule(), with_policy())
    assert [type(e) for e in d.remove_schedule(org, REQUEST, "primary")] == [o.ScheduleRemoved]
    assert [type(e) for e in d.remove_policy(org, REQUEST, "standard")] == [o.PolicyRemoved]
    for gone in (d.remove_schedule, d.remove_policy):
        with pytest.raises(NotDefined):
            gone(org, REQUEST, "other")


def test_maintenance_is_announced_changed_and_cancelled() -> None:
    window = Maintenance(name="Upgrade", start=at(90), end=at(120), conditions=FULL_CONDITIONS)
    org = organization(lambda now: d.schedule_maintenance(now, REQUEST, WINDOW, window))
    assert org.windows == {WINDOW: window.model_copy(update={"id": WINDOW})}
    assert d.schedule_maintenance(org, REQUEST, WINDOW, window) == ()
    longer = window.model_copy(update={"end": at(150)})
    assert len(d.schedule_maintenance(org, REQUEST, WINDOW, longer)) == 1
    assert len(d.cancel_maintenance(org, REQUEST, WINDOW)) == 1
    with pytest.raises(NotDefined):
        d.cancel_maintenance(org, REQUEST, NEW)


def test_quiet_hours_and_response_targets() -> None:
    quiet = QuietHours(time_zone="Asia/Tokyo", windows=(NIGHT,))
    org = organization(lambda now: d.set_quiet_hours(now, REQUEST, C, quiet, PEOPLE))
    assert org.quiet == {C: quiet}
    assert d.set_quiet_hours(org, REQUEST, C, quiet, PEOPLE) == ()
    assert len(d.set_quiet_hours(org, REQUEST, C, None, PEOPLE)) == 1
    with pytest.raises(NotDefined):
        d.set_quiet_hours(org, REQUEST, NOBODY, quiet, PEOPLE)
    (event,) = d.set_response_targets(org, REQUEST, o.Targets(critical=1, high=2, medium=3, low=2_592_000))
    org.apply(event)
    assert len(d.set_response_targets(org, REQUEST, None)) == 1


def test_a_version_that_is_not_the_present_one_is_stale() -> None:
    d.unchanged_since(EVERYTHING, None)
    d.unchanged_since(EVERYTHING, EVERYTHING.version)
    with pytest.raises(StaleVersion) as refused:
        d.unchanged_since(EVERYTHING, EVERYTHING.version - 1)
    assert refused.value.current == EVERYTHING.version
