"""Escalation: whom each step reaches, and what starts, moves and ends it."""

import os
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from alerting import Alerting, Team, alerting, child, new_number
from escalating import alerted, climbing, person, put, team_of, timers
from running import until

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def alerts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Alerting]:
    with alerting(tmp_path_factory.mktemp("steps"), "--pair-interval", "0",
                  environment={"FANDESK_WHATSAPP_PAIR_INTERVAL_S": "0"}) as running:  # fmt: skip
        yield running


def told(team: Team, incident: Any, kind: str) -> list[Any]:
    return [item for item in team.all_of(incident, "timeline") if item["type"] == kind]


def ago(seconds: float) -> str:
    return (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


def test_who_has_a_step_is_alerted_by_it_and_everybody_is_everybody(alerts: Alerting) -> None:
    team = team_of(alerts, "P0 P1")
    team.add("Board")  # a recipient that is nobody's own
    number = new_number()
    team.people.append({"name": "Silent", "whatsapp": number, "person": person(team, "Silent", number)})
    alerts.sql("update notify.recipients set opted_in_at = now() where whatsapp = %s", number)
    team.add("Calm", severities=[])
    climbing(team, (0, "P0"), (1, "P1"), (1, "everybody"))
    incident = team.trigger(category="outage")
    until(lambda: len(alerted(team, incident)) >= 8, what="all three steps")
    until(alerts.settled, what="all to be sent")
    order = alerted(team, incident)
    assert sorted(order[:2]) == ["Board", "P0"]
    assert order[2] == "P1"
    assert sorted(order[3:]) == ["Board", "Calm", "P0", "P1", "Silent"]
    summaries = [item["summary"] for item in told(team, incident, "IncidentEscalated")]
    assert summaries == ["Escalated to step 1: P0", "Escalated to step 2: P1", "Escalated to step 3: everybody"]


def test_a_step_that_reaches_nobody_says_so(alerts: Alerting) -> None:
    team = team_of(alerts, "P0")
    team.people.append({"name": "Mute", "whatsapp": "-", "person": person(team, "Mute")})
    climbing(team, (0, "Mute"), (1, "P0"))
    incident = team.trigger(category="outage")
    until(lambda: alerted(team, incident) == ["P0"], what="the second step")
    first, second = told(team, incident, "IncidentEscalated")
    assert first["body"] == "Nobody whom this step alerts has a number to be alerted on."
    assert second["body"] is None


@pytest.mark.parametrize("how", ["ends", "is cancelled"])
def test_what_a_maintenance_window_held_back_is_alerted_when_it(alerts: Alerting, how: str) -> None:
    team = team_of(alerts, "P0 P1")
    climbing(team, (0, "P0"), (1, "P1"))
    lasts = timedelta(seconds=3 if how == "ends" else 3600)
    start = datetime.now(UTC) - timedelta(minutes=1)
    end = datetime.now(UTC) + lasts
    window = team.post("/maintenance-windows", 201, name="Upgrade", start=start.isoformat(), end=end.isoformat())
    held, taken = team.trigger(category="outage"), team.trigger(category="outage")
    assert held["team"] == "shop"
    team.do(taken, "acknowledge")
    until(lambda: [t["number"] for t in timers(alerts, held)] == [-1, 0], what="its timers")
    assert alerted(team, held) == []
    if how == "is cancelled":
        assert team.http.delete(f"/api/v1/maintenance-windows/{window['id']}").status_code == 204
    until(lambda: alerted(team, held) == ["P0", "P1"], what="both steps")
    assert datetime.now(UTC) > end or how == "is cancelled"
    (item,) = told(team, held, "MaintenanceEnded")
    assert item["summary"] == "Maintenance “Upgrade” is over, and nobody has taken this on"
    assert alerted(team, taken) == [] and not told(team, taken, "MaintenanceEnded")


def test_a_team_named_by_hand_goes_by_its_own_policy(alerts: Alerting) -> None:
    team = team_of(alerts, "P0 P1 P2 P3", severities=[])
    climbing(team, (0, "P0"), (3, "P1"))
    climbing(team, (0, "P2"), (1, "P3"), owner="data", category="data")
    incident = team.trigger(category="outage")
    until(lambda: alerted(team, incident) == ["P0"], what="the first step")
    team.do(incident, "assign", team="data")
    until(lambda: alerted(team, incident) == ["P0", "P2", "P3"], what="the other team's steps")
    moved = team.trigger(category="outage")
    until(lambda: alerted(team, moved) == ["P0"], what="the first step")
    assert team.do(moved, "category", category="data")["team"] == "data"
    until(lambda: alerted(team, moved) == ["P0", "P2", "P3"], what="the other team's steps")
    assert [t["state"] for t in timers(alerts, incident)] == ["pending", "fired", "stopped", "fired", "fired"]


def test_lowering_does_not_begin_anew_and_raising_does(alerts: Alerting) -> None:
    team = team_of(alerts, "P0 P1")
    climbing(team, (0, "P0"), (2, "P1"))
    lowered = team.trigger(category="outage")
    until(lambda: alerted(team, lowered) == ["P0"], what="the first step")
    team.do(lowered, "severity", severity="high")
    until(lambda: alerted(team, lowered) == ["P0", "P1"], what="the second step")
    team.do(lowered, "severity", severity="critical")
    until(lambda: alerted(team, lowered) == ["P0", "P1", "P0", "P1"], what="both steps again")


def test_raised_after_somebody_took_it_on_everybody_who_wants_to_hears(alerts: Alerting) -> None:
    team = team_of(alerts, "P0 P1")
    climbing(team, (0, "P0"), (60, "P1"))
    incident = team.trigger("medium", category="outage")
    team.do(incident, "acknowledge")
    team.do(incident, "severity", severity="critical")
    until(lambda: sorted(alerted(team, incident)) == ["P0", "P1"], what="both")


def test_raised_within_a_window_its_end_changes_nothing(alerts: Alerting) -> None:
    team = team_of(alerts, "P0 P1")
    climbing(team, (0, "P0"), (1, "P1"))
    end = datetime.now(UTC) + timedelta(seconds=5)
    times = {"start": (end - timedelta(hours=1)).isoformat(), "end": end.isoformat()}
    later = {"start": (end + timedelta(days=7)).isoformat(), "end": (end + timedelta(days=8)).isoformat()}
    for window in (later, times):  # one of the same name comes first in the list
        team.post("/maintenance-windows", 201, name="Patching", **window)
    raised, held = (team.trigger("high", category="outage") for _ in range(2))
    until(lambda: len(timers(alerts, held)) == 2, what="timers")
    team.do(raised, "severity", severity="critical")
    until(lambda: alerted(team, raised) == ["P0", "P1"], what="both steps")
    until(lambda: alerted(team, held) == ["P0", "P1"], what="the end of the window")
    assert datetime.now(UTC) > end
    assert alerted(team, raised) == ["P0", "P1"] and not told(team, raised, "MaintenanceEnded")


def test_settings_of_a_moment_ago_count(alerts: Alerting) -> None:
    team = team_of(alerts, "P0 P1")
    climbing(team, (0, "P0"))
    until(lambda: alerted(team, team.trigger(category="outage")) or True, what="the policy to be known")
    climbing(team, (0, "P1"))
    incident = team.trigger(category="outage")
    until(lambda: "P1" in alerted(team, incident), what="the new policy's step")


def test_a_clock_that_was_set_back_holds_nothing_back(alerts: Alerting) -> None:
    team = team_of(alerts, "P0")
    climbing(team, (2, "P0"))
    incident = team.trigger(category="outage")
    until(lambda: timers(alerts, incident), what="its timers")
    pid = child(alerts.product, "escalate")
    alerts.sql(
        "update escalation.timers set due_at = due_at + interval '1 hour' where incident_id = %s", incident["id"]
    )
    os.kill(pid, signal.SIGSTOP)
    alerts.sql("update stream.followers set seen_at = seen_at + interval '1 hour' where name = 'escalate'")
    os.kill(pid, signal.SIGKILL)
    until(lambda: alerted(team, incident) == ["P0"], what="the step, as if the clock had not changed")


def test_a_thing_of_the_past_may_still_be_told_to_its_end(alerts: Alerting) -> None:
    team = alerts.team(people=0)
    left, taken = (team.trigger("high", occurred_at=ago(86_400)) for _ in range(2))
    team.do(taken, "acknowledge", occurred_at=ago(86_300))
    assert team.incident(left)["response_breached"]
    until(lambda: told(team, left, "ResponseTargetMissed"), what="the target to be told of as missed")
    (item,) = told(team, left, "ResponseTargetMissed")
    assert item["occurred_at"] == left["response_due_at"]
    assert not told(team, taken, "ResponseTargetMissed")


def test_quiet_hours_hold_one_message_and_let_go_when_they_are_taken_back(alerts: Alerting) -> None:
    team = team_of(alerts, "P0")
    climbing(team, (0, "P0"), (1, "P0"), (1, "P0"))
    now = datetime.now(UTC)
    window = {"start": f"{(now.hour - 1) % 24:02}:00", "end": f"{(now.hour + 2) % 24:02}:00"}
    quiet = f"/people/{team.people[0]['person']}/quiet-hours"
    put(team, quiet, time_zone="UTC", windows=[window])

    def held() -> Any:
        incident = team.trigger("high", category="outage")
        until(lambda: team.deliveries(incident), what="a delivery")
        return incident if team.deliveries(incident)[0]["reason"] == "It is the recipient's quiet hours." else None

    waiting: list[Any] = []
    until(lambda: waiting.append(held()) or waiting[-1], what="the quiet hours to be known")
    until(lambda: len(told(team, waiting[-1], "IncidentEscalated")) == 3, what="all steps")
    assert [delivery["state"] for delivery in team.deliveries(waiting[-1])] == ["queued"]
    critical = team.trigger("critical", category="outage")
    until(lambda: alerted(team, critical), what="the critical alert")
    assert alerted(team, waiting[-1]) == []
    assert team.http.delete(f"/api/v1{quiet}").status_code == 204
    until(lambda: alerted(team, waiting[-1]) == ["P0"], what="what was held back")
