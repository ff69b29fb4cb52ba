"""What can happen to an organisation: who may do what, its teams, rules, schedules and policies.

One stream per organisation, whose id is the organisation's. People are ids here too; what they are called and
where they are reached is outside the ledger.
"""

from typing import Literal, TypeAlias
from uuid import UUID

from domain.escalation import Policy
from domain.events import Event, Value
from domain.oncall import Schedule
from domain.quiet import Maintenance, QuietHours
from domain.routing import Rule
from domain.words import Instant, Severity

Role = Literal["super_admin", "org_admin", "responder", "member"]


class OrganizationChange(Event):
    """What every event about an organisation has."""


class RoleGranted(OrganizationChange):
    """A person may do what the role may, from now on and nothing else; `previous` is null for somebody new."""

    person_id: UUID
    role: Role
    previous: Role | None = None


class AccessRemoved(OrganizationChange):
    """A person may do nothing here any more."""

    person_id: UUID
    previous: Role


class PersonErased(OrganizationChange):
    """What was known about a person was deleted everywhere; this id is all that is left."""

    person_id: UUID


class AccessRefused(OrganizationChange):
    """Somebody tried to do what their role or token does not allow. `what`: method and route, no values."""

    person_id: UUID
    what: str


class TokenIssued(OrganizationChange):
    """An API token was made for a person. Its secret is nowhere."""

    token_id: UUID
    person_id: UUID
    scopes: tuple[str, ...]
    expires_at: Instant | None = None


class TokenRevoked(OrganizationChange):
    """An API token works no more."""

    token_id: UUID
    person_id: UUID


class SignInLinkIssued(OrganizationChange):
    """A link was made that signs a person in, once and until then. Its secret is nowhere."""

    person_id: UUID
    expires_at: Instant


class IdentityLinked(OrganizationChange):
    """A person signs in by the OpenID Connect provider from now on. Who they are there is outside the ledger."""

    person_id: UUID


class CalendarFeedIssued(OrganizationChange):
    """An address began to work that shows the shifts of a schedule, or of a person by all schedules. Its key is
    nowhere."""

    feed_id: UUID
    schedule: str | None = None
    person_id: UUID | None = None


class CalendarFeedRevoked(OrganizationChange):
    """A feed's address works no more."""

    feed_id: UUID


class IntegrationAdded(OrganizationChange):
    """A source of alerts was made, of that kind. Its key is nowhere."""

    integration_id: UUID
    kind: str


class TeamDefined(OrganizationChange):
    """A team is as said here, new or changed. schedule, policy: names: who is on call for it, how it escalates."""

    team: str
    members: tuple[UUID, ...] = ()
    schedule: str | None = None
    policy: str | None = None


class TeamRemoved(OrganizationChange):
    """There is no such team any more; incidents keep its name."""

    team: str


class RoutingChanged(OrganizationChange):
    """Alerts find their team by these rules, the first that matches; else the default team."""

    rules: tuple[Rule, ...] = ()
    default_team: str | None = None


class ScheduleDefined(OrganizationChange):
    """The on-call schedule of that name is as said here, new or changed."""

    schedule: Schedule


class ScheduleRemoved(OrganizationChange):
    """There is no schedule of that name any more."""

    name: str


class PolicyDefined(OrganizationChange):
    """The escalation policy of that name is as said here, new or changed."""

    policy: Policy


class PolicyRemoved(OrganizationChange):
    """There is no policy of that name any more."""

    name: str


class MaintenanceScheduled(OrganizationChange):
    """Alerts that match wake nobody from its start to its end; new or changed."""

    window_id: UUID
    window: Maintenance


class MaintenanceCancelled(OrganizationChange):
    """The window is no more."""

    window_id: UUID


class QuietHoursSet(OrganizationChange):
    """When a person is not to be woken but for critical; null: at any hour."""

    person_id: UUID
    quiet: QuietHours | None = None


class ResponseTargetsSet(OrganizationChange):
    """Within how many seconds incidents have to be acknowledged, by severity; null: the usual ones."""

    targets: "Targets | None" = None


class Targets(Value):
    """Seconds from trigger to acknowledgement."""

    critical: int
    high: int
    medium: int
    low: int

    def by_severity(self) -> dict[Severity, int]:
        return {"critical": self.critical, "high": self.high, "medium": self.medium, "low": self.low}


OrganizationEvent: TypeAlias = (
    RoleGranted
    | AccessRemoved
    | PersonErased
    | AccessRefused
    | TokenIssued
    | TokenRevoked
    | SignInLinkIssued
    | IdentityLinked
    | CalendarFeedIssued
    | CalendarFeedRevoked
    | IntegrationAdded
    | TeamDefined
    | TeamRemoved
    | RoutingChanged
    | ScheduleDefined
    | ScheduleRemoved
    | PolicyDefined
    | PolicyRemoved
    | MaintenanceScheduled
    | MaintenanceCancelled
    | QuietHoursSet
    | ResponseTargetsSet
)
"""Every event an organisation's stream may hold: a closed union, matched exhaustively."""
