"""Givens of organisations: each event with the least and the most that it may say, and settings to start from."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from given import ALICE, BOB, CAROL, meta

from domain import organization_events as o
from domain.conditions import Conditions, LabelCondition
from domain.escalation import Policy, Step, ToEverybody, ToPerson, ToSchedule, ToTeam
from domain.oncall import Layer, Override, Schedule
from domain.quiet import Maintenance, QuietHours
from domain.rotation import Daily, EveryDays, EveryHours, Weekly
from domain.routing import Rule
from domain.windows import Window

A, B, C = (UUID(str(actor.id)) for actor in (ALICE, BOB, CAROL))
PEOPLE = {A: "org_admin", B: "responder", C: "member"}
TOKEN, RULE, WINDOW, OVERRIDE, FEED = (UUID(int=n) for n in (0x501, 0x502, 0x503, 0x504, 0x505))
START, END = datetime(2026, 3, 3, tzinfo=UTC), datetime(2026, 3, 4, tzinfo=UTC)
NIGHT = Window(start="22:00", end="06:00")
WEEKEND = Window(days=("friday",), start="18:00", until="monday", end="08:00")


def layer(name: str = "base", people: tuple[UUID, ...] = (A, B), **more: Any) -> Layer:
    given = {"rotation": Daily(handover="09:00"), "starts_on": "2026-01-05", **more}
    return Layer(name=name, people=people, **given)


def schedule(name: str = "primary", *layers: Layer, **more: Any) -> Schedule:
    return Schedule(name=name, time_zone="Europe/Berlin", layers=layers or (layer(),), **more)


def policy(name: str = "standard", *targets: Any) -> Policy:
    return Policy(name=name, steps=(Step(wait_s=60, targets=targets or (ToEverybody(),)),))


def rule(name: str = "databases", team: str = "payments", **more: Any) -> Rule:
    return Rule(**{"id": RULE, "name": name, "team": team, **more})


FULL_SCHEDULE = Schedule(
    name="Ünï",
    time_zone="America/New_York",
    layers=(
        layer(),
        layer("weekly", rotation=Weekly(weekday="friday", handover="17:30"), ends_on="2027-01-01"),
        layer("days", rotation=EveryDays(days=3, handover="00:00"), restrictions=(NIGHT, WEEKEND)),
        layer("hours", rotation=EveryHours(hours=8, handover="06:00")),
    ),
    overrides=(
        Override(id=OVERRIDE, start=START, end=END, person=B),
        Override(start=START, end=END, person=None),
    ),
)
FULL_CONDITIONS = Conditions(
    severities=("critical", "high"),
    categories=("outage", None),
    sources=("alertmanager",),
    labels=(
        LabelCondition(label="a", equals=""),
        LabelCondition(label="b", one_of=("x", "y")),
        LabelCondition(label="c", starts_with="z"),
        LabelCondition(label="d", matches="*-[!a]?"),
    ),
)
EVERYBODY = (
    ToPerson(id=A),
    ToTeam(),
    ToTeam(id="payments"),
    ToSchedule(),
    ToSchedule(id="primary"),
    ToEverybody(),
)

EVENTS: list[o.OrganizationEvent] = [
    o.RoleGranted(**meta(1), person_id=B, role="responder"),
    o.RoleGranted(**meta(1), person_id=B, role="org_admin", previous="responder"),
    o.AccessRemoved(**meta(2), person_id=B, previous="org_admin"),
    o.PersonErased(**meta(3), person_id=B),
    o.AccessRefused(**meta(4), person_id=B, what="PUT /api/v1/teams/{name}"),
    o.TokenIssued(**meta(5), token_id=TOKEN, person_id=B, scopes=()),
    o.TokenIssued(**meta(5), token_id=TOKEN, person_id=B, scopes=("read", "write"), expires_at=END),
    o.TokenRevoked(**meta(6), token_id=TOKEN, person_id=B),
    o.SignInLinkIssued(**meta(6), person_id=B, expires_at=END),
    o.IdentityLinked(**meta(6), person_id=B),
    o.CalendarFeedIssued(**meta(6), feed_id=FEED, schedule="primary"),
    o.CalendarFeedIssued(**meta(6), feed_id=FEED, person_id=B),
    o.CalendarFeedRevoked(**meta(6), feed_id=FEED),
    o.IntegrationAdded(**meta(6), integration_id=FEED, kind="alertmanager"),
    o.TeamDefined(**meta(7), team="payments"),
    o.TeamDefined(**meta(7), team="payments", members=(A, B), schedule="primary", policy="standard"),
    o.TeamRemoved(**meta(8), team="payments"),
    o.RoutingChanged(**meta(9)),
    o.RoutingChanged(
        **meta(9),
        rules=(rule(), rule("all", id=TOKEN, conditions=FULL_CONDITIONS, schedule="primary", policy="standard")),
        default_team="payments",
    ),
    o.ScheduleDefined(**meta(10), schedule=Schedule(name="empty", time_zone="UTC")),
    o.ScheduleDefined(**meta(10), schedule=FULL_SCHEDULE),
    o.ScheduleRemoved(**meta(11), name="empty"),
    o.PolicyDefined(**meta(12), policy=policy()),
    o.PolicyDefined(
        **meta(12),
        policy=Policy(
            name="all",
            severities=("critical",),
            steps=(Step(wait_s=0, targets=EVERYBODY), Step(wait_s=60, targets=(ToEverybody(),))),
            repeat=3,
            repeat_after_s=90,
        ),
    ),
    o.PolicyRemoved(**meta(13), name="all"),
    o.MaintenanceScheduled(**meta(14), window_id=WINDOW, window=Maintenance(name="Upgrade", start=START, end=END)),
    o.MaintenanceScheduled(
        **meta(14),
        window_id=WINDOW,
        window=Maintenance(id=WINDOW, name="Upgrade", start=START, end=END, conditions=FULL_CONDITIONS),
    ),
    o.MaintenanceCancelled(**meta(15), window_id=WINDOW),
    o.QuietHoursSet(**meta(16), person_id=B),
    o.QuietHoursSet(**meta(16), person_id=B, quiet=QuietHours(time_zone="Asia/Tokyo", windows=(NIGHT, WEEKEND))),
    o.ResponseTargetsSet(**meta(17)),
    o.ResponseTargetsSet(**meta(17), targets=o.Targets(critical=60, high=600, medium=6000, low=60000)),
]
"""Least and most of each type, in the order in which the golden files have them."""
