"""Which team an alert goes to: ordered rules, the first match wins, the organisation's default last."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from domain.conditions import Conditions, Facts
from domain.events import Value
from domain.values import Name


class Rule(Value):
    """Whatever meets the conditions is the team's.

    schedule, policy: names of those to use instead of the team's own, if any.
    """

    id: UUID
    name: Name
    conditions: Conditions = Conditions()
    team: Name
    schedule: Name | None = None
    policy: Name | None = None


class Routed(NamedTuple):
    """Where it goes, and why, in words for the timeline. Without a rule the team is the default, or None."""

    rule: Rule | None
    team: str | None
    because: str


def route(rules: Sequence[Rule], facts: Facts, default: str | None = None) -> Routed:
    """The first rule whose conditions hold; else `default`, the organisation's team for what nobody claims."""
    for number, rule in enumerate(rules, 1):
        if rule.conditions.hold(facts):
            return by_rule(number, rule, facts)
    return by_default(default)


def by_rule(number: int, rule: Rule, facts: Facts) -> Routed:
    """Routed by that rule, the `number`th of the list (from 1), which holds of `facts`."""
    return Routed(rule, rule.team, f"rule {number}, “{rule.name}”: {rule.conditions.words(facts)}")


def by_default(team: str | None) -> Routed:
    """Routed by no rule."""
    if team is None:
        return Routed(None, None, "no rule holds, and the organisation has no default team")
    return Routed(None, team, "no rule holds: the organisation's default team")
