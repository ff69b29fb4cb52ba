"""Where an incident goes by itself, which policy it follows, and whom a step of it alerts."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from given import ID, PROMETHEUS, T0, TARGETS, asked, incident, meta, triggered

from domain import decisions as d
from domain import events as e
from domain import reactions
from domain.conditions import Conditions, Facts
from domain.escalating import chosen_by, policy_for, reached_later, whom
from domain.escalation import Policy, Step, ToEverybody, ToPerson, ToSchedule, ToTeam, default_policy
from domain.oncall import Layer, Schedule
from domain.organization import Organization, Team
from domain.placing import NOWHERE, place
from domain.quiet import Maintenance
from domain.rotation import Daily
from domain.router import Router
from domain.routing import Rule
from domain.words import Severity

ANA, BEN, CLEO = UUID(int=1), UUID(int=2), UUID(int=3)
RULE, OTHER_RULE = UUID(int=11), UUID(int=12)
SYSTEM = e.Actor(kind="system")


def schedule(name: str, *people: UUID) -> Schedule:
    layer = Layer(name="L", people=people, rotation=Daily(handover="00:00"), starts_on="2026-01-01")
    return Schedule(name=name, time_zone="UTC", layers=(layer,))


def policy(name: str, *severities: Severity) -> Policy:
    return Policy(
        name=name, severities=severities or ("critical", "high"), steps=(Step(wait_s=1, targets=(ToTeam(),)),)
    )


def shop(**more: Any) -> Organization:
    known: dict[str, Any] = {
        "rules": (
            Rule(id=RULE, name="Outages", conditions=Conditions(categories=("outage",)), team="shop"),
            Rule(id=OTHER_RULE, name="Data", conditions=Conditions(categories=("data",)), team="data",
                 schedule="nights", policy="strict"),
        ),
        "teams": {
            "shop": Team("shop", (ANA, BEN), schedule="days", policy="usual"),
            "data": Team("data", (CLEO,)),
        },
        "schedules": {"days": schedule("days", ANA), "nights": schedule("nights", BEN)},
        "policies": {"usual": policy("usual"), "strict": policy("strict")},
        **more,
    }  # fmt: skip
    return Organization(id=UUID(int=9), **known)


def placed(facts: Facts, team: str | None = None, **more: Any) -> Any:
    organization = shop(**more)
    return place(organization, Router(organization.rules, organization.default_team), facts, T0, team=team)


@pytest.mark.parametrize(
    ("facts", "team", "more", "expected"),
    [
        (Facts("critical", "outage", "api"), None, {}, ("shop", RULE, ANA)),
        (Facts("high", "outage", "api"), None, {}, ("shop", RULE, ANA)),
        (Facts("medium", "outage", "api"), None, {}, ("shop", RULE, None)),
        (Facts("low", "outage", "api"), None, {}, ("shop", RULE, None)),
        (Facts("critical", "data", "api"), None, {}, ("data", OTHER_RULE, BEN)),
        (Facts("critical", "bug", "api"), None, {}, (None, None, None)),
        (Facts("critical", "bug", "api"), None, {"default_team": "shop"}, ("shop", None, ANA)),
        (Facts("critical", "outage", "api"), "data", {}, ("data", None, None)),
        (Facts("critical", "outage", "api"), "unknown", {}, ("unknown", None, None)),
        (Facts("critical", "data", "api"), None, {"schedules": {}}, ("data", OTHER_RULE, None)),
    ],
)
def test_it_goes_to_the_team_of_the_rule_and_what_is_urgent_to_who_is_on_call(
    facts: Facts, team: str | None, more: dict[str, Any], expected: Any
) -> None:
    found = placed(facts, team, **more)
    assert (found.team, found.rule, found.person) == expected


def test_why_is_said_in_words() -> None:
    found = placed(Facts("critical", "outage", "api"))
    assert found.team_because == "rule 1, “Outages”: category is outage"
    assert found.person_because == "on call by the schedule “days”"


def test_a_maintenance_window_gives_it_a_team_and_wakes_nobody() -> None:
    window = Maintenance(name="Move", start=T0 - timedelta(hours=1), end=T0 + timedelta(hours=1))
    found = placed(Facts("critical", "outage", "api"), windows={UUID(int=5): window})
    assert (found.team, found.person, found.maintenance) == ("shop", None, "Move")


def test_only_the_maintenance_that_the_caller_names_is_looked_at() -> None:
    window = Maintenance(name="Move", start=T0, end=T0 + timedelta(hours=1))
    organization = shop(windows={UUID(int=5): window})
    router = Router(organization.rules, None)
    found = place(organization, router, Facts("critical", "outage", "api"), T0, team=None, windows=())
    assert (found.person, found.maintenance) == (ANA, None)


def test_what_was_found_is_recorded_after_the_trigger_as_the_systems_doing() -> None:
    found = placed(Facts("critical", "outage", "api"))
    events = d.trigger(
        asked(0, PROMETHEUS), number=1, title="T", severity="critical", targets=TARGETS, place=found
    )
    assert [type(event) for event in events] == [e.IncidentTriggered, e.TeamAssigned, e.ResponderAssigned]
    assert [event.actor for event in events] == [PROMETHEUS, SYSTEM, SYSTEM]
    assert len({event.causation_id for event in events}) == 1


@pytest.mark.parametrize("by_hand", ["team", "person", "both"])
def test_assignment_by_hand_wins(by_hand: str) -> None:
    given = [triggered(severity="medium")]
    given += [e.TeamAssigned(**meta(1), team="data")] if by_hand != "person" else []
    given += [e.ResponderAssigned(**meta(2), person_id=CLEO)] if by_hand != "team" else []
    found = placed(Facts("critical", "outage", "api"))
    events = d.change_severity(incident(*given), asked(5), severity="critical", targets=TARGETS, place=found)
    after = incident(*given, *events)
    assert after.team == ("shop" if by_hand == "person" else "data")
    assert after.assignee == (ANA if by_hand == "team" else CLEO)


def test_a_category_that_comes_later_finds_the_team() -> None:
    found = placed(Facts("medium", "outage", "api"))
    events = d.change_category(incident(triggered(severity="medium")), asked(5), category="outage", place=found)
    assert incident(triggered(severity="medium"), *events).team == "shop"
    assert len(d.change_category(incident(triggered()), asked(5), category="outage", place=NOWHERE)) == 1


@pytest.mark.parametrize(
    ("rule", "team", "severity", "more", "name"),
    [
        (None, "shop", "critical", {}, "usual"),
        (OTHER_RULE, "data", "critical", {}, "strict"),
        (None, "data", "critical", {}, "Default, critical"),
        (None, None, "high", {}, "Default, high"),
        (None, None, "medium", {}, None),
        (None, "shop", "medium", {}, None),
        (None, "shop", "critical", {"policies": {}}, "Default, critical"),
        (None, None, "critical", {"teams": {}, "schedules": {}}, None),
    ],
)
def test_the_policy_is_the_rules_else_the_teams_else_the_usual_one(
    rule: UUID | None, team: str | None, severity: Severity, more: dict[str, Any], name: str | None
) -> None:
    organization = shop(**more)
    chosen = next((each for each in organization.rules if each.id == rule), None)
    found = policy_for(organization, chosen, team, severity)
    assert (found.name if found else None) == name


def test_the_rule_that_chose_is_the_one_of_the_last_assignment() -> None:
    by_rule = e.TeamAssigned(**meta(1), team="shop", rule=RULE)
    by_hand = e.TeamAssigned(**meta(2), team="data")
    organization = shop()
    assert chosen_by(organization, incident(triggered(), by_rule)) == organization.rules[0]
    assert chosen_by(organization, incident(triggered(), by_rule, by_hand)) is None
    assert chosen_by(organization, incident(triggered())) is None
    assert chosen_by(shop(rules=()), incident(triggered(), by_rule)) is None


@pytest.mark.parametrize(
    ("targets", "people", "everybody"),
    [
        ((ToPerson(id=CLEO),), {CLEO}, False),
        ((ToTeam(),), {ANA, BEN}, False),
        ((ToTeam(id="data"),), {CLEO}, False),
        ((ToTeam(id="gone"),), set(), False),
        ((ToSchedule(),), {ANA}, False),
        ((ToSchedule(id="nights"),), {BEN}, False),
        ((ToSchedule(id="gone"),), set(), False),
        ((ToEverybody(),), set(), True),
        ((ToTeam(), ToPerson(id=CLEO), ToEverybody()), {ANA, BEN, CLEO}, True),
    ],
)
def test_whom_a_step_alerts(targets: Any, people: set[UUID], everybody: bool) -> None:
    assert whom(shop(), targets, None, "shop", datetime(2026, 3, 2, tzinfo=UTC)) == (people, everybody)


DAYS_AND_NIGHTS = {"days": schedule("days", ANA, CLEO), "nights": schedule("nights", BEN)}


@pytest.mark.parametrize(
    ("steps", "more", "later"),
    [
        ([(1, ToTeam())], {}, {ANA, BEN}),
        ([(0, ToTeam())], {}, set()),
        ([(0, ToPerson(id=ANA)), (0, ToPerson(id=BEN)), (5, ToPerson(id=CLEO))], {}, {BEN, CLEO}),
        ([(0, ToSchedule()), (5, ToTeam())], {}, {BEN}),
        ([(0, ToSchedule()), (5, ToTeam())], {"schedules": DAYS_AND_NIGHTS}, {BEN, CLEO}),
        ([(0, ToSchedule(id="gone")), (5, ToTeam())], {}, set()),  # who comes first is nobody
        ([(0, ToEverybody()), (5, ToTeam())], {}, {ANA, BEN}),
        ([(5, ToEverybody())], {}, set()),
    ],
)
def test_whom_a_later_step_alerts(steps: Any, more: Any, later: set[UUID]) -> None:
    made = tuple(Step(wait_s=wait, targets=(target,)) for wait, target in steps)
    organization = shop(policies={"usual": Policy(name="usual", steps=made)}, **more)
    by_rule = e.TeamAssigned(**meta(1), team="shop", because="R", rule=RULE)
    now = incident(triggered(severity="critical"), by_rule)
    assert reached_later(organization, now, datetime(2026, 1, 1, 12, tzinfo=UTC)) == later


def test_without_a_policy_nobody_has_a_later_step() -> None:
    nothing = Organization(id=UUID(int=9))
    assert reached_later(nothing, incident(triggered(severity="critical")), T0) == frozenset()


@pytest.mark.parametrize(
    ("given", "goes_on"),
    [
        ((), True),
        ((e.UpdatePosted(**meta(1), body="B"),), True),
        ((e.IncidentAcknowledged(**meta(1)),), False),
        ((e.InvestigationStarted(**meta(1)),), False),
        ((e.IncidentResolved(**meta(1)),), False),
        ((e.IncidentMerged(**meta(1), into=ID, into_number=1),), False),
    ],
)
def test_escalation_goes_on_only_while_nobody_has_it(given: Any, goes_on: bool) -> None:
    now = incident(triggered(severity="critical", response_target_s=60), *given)
    request = asked(5, SYSTEM)
    assert bool(reactions.escalate(now, request, step=2, people=(ANA,), everybody=False, round=1)) == goes_on
    assert bool(reactions.miss_target(now, request)) == goes_on


def test_a_target_is_not_missed_before_its_time() -> None:
    now = incident(triggered(severity="critical", response_target_s=600))
    assert reactions.miss_target(now, asked(9)) == ()
    assert len(reactions.miss_target(now, asked(10))) == 1


def test_the_usual_policy_begins_with_who_is_on_call() -> None:
    found = default_policy("critical", 300)
    assert found is not None
    assert [step.targets for step in found.steps] == [(ToSchedule(),), (ToTeam(),), (ToEverybody(),)]
