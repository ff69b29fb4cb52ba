"""Escalation: each step's people once and in order, through kill -9 at every step; an acknowledgement stops it."""

import os
import signal
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from alerting import Alerting, Team, alerting
from faultload import gone, pids
from running import until

from commands.event_store import LedgerDatastore, LedgerRecorder
from commands.organizations import Organizations
from domain import organization_events as o
from domain.conditions import Conditions
from domain.escalation import Policy, Step, ToPerson
from domain.events import Actor
from domain.routing import Rule
from domain.words import rfc3339

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def alerts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Alerting]:
    with alerting(tmp_path_factory.mktemp("escalation")) as running:
        yield running


def team_of_three(alerts: Alerting, *waits_s: int, **more: Any) -> Team:
    """Three people who hear of nothing but what is escalated to them: one for each step of the policy."""
    team = alerts.team(people=0)
    for n in range(3):
        person = uuid4()
        alerts.sql(
            "insert into access.people (id, organization_id, name, role) values (%s, %s, %s, 'responder')",
            person, team.id, f"P{n}",
        )  # fmt: skip
        recipient = team.add(f"P{n}", person=str(person))
        alerts.sql("update notify.recipients set severities = '{}' where id = %s", recipient["id"])
    people = [UUID(each["person"]) for each in team.people]
    steps = tuple(Step(wait_s=s, targets=(ToPerson(id=p),)) for s, p in zip(waits_s, people, strict=True))
    meta = {
        "organization_id": UUID(team.id), "actor": Actor(kind="system"), "correlation_id": uuid4(),
        "causation_id": uuid4(), "occurred_at": "2026-01-01T00:00:00Z",
    }  # fmt: skip
    rule = Rule(id=uuid4(), name="Outages", conditions=Conditions(categories=("outage",)), team="shop")
    store = LedgerRecorder(LedgerDatastore(alerts.dsn))
    try:
        Organizations(store).change(
            UUID(team.id),
            lambda _: (
                o.PolicyDefined(**meta, policy=Policy(name="Climb", steps=steps)),
                o.TeamDefined(**meta, team="shop", members=tuple(people), policy="Climb"),
                o.RoutingChanged(**meta, rules=(rule,)),
                *([o.ResponseTargetsSet(**meta, targets=o.Targets(**more))] if more else []),
            ),
        )
    finally:
        store.close()
    return team


def alerted(team: Team, incident: Any) -> list[str]:
    """Whom Meta was given an alert of this incident for, in order."""
    names = {person["whatsapp"].lstrip("+"): person["name"] for person in team.people}
    return [names[message["to"]] for message in sorted(team.messages(incident), key=lambda m: m["received_at"])]


def kill_escalator(alerts: Alerting) -> None:
    pid = pids(alerts.product)["escalate"]
    os.kill(pid, signal.SIGKILL)
    until(lambda: gone(pid), what="the escalator to die")


def test_each_steps_people_are_alerted_once_in_order_through_kills_at_every_step(alerts: Alerting) -> None:
    team = team_of_three(alerts, 1, 2, 2)
    incident = team.trigger("critical", category="outage")
    assert incident["team"] == "shop"
    kill_escalator(alerts)
    for reached in (1, 2, 3):
        until(lambda n=reached: len(alerted(team, incident)) >= n, within_s=30, what=f"step {reached}")
        kill_escalator(alerts)
    until(lambda: alerts.sql("select 1 from stream.followers where name = 'escalate'"), what="the escalator")
    until(
        lambda: (
            not alerts.sql(
                "select 1 from escalation.timers where incident_id = %s and number > 0 and state = 'pending'",
                incident["id"],
            )
        ),
        what="all steps to be taken",
    )
    until(alerts.settled, what="all alerts to be sent")
    assert alerted(team, incident) == ["P0", "P1", "P2"]
    assert team.types(incident)["IncidentEscalated"] == 3
    steps = [e["payload"] for e in team.all_of(incident, "events") if e["type"] == "IncidentEscalated"]
    assert [step["step"] for step in steps] == [1, 2, 3]


@pytest.mark.parametrize("how", ["acknowledge", "investigate", "resolve"])
def test_acknowledging_between_two_steps_stops_it_at_once(alerts: Alerting, how: str) -> None:
    team = team_of_three(alerts, 0, 3, 1)
    incident = team.trigger("critical", category="outage")
    until(lambda: alerted(team, incident) == ["P0"], what="the first step")
    team.do(incident, how)
    until(
        lambda: (
            not alerts.sql(
                "select 1 from escalation.timers where incident_id = %s and state = 'pending'", incident["id"]
            )
        ),
        what="the timers to stop",
    )
    assert [row["state"] for row in _timers(alerts, incident)] == ["stopped", "fired", "stopped", "stopped"]
    assert team.types(incident)["IncidentEscalated"] == 1
    assert alerted(team, incident) == ["P0"]


def test_a_response_target_that_passes_is_said_once_for_every_severity(alerts: Alerting) -> None:
    team = team_of_three(alerts, 100, 100, 100, critical=2, high=2, medium=2, low=2)
    until(lambda: team.trigger("low")["response_target_s"] == 2, what="the targets to be known")
    incidents = [team.trigger(severity, category="outage") for severity in ("critical", "high", "medium", "low")]
    for incident in incidents:
        until(lambda i=incident: team.types(i)["ResponseTargetMissed"], what="the target to be missed")
        assert team.incident(incident)["response_breached"]

        def missed(i: Any = incident) -> list[Any]:
            return [each for each in team.all_of(i, "timeline") if each["type"] == "ResponseTargetMissed"]

        until(missed, what="the timeline to have followed the ledger")
        (item,) = missed()
        assert item["summary"] == "Nobody acknowledged within 2 seconds"
    acknowledged = team.trigger("high", category="outage")
    team.do(acknowledged, "acknowledge")
    until(lambda: _timers(alerts, acknowledged)[0]["state"] == "stopped", what="the timer to stop")
    assert not team.types(acknowledged)["ResponseTargetMissed"]
    assert all(team.types(incident)["ResponseTargetMissed"] == 1 for incident in incidents)


def test_what_was_lowered_is_not_escalated_and_what_is_raised_is(alerts: Alerting) -> None:
    team = team_of_three(alerts, 2, 1, 100)
    calmed = team.trigger("critical", category="outage")
    team.do(calmed, "severity", severity="medium")
    raised = team.trigger("medium", category="outage")
    team.do(raised, "severity", severity="high")
    until(lambda: alerted(team, raised) == ["P0", "P1"], what="two steps")
    assert alerted(team, calmed) == []


def test_who_is_in_quiet_hours_is_woken_by_critical_alone(alerts: Alerting) -> None:
    team = team_of_three(alerts, 0, 100, 100)
    now = alerts.sql("select clock_timestamp() at time zone 'UTC' as now")[0]["now"]
    start, end = f"{(now.hour - 1) % 24:02}:00", f"{(now.hour + 2) % 24:02}:00"
    from domain.quiet import QuietHours
    from domain.windows import Window

    quiet = QuietHours(time_zone="UTC", windows=(Window(start=start, end=end),))
    person = UUID(team.people[0]["person"])
    store = LedgerRecorder(LedgerDatastore(alerts.dsn))
    meta = {
        "organization_id": UUID(team.id), "actor": Actor(kind="system"), "correlation_id": uuid4(),
        "causation_id": uuid4(), "occurred_at": rfc3339(now.astimezone()),
    }  # fmt: skip
    Organizations(store).change(UUID(team.id), lambda _: (o.QuietHoursSet(**meta, person_id=person, quiet=quiet),))
    store.close()

    def held() -> bool:
        incident = team.trigger("high", category="outage")
        until(lambda: team.deliveries(incident), what="a delivery")
        (row,) = team.deliveries(incident)
        return bool(row["state"] == "queued" and "quiet" in row["reason"])

    until(held, what="the quiet hours to be known")
    critical = team.trigger("critical", category="outage")
    until(lambda: alerted(team, critical) == ["P0"], what="the critical alert")


def _timers(alerts: Alerting, incident: Any) -> list[Any]:
    return alerts.sql(
        "select number, state from escalation.timers where incident_id = %s order by number", incident["id"]
    )
