"""The first rule that holds chooses the team, and says why; the router answers the same."""

from collections.abc import Sequence
from random import Random
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from domain.conditions import Conditions, Facts, LabelCondition
from domain.router import Router
from domain.routing import Routed, Rule, route
from domain.words import CATEGORIES, SEVERITIES

FACTS = Facts("critical", "outage", "grafana", {"service": "pay-eu", "env": "prod", "empty": ""})


def rule(number: int = 1, team: str = "pay", **conditions: Any) -> Rule:
    return Rule.model_validate(
        {"id": UUID(int=number), "name": f"R{number}", "team": team, "conditions": conditions}
    )


def label(label: str, **way: Any) -> dict[str, Any]:
    return {"label": label, **way}


CASES: list[tuple[dict[str, Any], str | None]] = [
    ({}, "it has no conditions"),
    ({"severities": ["critical", "high"]}, "severity is critical"),
    ({"severities": ["low"]}, None),
    ({"categories": ["outage"]}, "category is outage"),
    ({"categories": [None]}, None),
    ({"sources": ["grafana"]}, "source is grafana"),
    ({"sources": ["Grafana"]}, None),
    ({"labels": [label("service", equals="pay-eu")]}, "label service is “pay-eu”"),
    ({"labels": [label("service", equals="pay")]}, None),
    ({"labels": [label("service", one_of=["a", "pay-eu"])]}, "label service is “pay-eu”"),
    ({"labels": [label("service", starts_with="pay")]}, "label service is “pay-eu”, which starts with “pay”"),
    ({"labels": [label("service", starts_with="PAY")]}, None),
    ({"labels": [label("service", matches="*-e?")]}, "label service is “pay-eu”, which matches “*-e?”"),
    ({"labels": [label("service", matches="pay")]}, None),
    ({"labels": [label("service", matches="PAY*")]}, None),
    ({"labels": [label("service", matches="p[!a]*")]}, None),
    ({"labels": [label("missing", matches="*")]}, None),
    ({"labels": [label("missing", equals="")]}, None),
    ({"labels": [label("empty", equals="")]}, "label empty is “”"),
    ({"labels": [label("service", equals="pay-eu"), label("env", equals="test")]}, None),
    ({"labels": [label("service", equals="pay-eu"), label("service", equals="x")]}, None),
    ({"labels": [label("service", equals="x"), label("service", one_of=["pay-eu", "y"])]}, None),
    ({"severities": ["critical"], "categories": [None, "outage"], "sources": ["grafana"],
      "labels": [label("env", equals="prod")]},
     "severity is critical and category is outage and source is grafana and label env is “prod”"),
    ({"severities": ["critical"], "categories": ["data"]}, None),
]  # fmt: skip


@pytest.mark.parametrize(("conditions", "because"), CASES)
def test_a_rule(conditions: dict[str, Any], because: str | None) -> None:
    of = rule(**conditions)
    wanted = Routed(of, "pay", f"rule 1, “R1”: {because}")
    if because is None:
        wanted = Routed(None, None, "no rule holds, and the organisation has no default team")
    assert route([of], FACTS) == wanted
    assert Router([of]).route(FACTS) == wanted


def test_unclassified_is_a_category_too() -> None:
    facts = Facts("low", None, "api")
    assert route([rule(categories=[None])], facts).because == "rule 1, “R1”: category is unclassified"
    assert route([rule(categories=["data"])], facts, "ops") == Routed(
        None, "ops", "no rule holds: the organisation's default team"
    )


def test_the_first_match_wins() -> None:
    rules = [rule(1, "a", severities=["low"]), rule(2, "b", categories=["outage"]), rule(3, "c")]
    assert route(rules, FACTS).team == "b"
    assert route(rules[::-1], FACTS).team == "c"
    assert route(rules, FACTS).because.startswith("rule 2, “R2”: ")
    assert route([], FACTS, "ops").team == "ops"


@pytest.mark.parametrize(
    "way",
    [{}, {"equals": "a", "matches": "a"}, {"equals": "a", "one_of": ["a"]}, {"one_of": []}, {"starts_with": ""},
     {"matches": ""}, {"matches": "*" * 201}],
)  # fmt: skip
def test_a_label_is_asked_in_exactly_one_way(way: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as refused:
        LabelCondition.model_validate(label("service", **way))
    assert refused.value.errors()[0]["loc"][0] in (*way, "matches")


def test_a_glob_of_many_stars_is_no_trap() -> None:
    """Steps cannot be counted inside `re`; a pattern that went back would never end here."""
    trap = LabelCondition(label="a", matches="*a" * 90 + "b")
    assert not trap.holds({"a": "a" * 2000})


VALUES = st.sampled_from(["", "a", "ab", "abc", "b", "ba", "c*"])
NAMES = st.sampled_from(["x", "y", "z"])
WAYS = st.one_of(
    st.builds(lambda v: {"equals": v}, VALUES),
    st.builds(lambda v: {"one_of": v}, st.lists(VALUES, min_size=1, max_size=3)),
    st.builds(lambda v: {"starts_with": v}, st.sampled_from(["a", "ab", "b"])),
    st.builds(lambda v: {"matches": v}, st.sampled_from(["*", "a?", "?b*", "[ab]", "c[*]"])),
)
CONDITIONS = st.fixed_dictionaries(
    {
        "severities": st.lists(st.sampled_from(SEVERITIES), max_size=2),
        "categories": st.lists(st.sampled_from([None, *CATEGORIES]), max_size=3),
        "sources": st.lists(st.sampled_from(["api", "grafana", "alertmanager"]), max_size=2),
        "labels": st.lists(st.builds(lambda name, way: {"label": name, **way}, NAMES, WAYS), max_size=3),
    }
)
ALERTS = st.builds(
    Facts,
    st.sampled_from(SEVERITIES),
    st.sampled_from([None, *CATEGORIES]),
    st.sampled_from(["api", "grafana", "webhook"]),
    st.dictionaries(NAMES, VALUES),
)


def plainly(rules: Sequence[Rule], facts: Facts) -> UUID | None:
    """By the words of the rules alone, sharing no code."""
    for of in rules:
        c = of.conditions
        labels = []
        for one in c.labels:
            value = facts.labels.get(one.label)
            if value is None:
                labels.append(False)
            elif one.equals is not None:
                labels.append(value == one.equals)
            elif one.one_of is not None:
                labels.append(value in one.one_of)
            elif one.starts_with is not None:
                labels.append(value[: len(one.starts_with)] == one.starts_with)
            else:
                plain = {"*": True, "a?": len(value) == 2 and value[0] == "a", "?b*": value[1:2] == "b",
                         "[ab]": value in ("a", "b"), "c[*]": value == "c*"}  # fmt: skip
                labels.append(plain[one.matches or ""])
        given = [(c.severities, facts.severity), (c.categories, facts.category), (c.sources, facts.source)]
        if all(not asked or has in asked for asked, has in given) and all(labels):
            return of.id
    return None


@settings(max_examples=300, deadline=None)
@given(st.lists(CONDITIONS, max_size=12), st.lists(ALERTS, min_size=1, max_size=8), st.sampled_from([None, "ops"]))
def test_the_router_answers_as_plain_first_match_does(
    conditions: list[dict[str, Any]], alerts: list[Facts], default: str | None
) -> None:
    rules = [rule(number, f"T{number}", **each) for number, each in enumerate(conditions, 1)]
    router = Router(rules, default)
    for facts in alerts:
        routed = router.route(facts)
        assert routed == route(rules, facts, default)
        assert (routed.rule and routed.rule.id) == plainly(rules, facts)


def test_ten_thousand_alerts_over_two_hundred_rules() -> None:
    dice = Random(4)
    services = [f"service-{n}" for n in range(150)]

    def conditions() -> dict[str, Any]:
        ways = [{"equals": dice.choice(services)}, {"one_of": dice.sample(services, 3)},
                {"starts_with": f"service-{dice.randrange(10)}"},
                 {"matches": f"*-{dice.randrange(10)}?"}]  # fmt: skip
        return {
            "severities": dice.sample(SEVERITIES, dice.choice((0, 1, 2))),
            "categories": dice.sample([None, *CATEGORIES], dice.choice((0, 1))),
            "labels": [{"label": "service", **dice.choice(ways)}, {"label": "env", "equals": "prod"}],
        }

    rules = [rule(number, f"T{number % 20}", **conditions()) for number in range(1, 201)]
    router = Router(rules, "ops")
    chosen = set()
    for _ in range(10_000):
        facts = Facts(
            dice.choice(SEVERITIES),
            dice.choice([None, *CATEGORIES]),
            "grafana",
            {"service": dice.choice(services), "env": dice.choice(["prod", "test"]), "pod": str(dice.random())},
        )
        routed = router.route(facts)
        assert routed == route(rules, facts, "ops")
        chosen.add(routed.rule and routed.rule.id)
    assert len(chosen) > 60 and None in chosen


def test_conditions_are_values() -> None:
    conditions = Conditions.model_validate(CASES[-2][0])
    assert Conditions.model_validate_json(conditions.model_dump_json()) == conditions
