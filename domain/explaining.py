"""Why an alert goes where it goes: the rules that were passed over, and why."""

from collections.abc import Sequence
from typing import NamedTuple

from domain.conditions import Conditions, Facts
from domain.routing import Rule


class PassedOver(NamedTuple):
    """A rule that did not hold, its place in the list (from 1), and why."""

    number: int
    rule: Rule
    because: str


def passed_over(rules: tuple[Rule, ...], facts: Facts) -> list[PassedOver]:
    """The rules before the first that holds of these facts; all of them where none does."""
    found: list[PassedOver] = []
    for number, rule in enumerate(rules, 1):
        why = why_not(rule.conditions, facts)
        if why is None:
            break
        found.append(PassedOver(number, rule, why))
    return found


def why_not(conditions: Conditions, facts: Facts) -> str | None:
    """The first condition that does not hold, in words; None where all do."""
    if conditions.severities and facts.severity not in conditions.severities:
        return f"severity is {facts.severity}, not {_or(conditions.severities)}"
    if conditions.categories and facts.category not in conditions.categories:
        wanted = [category or "unclassified" for category in conditions.categories]
        return f"category is {facts.category or 'unclassified'}, not {_or(wanted)}"
    if conditions.sources and facts.source not in conditions.sources:
        return f"source is {facts.source}, not {_or(conditions.sources)}"
    for label in conditions.labels:
        if label.label not in facts.labels:
            return f"there is no label {label.label}"
        if not label.holds(facts.labels):
            return f"label {label.label} is “{facts.labels[label.label]}”, not as asked"
    return None


def _or(words: Sequence[str]) -> str:
    return " or ".join(words)
