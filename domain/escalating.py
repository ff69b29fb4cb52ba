"""Which policy an incident follows, and whom a step of it alerts: from the organisation as it stands."""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from domain import events as e
from domain.escalation import Policy, Target, ToEverybody, ToPerson, ToSchedule, ToTeam, default_policy
from domain.oncall import on_call_at
from domain.organization import Organization
from domain.routing import Rule
from domain.words import Severity


class Whom(NamedTuple):
    """The people of a step; everybody: also all recipients that want to hear of the severity."""

    people: frozenset[UUID]
    everybody: bool


def chosen_by(organization: Organization, events: Iterable[e.IncidentEvent]) -> Rule | None:
    """The routing rule that gave the incident its team; None where it was given by hand, or the rule is gone."""
    rule = None
    for event in events:
        if isinstance(event, e.TeamAssigned):
            rule = event.rule
    return next((each for each in organization.rules if each.id == rule), None) if rule is not None else None


def schedule_for(organization: Organization, rule: Rule | None, team: str | None) -> str | None:
    """The schedule that says who is on call: the rule's own, else the team's; None where there is no such one."""
    owner = organization.teams.get(team) if team is not None else None
    name = (rule.schedule if rule else None) or (owner.schedule if owner else None)
    return name if name in organization.schedules else None


def policy_for(
    organization: Organization, rule: Rule | None, team: str | None, severity: Severity
) -> Policy | None:
    """The policy that applies: the rule's own, else the team's, where it is for the severity; else the usual one
    of an organisation that has set up teams or schedules; None where nobody is to be alerted any further."""
    owner = organization.teams.get(team) if team is not None else None
    for name in (rule.policy if rule else None, owner.policy if owner else None):
        policy = organization.policies.get(name) if name is not None else None
        if policy is not None and policy.applies_to(severity):
            return policy
    if not organization.teams and not organization.schedules:
        return None
    return default_policy(severity, organization.targets[severity])


def whom(
    organization: Organization, targets: Iterable[Target], rule: Rule | None, team: str | None, at: datetime
) -> Whom:
    """Whom these targets are at that instant. Names that are gone are nobody."""
    people: set[UUID] = set()
    everybody = False
    for target in targets:
        match target:
            case ToPerson():
                people.add(target.id)
            case ToTeam():
                name = target.id or team
                people.update(organization.teams[name].members if name in organization.teams else ())
            case ToSchedule():
                schedule = organization.schedules.get(target.id or schedule_for(organization, rule, team) or "")
                person = on_call_at(schedule, at) if schedule is not None else None
                people.update([person] if person is not None else ())
            case ToEverybody():
                everybody = True
    return Whom(frozenset(people), everybody)
