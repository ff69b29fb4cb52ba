"""Why a rule does not hold, which schedule and which policy apply, and until when somebody is on call."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from given import ORG, meta
from hypothesis import given
from hypothesis import strategies as st
from orggiven import A, B, layer, policy, rule, schedule

from domain import organization_events as o
from domain.conditions import Conditions, Facts, LabelCondition
from domain.escalating import policy_for, schedule_for
from domain.escalation import Policy, default_policy
from domain.explaining import passed_over, why_not
from domain.oncall import Schedule, on_call_at
from domain.organization import Organization, fold_organization
from domain.shifts import on_call_until

FACTS = Facts("high", None, "api", {"db": "x"})
AT = datetime(2026, 3, 3, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("conditions", "why"),
    [
        ({}, None),
        ({"severities": ("high",), "categories": (None,), "sources": ("api",)}, None),
        ({"labels": (LabelCondition(label="db", equals="x"),)}, None),
        ({"severities": ("critical", "low")}, "severity is high, not critical or low"),
        ({"categories": ("bug",)}, "category is unclassified, not bug"),
        ({"sources": ("grafana",)}, "source is api, not grafana"),
        ({"labels": (LabelCondition(label="os", equals="x"),)}, "there is no label os"),
        ({"labels": (LabelCondition(label="db", starts_with="y"),)}, "label db is “x”, not as asked"),
    ],
)
def test_the_first_condition_that_does_not_hold_is_told(conditions: dict[str, Any], why: str | None) -> None:
    made = Conditions(**conditions)
    assert why_not(made, FACTS) == why
    assert made.hold(FACTS) == (why is None)


def test_the_rules_before_the_one_that_holds_are_passed_over() -> None:
    never = rule("never", conditions=Conditions(severities=("low",)))
    assert [p.number for p in passed_over((never, never, rule(), never), FACTS)] == [1, 2]
    assert [p.rule for p in passed_over((never,), FACTS)] == [never]


def organization() -> Organization:
    critical = Policy(**{**dict(policy("critical")), "severities": ("critical",)})
    return fold_organization(
        ORG,
        [
            *(o.ScheduleDefined(**meta(), schedule=schedule(name)) for name in ("own", "team's")),
            *(o.PolicyDefined(**meta(), policy=each) for each in (critical, policy("team's"))),
            o.TeamDefined(**meta(), team="payments", schedule="team's", policy="team's"),
        ],
    )


def test_a_rules_own_schedule_and_policy_go_before_the_teams_and_the_default_comes_last() -> None:
    org, own, none = organization(), rule(schedule="own", policy="critical"), rule()
    assert schedule_for(org, own, "payments") == "own"
    assert schedule_for(org, none, "payments") == schedule_for(org, None, "payments") == "team's"
    assert schedule_for(org, None, None) is schedule_for(org, rule(schedule="gone"), None) is None
    assert policy_for(org, own, "payments", "critical") == org.policies["critical"]
    assert policy_for(org, own, "payments", "high") == org.policies["team's"]
    assert policy_for(org, none, None, "high") == default_policy("high")
    assert policy_for(org, none, None, "low") is None


def test_until_when_somebody_is_on_call() -> None:
    shift = on_call_until(schedule(), AT)
    assert (shift.start, shift.end) == (AT, datetime(2026, 3, 4, 8, tzinfo=UTC))
    forever = on_call_until(schedule("s", layer(people=(A,))), AT)
    assert (forever.person, forever.end - AT) == (A, timedelta(days=366))
    assert on_call_until(Schedule(name="empty", time_zone="UTC"), AT).person is None


@given(st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC)))
def test_it_is_who_is_on_call_then_and_not_any_more_afterwards(at: datetime) -> None:
    two = schedule("s", layer(people=(A, B)))
    shift = on_call_until(two, at)
    assert shift.person == on_call_at(two, at) == on_call_at(two, shift.end - timedelta.resolution)
    assert shift.person != on_call_at(two, shift.end)
