"""How an organisation's settings may change: pure functions to new events, or a refusal that names the field.

Each returns the events to append; an empty tuple means that it is so already. `people`: those of the organisation
and their roles, which the caller knows.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from domain import organization_events as o
from domain.decisions import Request
from domain.errors import InvalidField, NotDefined, StaleVersion
from domain.escalation import Policy, ToPerson, ToSchedule, ToTeam
from domain.oncall import Override, Schedule
from domain.organization import Organization, Team
from domain.organization_uses import Named, free
from domain.quiet import Maintenance, QuietHours
from domain.routing import Rule
from domain.words import RESPONSE_TARGETS_S

Events = tuple[o.OrganizationEvent, ...]
People = Mapping[UUID, str]

MOST_RULES: Final = 500
MOST_OVERRIDES: Final = 1000
OVERRIDES_STAY: Final = timedelta(days=90)
"""How long after its end an override stays in the definition: feeds look back two months."""

MOST_MEMBERS: Final = 1000
LONGEST_TARGET_S: Final = 30 * 24 * 60 * 60


@dataclass(frozen=True, slots=True)
class Names:
    """What settings may name. By default what the organisation has; more where it is about to get more."""

    teams: frozenset[str]
    schedules: frozenset[str]
    policies: frozenset[str]

    @classmethod
    def of(cls, organization: Organization) -> "Names":
        return cls(
            frozenset(organization.teams), frozenset(organization.schedules), frozenset(organization.policies)
        )

    def check(self, kind: Named, field: str, name: str | None) -> None:
        """Raises InvalidField where it is not null and there is nothing of that name."""
        known = {"team": self.teams, "schedule": self.schedules, "policy": self.policies}[kind]
        if name is not None and name not in known:
            raise InvalidField(field, f"There is no {kind} “{name}”.")


def unchanged_since(organization: Organization, version: int | None) -> None:
    """Raises StaleVersion where it is not at that version any more; null asks for none."""
    if version is not None and organization.version != version:
        raise StaleVersion(
            f"The organisation's settings have changed since version {version}.", current=organization.version
        )


def define_team(
    organization: Organization, request: Request, team: Team, people: People, names: Names | None = None
) -> Events:
    """Make a team, or make it so. Its members have to see incidents; the schedule and the policy have to exist."""
    names = names or Names.of(organization)
    _addressable(team.name)
    if team.name.lower() == "none":
        raise InvalidField("name", "A team cannot be called “none”: filters ask by that for no team.")
    members = tuple(dict.fromkeys(team.members))
    if len(members) > MOST_MEMBERS:
        raise InvalidField("members", f"A team may have {MOST_MEMBERS} members.")
    for place, person in enumerate(team.members):
        _sees_incidents(people, f"members.{place}", person)
    names.check("schedule", "schedule", team.schedule)
    names.check("policy", "policy", team.policy)
    made = Team(team.name, members, team.schedule, team.policy)
    if organization.teams.get(team.name) == made:
        return ()
    return (
        o.TeamDefined(
            **request.meta(), team=team.name, members=members, schedule=team.schedule, policy=team.policy
        ),
    )


def remove_team(organization: Organization, request: Request, name: str) -> Events:
    """Raises NotDefined, InUse."""
    _there(name in organization.teams, "team", name)
    free(organization, "team", name)
    return (o.TeamRemoved(**request.meta(), team=name),)


def set_routing(
    organization: Organization,
    request: Request,
    rules: Sequence[tuple[UUID | None, Rule]],
    default_team: str | None,
    new_id: Callable[[], UUID],
    names: Names | None = None,
) -> Events:
    """All rules in order, each with the id that it was given, if one was, and the team of what no rule claims.

    One without an id keeps that of the present rule of its name; what is new gets one from `new_id`.
    """
    names = names or Names.of(organization)
    if len(rules) > MOST_RULES:
        raise InvalidField("rules", f"There may be {MOST_RULES} rules.")
    taken = {id for id, _ in rules if id is not None}
    kept = {rule.name: rule.id for rule in organization.rules if rule.id not in taken}
    made: list[Rule] = []
    for place, (id, rule) in enumerate(rules):
        if any(rule.name == other.name for other in made):
            raise InvalidField(f"rules.{place}.name", "Another rule has this name.")
        if id is not None and any(id == other.id for other in made):
            raise InvalidField(f"rules.{place}.id", "Another rule has this id.")
        names.check("team", f"rules.{place}.team", rule.team)
        names.check("schedule", f"rules.{place}.schedule", rule.schedule)
        names.check("policy", f"rules.{place}.policy", rule.policy)
        made.append(rule.model_copy(update={"id": id or kept.get(rule.name) or new_id()}))
    names.check("team", "default_team", default_team)
    if (tuple(made), default_team) == (organization.rules, organization.default_team):
        return ()
    return (o.RoutingChanged(**request.meta(), rules=tuple(made), default_team=default_team),)


def define_schedule(
    organization: Organization, request: Request, schedule: Schedule, people: People, new_id: Callable[[], UUID]
) -> Events:
    """Make a schedule, or make it so. Who is on it has to see incidents; overrides without an id get one."""
    _addressable(schedule.name)
    if len(schedule.overrides) > MOST_OVERRIDES:
        raise InvalidField("overrides", f"A schedule may have {MOST_OVERRIDES} overrides.")
    for n, layer in enumerate(schedule.layers):
        for m, person in enumerate(layer.people):
            if person is not None:
                _sees_incidents(people, f"layers.{n}.people.{m}", person)
    before = organization.schedules.get(schedule.name)
    known = before.overrides if before else ()
    made: list[Override] = []
    for n, override in enumerate(schedule.overrides):
        if override.person is not None:
            _sees_incidents(people, f"overrides.{n}.person", override.person)
        if override.id is not None and any(override.id == other.id for other in made):
            raise InvalidField(f"overrides.{n}.id", "Another override has this id.")
        same = (old.id for old in known if override == old.model_copy(update={"id": None}) and old not in made)
        made.append(override.model_copy(update={"id": override.id or next(same, None) or new_id()}))
    schedule = schedule.model_copy(update={"overrides": tuple(made)})
    if schedule == before:
        return ()
    return (o.ScheduleDefined(**request.meta(), schedule=schedule),)


def remove_schedule(organization: Organization, request: Request, name: str) -> Events:
    """Raises NotDefined, InUse."""
    _there(name in organization.schedules, "schedule", name)
    free(organization, "schedule", name)
    return (o.ScheduleRemoved(**request.meta(), name=name),)


def add_override(
    organization: Organization, request: Request, name: str, override: Override, people: People
) -> Events:
    """Put somebody on call for a span of time; it goes before those that are there. Its id has to be given.

    Those that ended OVERRIDES_STAY ago are left out: the definitions of then have them.
    """
    schedule = organization.schedules.get(name)
    if schedule is None:
        raise _not_there("schedule", name)
    if override.person is not None:
        _sees_incidents(people, "person", override.person)
    if override in schedule.overrides:
        return ()
    kept = tuple(old for old in schedule.overrides if old.end > request.asked_at - OVERRIDES_STAY)
    if len(kept) >= MOST_OVERRIDES:
        raise InvalidField("overrides", f"A schedule may have {MOST_OVERRIDES} overrides.")
    made = schedule.model_copy(update={"overrides": (*kept, override)})
    return (o.ScheduleDefined(**request.meta(), schedule=made),)


def remove_override(organization: Organization, request: Request, name: str, id: UUID) -> Events:
    """Raises NotDefined."""
    schedule = organization.schedules.get(name)
    if schedule is None:
        raise _not_there("schedule", name)
    left = tuple(override for override in schedule.overrides if override.id != id)
    if len(left) == len(schedule.overrides):
        raise NotDefined("The schedule has no such override.")
    made = schedule.model_copy(update={"overrides": left})
    return (o.ScheduleDefined(**request.meta(), schedule=made),)


def define_policy(
    organization: Organization, request: Request, policy: Policy, people: People, names: Names | None = None
) -> Events:
    """Make an escalation policy, or make it so. Whom it names has to exist, and people have to see incidents."""
    names = names or Names.of(organization)
    _addressable(policy.name)
    for n, step in enumerate(policy.steps):
        for m, target in enumerate(step.targets):
            field = f"steps.{n}.targets.{m}.id"
            match target:
                case ToPerson():
                    _sees_incidents(people, field, target.id)
                case ToTeam():
                    names.check("team", field, target.id)
                case ToSchedule():
                    names.check("schedule", field, target.id)
    if organization.policies.get(policy.name) == policy:
        return ()
    return (o.PolicyDefined(**request.meta(), policy=policy),)


def remove_policy(organization: Organization, request: Request, name: str) -> Events:
    """Raises NotDefined, InUse."""
    _there(name in organization.policies, "policy", name)
    free(organization, "policy", name)
    return (o.PolicyRemoved(**request.meta(), name=name),)


def schedule_maintenance(organization: Organization, request: Request, id: UUID, window: Maintenance) -> Events:
    """Announce work that will raise alerts. One that is over already is refused: it would change nothing."""
    window = window.model_copy(update={"id": id})
    if organization.windows.get(id) == window:
        return ()
    _not_over(window.end, request.asked_at)
    return (o.MaintenanceScheduled(**request.meta(), window_id=id, window=window),)


def cancel_maintenance(organization: Organization, request: Request, id: UUID) -> Events:
    """From now on its alerts wake people again. Raises NotDefined."""
    if id not in organization.windows:
        raise NotDefined("There is no such maintenance window.")
    return (o.MaintenanceCancelled(**request.meta(), window_id=id),)


def set_quiet_hours(
    organization: Organization, request: Request, person: UUID, quiet: QuietHours | None, people: People
) -> Events:
    """When a person wants not to be woken; null: at any hour they may be. Raises NotDefined."""
    if person not in people:
        raise NotDefined("There is no such person.")
    if organization.quiet.get(person) == quiet:
        return ()
    return (o.QuietHoursSet(**request.meta(), person_id=person, quiet=quiet),)


def set_response_targets(organization: Organization, request: Request, targets: o.Targets | None) -> Events:
    """Within how many seconds incidents have to be acknowledged: 1 s to 30 days; null: the usual ones."""
    wanted = targets.by_severity() if targets else RESPONSE_TARGETS_S
    for severity, seconds in wanted.items():
        if not 1 <= seconds <= LONGEST_TARGET_S:
            raise InvalidField(severity, f"Must be 1 to {LONGEST_TARGET_S} seconds (30 days).")
    if dict(organization.targets) == wanted:
        return ()
    return (o.ResponseTargetsSet(**request.meta(), targets=targets),)


def _sees_incidents(people: People, field: str, person: UUID) -> None:
    role = people.get(person)
    if role is None:
        raise InvalidField(field, "There is no such person in this organisation.")
    if role == "member":
        raise InvalidField(field, "Is a member, who sees no incidents: make them a responder first.")


def _addressable(name: str) -> None:
    """A name is a part of the address under which a thing is found."""
    if "/" in name or name in (".", ".."):
        raise InvalidField("name", "Must not contain a slash, or be . or ..: it is part of an address.")


def _not_over(end: datetime, now: datetime) -> None:
    if end <= now:
        raise InvalidField("end", "Has passed.")


def _there(there: bool, kind: Named, name: str) -> None:
    if not there:
        raise _not_there(kind, name)


def _not_there(kind: Named, name: str) -> NotDefined:
    return NotDefined(f"There is no {kind} “{name}”.")
