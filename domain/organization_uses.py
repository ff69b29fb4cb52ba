"""What of an organisation's settings names what: nothing is removed that something else still needs."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from domain.errors import InUse
from domain.escalation import ToPerson, ToSchedule, ToTeam
from domain.organization import Organization

Named = Literal["team", "schedule", "policy"]


def uses(organization: Organization, kind: Named, name: str) -> tuple[str, ...]:
    """Everything that names the team, schedule or policy, in words."""
    found = [f"the team “{t.name}”" for t in organization.teams.values() if kind != "team" and _has(t, kind, name)]
    found += [f"rule {n}, “{r.name}”" for n, r in enumerate(organization.rules, 1) if _has(r, kind, name)]
    if kind == "team" and organization.default_team == name:
        found.append("the default team of routing")
    wanted = {"team": ToTeam, "schedule": ToSchedule}.get(kind)
    if wanted is not None:
        found += [
            f"the policy “{policy.name}”"
            for policy in organization.policies.values()
            if any(isinstance(t, wanted) and t.id == name for step in policy.steps for t in step.targets)
        ]
    return tuple(found)


def uses_of_person(organization: Organization, person: UUID, now: datetime) -> tuple[str, ...]:
    """Everything that counts on the person from now on, in words."""
    found = [f"the team “{team.name}”" for team in organization.teams.values() if person in team.members]
    found += [
        f"the schedule “{schedule.name}”"
        for schedule in organization.schedules.values()
        if any(person in layer.people for layer in schedule.layers)
        or any(o.person == person and o.end > now for o in schedule.overrides)
    ]
    return tuple(found) + tuple(
        f"the policy “{policy.name}”"
        for policy in organization.policies.values()
        if any(isinstance(t, ToPerson) and t.id == person for step in policy.steps for t in step.targets)
    )


def not_counted_on(organization: Organization, person: UUID, name: str, now: datetime) -> None:
    """Raises InUse where a team, a schedule or a policy counts on them. name: what they are called."""
    if by := uses_of_person(organization, person, now):
        raise InUse(f"{name} is still counted on by {', '.join(by)}.", by=by)


def free(organization: Organization, kind: Named, name: str) -> None:
    """Raises InUse where something names it."""
    if by := uses(organization, kind, name):
        raise InUse(f"The {kind} “{name}” is in use by {', '.join(by)}.", by=by)


def _has(user: object, kind: Named, name: str) -> bool:
    return bool(getattr(user, kind) == name)
