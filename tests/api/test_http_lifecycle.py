"""An incident from its trigger to its end, seen from outside."""

import re
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from apitools import Org, at, problem

FIELDS = [
    "id",
    "number",
    "title",
    "description",
    "severity",
    "category",
    "status",
    "team",
    "assignee",
    "source",
    "dedup_key",
    "labels",
    "triggered_at",
    "acknowledged_at",
    "investigating_at",
    "first_resolved_at",
    "resolved_at",
    "reopen_count",
    "alert_count",
    "merged_into",
    "time_to_acknowledge_s",
    "time_to_resolve_s",
    "response_target_s",
    "response_due_at",
    "response_breached",
    "version",
]
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


def test_the_whole_life_of_an_incident(own: Org) -> None:
    incident = own.trigger("Checkout fails", "high", category="outage", occurred_at=at(0))
    life: list[tuple[str, dict[str, Any]]] = [
        ("acknowledge", {"note": "mine", "occurred_at": at(61.25)}),
        ("investigate", {"occurred_at": at(120)}),
        ("updates", {"body": "first", "occurred_at": at(130)}),
        ("updates", {"body": "second", "occurred_at": at(140)}),
        ("severity", {"severity": "critical", "reason": "all of EU", "occurred_at": at(150)}),
        ("resolve", {"note": "rolled back", "occurred_at": at(600)}),
        ("reopen", {"reason": "it is back", "occurred_at": at(700)}),
        ("resolve", {"occurred_at": at(1000.5)}),
    ]

    answers = [own.do(incident, what, **body) for what, body in life]

    assert [a["version"] for a in answers] == [2, 3, 4, 5, 6, 7, 8, 9]
    assert [a["status"] for a in answers] == [
        "acknowledged",
        "investigating",
        "investigating",
        "investigating",
        "investigating",
        "resolved",
        "investigating",
        "resolved",
    ]
    reopened, end = answers[6], answers[7]
    assert (reopened["resolved_at"], reopened["time_to_resolve_s"]) == (None, None)
    assert (reopened["first_resolved_at"], reopened["reopen_count"]) == (at(600), 1)
    assert (end["time_to_acknowledge_s"], end["time_to_resolve_s"]) == (61.25, 1000.5)
    assert (end["acknowledged_at"], end["investigating_at"]) == (at(61.25), at(120))
    assert (end["first_resolved_at"], end["resolved_at"], end["reopen_count"]) == (at(600), at(1000.5), 1)
    assert (end["severity"], end["response_target_s"], end["response_due_at"]) == ("critical", 300, at(300))
    assert end["response_breached"] is False

    read = own.get(f"/incidents/{incident['number']}")
    assert read == end
    figures = own.get("/analytics/summary")["overall"]
    assert (figures["tta"]["mean_s"], figures["ttr"]["mean_s"], figures["ttr_first"]["mean_s"]) == (
        61.25,
        1000.5,
        600,
    )

    timeline = own.get(f"/incidents/{incident['id']}/timeline")
    assert timeline["next_cursor"] is None
    assert [item["type"] for item in timeline["items"]] == [
        "IncidentTriggered",
        "IncidentAcknowledged",
        "InvestigationStarted",
        "UpdatePosted",
        "UpdatePosted",
        "SeverityChanged",
        "IncidentResolved",
        "IncidentReopened",
        "IncidentResolved",
    ]
    assert [item["body"] for item in timeline["items"]] == [
        None,
        "mine",
        None,
        "first",
        "second",
        "all of EU",
        "rolled back",
        "it is back",
        None,
    ]
    for item in timeline["items"]:
        assert {"position", "type", "occurred_at", "recorded_at", "actor", "summary", "body"} <= item.keys()
        assert TIME.fullmatch(item["occurred_at"]) and TIME.fullmatch(item["recorded_at"])
        assert item["actor"] == {"kind": "person", "id": own.admin, "name": "Ada Admin"}
        assert item["summary"]
    recorded = [item["recorded_at"] for item in timeline["items"]]
    assert recorded == sorted(set(recorded))


def test_an_incident_has_every_field_with_its_type(own: Org) -> None:
    own.trigger("First")
    made = own.trigger("Second", "low", description="d", labels={"a": "b"}, dedup_key="k", team="Payments")

    for shown in (made, own.get(f"/incidents/{made['id']}"), own.get("/incidents")["items"][0]):
        assert set(FIELDS) <= shown.keys()
        assert shown["number"] == "INC-2"
        assert UUID(shown["id"]).version == 7
        assert (shown["title"], shown["description"], shown["severity"]) == ("Second", "d", "low")
        assert (shown["status"], shown["category"], shown["source"]) == ("triggered", None, "api")
        assert (shown["labels"], shown["dedup_key"], shown["team"]) == ({"a": "b"}, "k", "Payments")
        assert shown["response_target_s"] == 86400 and shown["response_breached"] is False
        assert all(type(shown[name]) is int for name in ("version", "reopen_count", "alert_count"))
        assert TIME.fullmatch(shown["triggered_at"]) and TIME.fullmatch(shown["response_due_at"])
        nothing_yet = (
            "assignee acknowledged_at investigating_at first_resolved_at resolved_at merged_into"
            " time_to_acknowledge_s time_to_resolve_s"
        )
        assert [name for name in nothing_yet.split() if shown[name] is not None] == []


def test_investigating_from_triggered_acknowledges_at_the_same_instant(org: Org) -> None:
    made = org.do(org.trigger(occurred_at=at(0)), "investigate", occurred_at=at(42))

    assert made["acknowledged_at"] == made["investigating_at"] == at(42)
    assert made["time_to_acknowledge_s"] == 42


def test_resolved_without_acknowledgement_has_no_time_to_acknowledge(org: Org) -> None:
    made = org.do(org.trigger(occurred_at=at(0)), "resolve", occurred_at=at(0))

    assert (made["time_to_acknowledge_s"], made["acknowledged_at"]) == (None, None)
    assert made["time_to_resolve_s"] == 0


def _triggered(org: Org) -> dict[str, Any]:
    return org.trigger(occurred_at=at(0))


def _acknowledged(org: Org) -> dict[str, Any]:
    return org.do(_triggered(org), "acknowledge", occurred_at=at(10))


def _investigating(org: Org) -> dict[str, Any]:
    return org.do(_acknowledged(org), "investigate", occurred_at=at(20))


def _resolved(org: Org) -> dict[str, Any]:
    return org.do(_investigating(org), "resolve", occurred_at=at(30))


def _reopened(org: Org) -> dict[str, Any]:
    return org.do(_resolved(org), "reopen", reason="again", occurred_at=at(40))


def _merged(org: Org) -> dict[str, Any]:
    return org.do(_triggered(org), "merge", into=org.trigger("Heir", occurred_at=at(0))["id"], occurred_at=at(50))


ALL: dict[str, dict[str, Any]] = {
    "acknowledge": {},
    "investigate": {},
    "resolve": {},
    "reopen": {"reason": "r"},
    "updates": {"body": "b"},
    "severity": {"severity": "low"},
    "category": {"category": "bug"},
    "assign": {"team": "T"},
    "correct": {"title": "t"},
}
REFUSED: list[tuple[Callable[[Org], dict[str, Any]], str, str, str, tuple[str, ...]]] = [
    (_triggered, "triggered", at(0), "triggered", ("reopen",)),
    (_acknowledged, "acknowledged", at(10), "acknowledged", ("acknowledge", "reopen")),
    (_investigating, "investigating", at(20), "investigating", ("acknowledge", "investigate", "reopen")),
    (_resolved, "resolved", at(30), "resolved", ("acknowledge", "investigate", "resolve")),
    (_reopened, "investigating", at(40), "investigating", ("acknowledge", "investigate", "reopen")),
    (_merged, "resolved", at(50), "merged", (*ALL, "merge")),
]


@pytest.mark.parametrize(
    ("make", "status", "acted_at", "word", "illegal"), REFUSED, ids=lambda v: getattr(v, "__name__", "")
)
def test_what_the_status_forbids_is_refused_by_name_and_appends_nothing(
    org: Org,
    make: Callable[[Org], dict[str, Any]],
    status: str,
    acted_at: str,
    word: str,
    illegal: tuple[str, ...],
) -> None:
    incident = make(org)
    elsewhere = org.trigger("Somewhere else")
    before, head = org.events(incident), org.get("/ledger/events", after=0, limit=200)["items"][-1:]
    bodies = {**ALL, "merge": {"into": elsewhere["id"]}}

    for command in illegal:
        answer = org.http.post(f"/api/v1/incidents/{incident['id']}/{command}", json=bodies[command])
        told = problem(answer, 409)
        assert word in told["detail"] and incident["number"] in told["detail"], command
        assert told["incident_status"] == status
        assert told["acted_by"] == {"kind": "person", "id": org.admin, "name": "Ada Admin"}
        assert told["acted_at"] == acted_at

    assert org.events(incident) == before
    assert org.get("/ledger/events", after=0, limit=200)["items"][-1:] == head
    legal = [command for command in ALL if command not in illegal]
    for command in legal:
        if command in ("updates", "severity", "category", "assign", "correct"):
            org.do(incident, command, **ALL[command])


def test_backdating_is_bounded_by_the_trigger_and_the_clock(org: Org) -> None:
    incident = org.trigger(occurred_at=at(0))
    before = org.events(incident)
    path = f"/api/v1/incidents/{incident['id']}"

    for time in (at(-0.000001), "1969-12-31T23:59:59Z", "2099-01-01T00:00:00Z"):
        told = problem(org.http.post(f"{path}/acknowledge", json={"occurred_at": time}), 422)
        assert told["errors"][0]["field"] == "occurred_at"

    assert org.events(incident) == before
    assert org.do(incident, "acknowledge", occurred_at=at(0))["time_to_acknowledge_s"] == 0


def test_what_is_so_already_changes_nothing(org: Org) -> None:
    incident = org.trigger("Same", "high", category="bug", team="T")
    for command, body in (
        ("severity", {"severity": "high"}),
        ("category", {"category": "bug"}),
        ("assign", {"team": "T"}),
        ("assign", {"person": None}),
        ("correct", {"title": "Same"}),
    ):
        assert org.do(incident, command, **body)["version"] == 1

    assert len(org.events(incident)) == 1


def test_assigning_merging_correcting(own: Org) -> None:
    heir, incident = own.trigger("Heir"), own.trigger("Same thing", occurred_at=at(0))

    led = own.do(incident, "assign", person=own.admin)
    assert (led["assignee"], led["assignee_name"]) == (own.admin, "Ada Admin")
    assert own.do(incident, "assign", team="Payments")["team"] == "Payments"
    corrected = own.do(incident, "correct", title="Other", labels={"x": "y"}, triggered_at=at(-60), reason="typo")
    assert (corrected["title"], corrected["labels"], corrected["triggered_at"]) == ("Other", {"x": "y"}, at(-60))
    merged = own.do(incident, "merge", into=heir["number"].lower())
    assert (merged["merged_into"], merged["status"]) == (heir["id"], "resolved")
    assert [e["type"] for e in own.events(heir)] == ["IncidentTriggered", "IncidentAbsorbed"]
    names = [item["summary"] for item in own.get(f"/incidents/{incident['id']}/timeline")["items"]]
    assert "Assigned to Ada Admin" in names
    problem(own.http.post(f"/api/v1/incidents/{heir['id']}/merge", json={"into": heir["id"]}), 422)
    problem(own.http.post(f"/api/v1/incidents/{heir['id']}/merge", json={"into": incident["id"]}), 409)


def test_a_person_counts_a_further_alert_by_the_same_dedup_key_while_it_is_open(own: Org) -> None:
    first = own.trigger("Disk", dedup_key="disk")

    again = own.http.post("/api/v1/incidents", json={"title": "Disk", "severity": "low", "dedup_key": "disk"})

    assert again.status_code == 200
    assert (again.json()["id"], again.json()["alert_count"], again.json()["severity"]) == (first["id"], 1, "high")
    own.do(first, "resolve")
    assert own.trigger("Disk", dedup_key="disk")["id"] != first["id"]
    told = problem(own.http.post(f"/api/v1/incidents/{first['id']}/reopen", json={"reason": "r"}), 409)
    assert "INC-2" in told["detail"]
