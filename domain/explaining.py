"""Why an alert goes where it goes: the rules that were passed over, the schedule and the policy that apply."""

from collections.abc import Sequence
from typing import NamedTuple

from domain.conditions import Conditions, Facts
from domain.escalation import Policy, default_policies
from domain.organization import Organization
from domain.routing import Rule
from domain.words import Severity


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


def schedule_for(organization: Organization, rule: Rule | None, team: str | None) -> str | None:
    """The schedule that says who is on call: the rule's own, else the team's; None where there is no such one."""
    owner = organization.teams.get(team) if team is not None else None
    name = (rule.schedule if rule else None) or (owner.schedule if owner else None)
    return name if name in organization.schedules else None


def policy_for(
    organization: Organization, rule: Rule | None, team: str | None, severity: Severity
) -> Policy | None:
    """The escalation policy that applies: the rule's own, else the team's, where it is for the severity; else the
    default one, which medium and low have none of."""
    owner = organization.teams.get(team) if team is not None else None
    for name in (rule.policy if rule else None, owner.policy if owner else None):
        policy = organization.policies.get(name) if name is not None else None
        if policy is not None and policy.applies_to(severity):
            return policy
    return default_policies(organization.targets).get(severity)


def _or(words: Sequence[str]) -> str:
    return " or ".join(words)
