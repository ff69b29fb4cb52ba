"""Which policy an incident follows, and whom a step of it alerts: from the organisation as it stands."""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from domain.escalation import Policy, Target, ToEverybody, ToPerson, ToSchedule, ToTeam, default_policy, plan
from domain.incident import Incident
from domain.oncall import everybody_on, on_call_at
from domain.organization import Organization
from domain.routing import Rule
from domain.words import Severity


class Whom(NamedTuple):
    """The people of a step; everybody: also all recipients of the organisation, whatever they want to hear of."""

    people: frozenset[UUID]
    everybody: bool


def chosen_by(organization: Organization, incident: Incident) -> Rule | None:
    """The routing rule that gave the incident its team; None where it was given by hand, or the rule is gone."""
    return next((each for each in organization.rules if each.id == incident.team_rule), None)


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


def reached_later(organization: Organization, incident: Incident, at: datetime) -> frozenset[UUID]:
    """The people whom the incident's policy alerts, but not at once: their turn comes with their step.

    Of a schedule that is everybody on it who is not on call at that instant. Nobody, where a step comes at once
    and reaches nobody: then the others must not wait for theirs.
    """
    rule = chosen_by(organization, incident)
    policy = policy_for(organization, rule, incident.team, incident.severity)
    if policy is None:
        return frozenset()
    first, *_ = steps = plan(policy, at)
    at_once = frozenset[UUID]()
    if first.at == at:
        at_once, everybody = whom(organization, first.targets, rule, incident.team, at)
        if not at_once and not everybody:
            return frozenset()
    targets = [target for step in steps for target in step.targets]
    people = set(whom(organization, targets, rule, incident.team, at).people)
    for target in targets:
        if isinstance(target, ToSchedule):
            name = target.id or schedule_for(organization, rule, incident.team)
            people |= everybody_on(organization.schedules[name]) if name in organization.schedules else set()
    return frozenset(people) - at_once
