"""Escalation: each step's people once and in order, through kill -9 at every step; an acknowledgement stops it."""

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from alerting import Alerting, Team, alerting
from escalating import alerted, climbing, put, team_of, timers
from faultload import gone, pids
from running import until

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def alerts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Alerting]:
    with alerting(tmp_path_factory.mktemp("escalation")) as running:
        yield running


def team_of_three(alerts: Alerting, *waits_s: float, **targets: int) -> Team:
    """Three people, recipients as anybody is, and a policy with a step for each of them."""
    team = team_of(alerts)
    climbing(team, *zip(waits_s, ("P0", "P1", "P2"), strict=True))
    if targets:
        put(team, "/organization/response-targets", **targets)
    return team


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
    until(lambda: team.types(incident)["IncidentEscalated"], what="the first step")
    team.do(incident, how)
    until(
        lambda: (
            not alerts.sql(
                "select 1 from escalation.timers where incident_id = %s and state = 'pending'", incident["id"]
            )
        ),
        what="the timers to stop",
    )
    assert [row["state"] for row in timers(alerts, incident)] == ["stopped", "fired", "stopped", "stopped"]
    assert team.types(incident)["IncidentEscalated"] == 1
    assert alerted(team, incident) == ["P0"]


def test_a_response_target_that_passes_is_said_once_for_every_severity(alerts: Alerting) -> None:
    team = team_of_three(alerts, 100, 100, 100, critical=2, high=2, medium=2, low=2)
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
    until(lambda: timers(alerts, acknowledged)[0]["state"] == "stopped", what="the timer to stop")
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
