"""The organisation aggregate: who may do what and how alerts find people, folded from its events."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import assert_never
from uuid import UUID

from domain import organization_events as o
from domain.escalation import Policy
from domain.leaving import left_policy, left_schedule
from domain.oncall import Schedule
from domain.organization_events import OrganizationEvent, Role
from domain.quiet import Maintenance, QuietHours
from domain.routing import Rule
from domain.words import RESPONSE_TARGETS_S, Severity


@dataclass(frozen=True, slots=True)
class Team:
    """Who owns incidents together. schedule, policy: names of who is on call for it, and how it escalates."""

    name: str
    members: tuple[UUID, ...] = ()
    schedule: str | None = None
    policy: str | None = None


@dataclass(kw_only=True)
class Organization:
    """An organisation after `version` events."""

    id: UUID
    version: int = 0
    changed_at: datetime | None = None
    """When the last of them happened."""
    roles: dict[UUID, Role] = field(default_factory=dict)
    teams: dict[str, Team] = field(default_factory=dict)
    rules: tuple[Rule, ...] = ()
    default_team: str | None = None
    schedules: dict[str, Schedule] = field(default_factory=dict)
    policies: dict[str, Policy] = field(default_factory=dict)
    windows: dict[UUID, Maintenance] = field(default_factory=dict)
    quiet: dict[UUID, QuietHours] = field(default_factory=dict)
    tokens: dict[UUID, UUID] = field(default_factory=dict)
    """Tokens that work, and whose they are."""
    targets: Mapping[Severity, int] = field(default_factory=lambda: RESPONSE_TARGETS_S)

    def apply(self, event: OrganizationEvent) -> None:
        """Take one more event into account."""
        self.version += 1
        self.changed_at = event.occurred_at
        match event:
            case o.RoleGranted():
                self.roles[event.person_id] = event.role
                if event.role == "member":
                    self._counts_no_more_on(event.person_id)
            case o.AccessRemoved() | o.PersonErased():
                self.roles.pop(event.person_id, None)
                self.quiet.pop(event.person_id, None)
                self.tokens = {id: person for id, person in self.tokens.items() if person != event.person_id}
                self._counts_no_more_on(event.person_id)
            case o.AccessRefused() | o.SignInLinkIssued() | o.IdentityLinked():
                pass
            case o.CalendarFeedIssued() | o.CalendarFeedRevoked() | o.IntegrationAdded():
                pass
            case o.TokenIssued():
                self.tokens[event.token_id] = event.person_id
            case o.TokenRevoked():
                self.tokens.pop(event.token_id, None)
            case o.TeamDefined():
                self.teams[event.team] = Team(event.team, event.members, event.schedule, event.policy)
            case o.TeamRemoved():
                self.teams.pop(event.team, None)
            case o.RoutingChanged():
                self.rules, self.default_team = event.rules, event.default_team
            case o.ScheduleDefined():
                self.schedules[event.schedule.name] = event.schedule
            case o.ScheduleRemoved():
                self.schedules.pop(event.name, None)
            case o.PolicyDefined():
                self.policies[event.policy.name] = event.policy
            case o.PolicyRemoved():
                self.policies.pop(event.name, None)
            case o.MaintenanceScheduled():
                self.windows[event.window_id] = event.window
            case o.MaintenanceCancelled():
                self.windows.pop(event.window_id, None)
            case o.QuietHoursSet():
                if event.quiet is None:
                    self.quiet.pop(event.person_id, None)
                else:
                    self.quiet[event.person_id] = event.quiet
            case o.ResponseTargetsSet():
                self.targets = event.targets.by_severity() if event.targets else RESPONSE_TARGETS_S
            case _:
                assert_never(event)

    def _counts_no_more_on(self, person: UUID) -> None:
        """Who sees no incidents is in no team, has no turns, and is not alerted."""
        self.teams = {
            name: replace(team, members=tuple(each for each in team.members if each != person))
            for name, team in self.teams.items()
        }
        self.schedules = {name: left_schedule(each, person) for name, each in self.schedules.items()}
        self.policies = {name: left_policy(each, person) for name, each in self.policies.items()}


def fold_organization(id: UUID, events: Iterable[OrganizationEvent]) -> Organization:
    """The organisation after `events`, its whole stream or a prefix of it in order."""
    organization = Organization(id=id)
    for event in events:
        organization.apply(event)
    return organization
