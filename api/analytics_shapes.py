"""What figures look like, for the OpenAPI document."""

from uuid import UUID

from pydantic import BaseModel, Field


class Duration(BaseModel):
    """A figure over n durations, in seconds; null where n is 0. negative: how many were below 0."""

    n: int
    mean_s: float | None
    p50_s: float | None
    p90_s: float | None
    p95_s: float | None
    negative: int


class Compliance(BaseModel):
    """How many were acknowledged within their response target, and how many whose time is over were not."""

    met: int
    breached: int


class Figures(BaseModel):
    """Figures of a group of incidents; `key` is null for those without a value."""

    key: str | None
    incidents: int
    open: int
    acknowledged: int
    unacknowledged: int
    resolved: int
    reopened_incidents: int
    reopenings: int
    tta: Duration
    ttr: Duration
    ttr_first: Duration
    response_target: Compliance


class LinkedFigures(Figures):
    """links: where the incidents are listed that each figure counts."""

    links: dict[str, str]


class Compared(LinkedFigures):
    """Figures, with those of the period before where there is one."""

    previous: LinkedFigures | None = None


class FromTo(BaseModel):
    """The time in [from, to), in UTC; null where it is open."""

    from_: str | None = Field(alias="from")
    to: str | None


class Before(FromTo):
    """The equal period before: as many months where the range is whole months, as many days where it is whole
    days, else exactly as long. gone: groups that only it has."""

    gone: list[LinkedFigures]


class Report(FromTo):
    """tz: whose days these are. as_of: by what was recorded until then; null: by all that is known."""

    tz: str
    as_of: str | None


class Summary(Report):
    """Figures of incidents triggered in [from, to). previous: only where the range has a beginning."""

    group_by: str
    groups: list[Compared]
    overall: Compared
    previous: Before | None = None


class BucketFigures(Figures):
    """link: where its incidents are listed; put the name of another figure at its end to have those it counts."""

    link: str


class Bucket(FromTo):
    """The figures of a day, week or month, as far as it is in the range; every bucket has all groups."""

    groups: list[BucketFigures]
    overall: BucketFigures


class Buckets(FromTo):
    """The buckets of a period."""

    buckets: list[Bucket]


class Trend(Report):
    """Figures by bucket. previous: the buckets of the equal period before, only where the range has a
    beginning."""

    interval: str
    group_by: str
    buckets: list[Bucket]
    previous: Buckets | None = None


class ResponderLoad(BaseModel):
    """What incidents meant for a person, or for a recipient that is no person's. alerts: messages sent; alerted,
    engaged: about and with how many incidents; engaged_s: seconds with at least one in hand; tz: whose hours."""

    responder: UUID
    name: str | None
    tz: str
    alerts: int
    out_of_hours_alerts: int
    alerted: int
    engaged: int
    engaged_s: float
    links: dict[str, str]


class Load(Report):
    """Load by responder, the most engaged first."""

    responders: list[ResponderLoad]


class Hours(Report):
    """Incidents by hour of the week: days[0][0] are those triggered on a Monday from midnight to one."""

    incidents: int
    days: list[list[int]]
    link: str


class SourceNoise(BaseModel):
    """Alerts of the incidents that a source opened; null where it opened none."""

    source: str | None
    incidents: int
    alerts: int
    alerts_per_incident: float | None
    unacknowledged: int
    unacknowledged_share: float | None
    links: dict[str, str]


class Noise(Report):
    """Alert noise overall and by source, the noisiest first."""

    overall: SourceNoise
    sources: list[SourceNoise]


class UsedEvent(BaseModel):
    """An event that a figure follows from."""

    position: int
    type: str
    occurred_at: str
    recorded_at: str


class Reason(BaseModel):
    """Why a figure is what it is. result: seconds, a number, `met` or `breached`."""

    rule: str
    result: float | str | None
    events: list[UsedEvent]


class IncidentFigures(BaseModel):
    """An incident's own figures. counted: whether it is part of the figures of its organisation; merged ones are
    not. figures: tta, ttr, ttr_first, reopenings and response_target."""

    id: UUID
    number: str
    counted: bool
    response_target_s: int
    figures: dict[str, Reason]
