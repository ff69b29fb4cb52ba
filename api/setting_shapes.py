"""What settings look like, in bodies and in answers. Definitions are the domain's own."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, Field

from api import schemas
from domain.conditions import Conditions, LabelName, LabelValue
from domain.escalation import LONGEST_WAIT_S, Policy, Step
from domain.localtime import Moment, ZoneName
from domain.oncall import Layer, Override, Schedule
from domain.quiet import Maintenance, QuietHours
from domain.routing import Rule
from domain.values import Name, Whole
from domain.words import Category, Severity

Names = dict[str, str]
"""What people are called, by their id."""


class TeamBody(schemas.Body):
    """A team: its members, who is on call for it, and how it escalates."""

    name: Name | None = None
    members: list[UUID] = Field(default=[], max_length=1000)
    schedule: Name | None = None
    policy: Name | None = None


class Team(BaseModel):
    name: str
    members: list[UUID]
    schedule: str | None
    policy: str | None


class Teams(BaseModel):
    """All teams. people: what their members are called."""

    items: list[Team]
    people: Names


class RuleBody(schemas.Body):
    """A rule. id: of the present rule that it is, if it is one; without, the one of its name."""

    id: UUID | None = None
    name: Name
    conditions: Conditions = Conditions()
    team: Name
    schedule: Name | None = None
    policy: Name | None = None


class RoutingBody(schemas.Body):
    """All rules, in order. default_team: of what no rule claims."""

    rules: list[RuleBody]
    default_team: Name | None = None


class Routing(BaseModel):
    rules: list[Rule]
    default_team: str | None


class RoutingQuestion(schemas.Body):
    """An alert that may come. at: when, if not now."""

    severity: Severity
    category: Category | None = None
    source: LabelName = "api"
    labels: dict[LabelName, LabelValue] = Field(default={}, max_length=100)
    at: Moment | None = None


class PassedOver(BaseModel):
    """A rule before the one that chose, and what of it does not hold. number: its place in the list, from 1."""

    number: int
    id: UUID
    name: str
    because: str


class ChosenRule(BaseModel):
    number: int
    id: UUID
    name: str


class SomebodyNamed(BaseModel):
    """Somebody; name: null where unknown or erased."""

    id: UUID
    name: str | None


class RoutingAnswer(BaseModel):
    """Where the alert would go and why. person: who would be woken; maintenance: the window that it falls into."""

    team: str | None
    because: str
    rule: ChosenRule | None
    schedule: str | None
    policy: str | None
    person: SomebodyNamed | None
    person_because: str | None
    maintenance: str | None
    passed_over: list[PassedOver]


class ScheduleBody(BaseModel):
    """Layers from base to top, and overrides; local times in `time_zone`."""

    name: Name | None = None
    time_zone: ZoneName
    layers: tuple[Layer, ...] = ()
    overrides: tuple[Override, ...] = ()


class Schedules(BaseModel):
    items: list[Schedule]
    people: Names


class OverrideBody(schemas.Body):
    """From start (included) to end (not included) it is this person, or with null nobody."""

    start: Moment
    end: Moment
    person: UUID | None


class OnCall(BaseModel):
    """Who is on call by a schedule, and until when: null is for longer than a year."""

    schedule: str
    person: SomebodyNamed | None
    until: str | None


class OnCallNow(BaseModel):
    at: str
    items: list[OnCall]


class LayerSays(BaseModel):
    """What one layer, or one override, says of the instant; the one that decides counts."""

    kind: str
    name: str
    person: UUID | None
    decides: bool


class OnCallBySchedule(OnCall):
    at: str
    standing: list[LayerSays]


class Shift(BaseModel):
    """Somebody is on call from start (included) to end (not included); null is a gap."""

    start: str
    end: str
    person: UUID | None


class Shifts(BaseModel):
    schedule: str
    items: list[Shift]
    people: Names


class FeedBody(schemas.Body):
    """Whose calendar: exactly one of the two."""

    schedule: Name | None = None
    person: UUID | None = None


class Feed(BaseModel):
    """A calendar feed. Whoever has its address can read it."""

    id: UUID
    schedule: str | None
    person: UUID | None
    created_at: str


class NewFeed(Feed):
    """url: shown once; only its hash is kept."""

    url: str


class Feeds(BaseModel):
    items: list[Feed]


class PolicyBody(BaseModel):
    """Steps of a wait and of whom to alert."""

    name: Name | None = None
    severities: tuple[Severity, ...] = ("critical", "high")
    steps: tuple[Step, ...]
    repeat: Whole = Field(default=0, ge=0, le=20)
    repeat_after_s: Whole = Field(default=300, ge=1, le=LONGEST_WAIT_S)


class Policies(BaseModel):
    """All policies. defaults: what is done where none is named that is for the severity."""

    items: list[Policy]
    defaults: dict[Severity, Policy]


class WindowBody(BaseModel):
    """From start (included) to end (not included), alerts that meet the conditions wake nobody."""

    name: Name
    start: Moment
    end: Moment
    conditions: Conditions = Conditions()


class Windows(BaseModel):
    items: list[Maintenance]


class Quiet(BaseModel):
    person: UUID
    quiet_hours: QuietHours | None


class TargetsBody(schemas.Body):
    """Seconds from trigger to acknowledgement, 1 to 2592000 (30 days)."""

    critical: Whole
    high: Whole
    medium: Whole
    low: Whole


class OrganizationEntry(BaseModel):
    """An entry of the ledger about the organisation; `payload` is the event's JSON as it was stored."""

    position: int
    version: int
    type: str
    schema_version: int
    recorded_at: datetime
    payload: dict[str, Any]


class OrganizationEntries(BaseModel):
    items: list[OrganizationEntry]
    next_cursor: str | None
