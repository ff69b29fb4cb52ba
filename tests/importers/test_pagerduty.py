"""Given PagerDuty's incidents and log entries, then these events: every kind of entry."""

import json
from typing import Any

import pytest
from filetools import folded, given, imported, types

from commands.importers import Unreadable
from commands.importers.pagerduty import read_incidents

JANE = {"id": "PJANE", "type": "user_reference", "summary": "Jane Doe"}
JOE = {"id": "PJOE", "type": "user_reference", "summary": "Joe Bloggs"}
SERVICE = {"id": "PWEB", "type": "service_reference", "summary": "Web shop"}


def at(minute: int) -> str:
    return f"2024-03-01T08:{minute:02}:00Z"


def entry(kind: str, minute: int, **more: Any) -> dict[str, Any]:
    return {"id": f"R{minute}{kind[:2]}", "type": f"{kind}_log_entry", "created_at": at(minute), **more}


def incident(*entries: dict[str, Any], **more: Any) -> dict[str, Any]:
    base = {"id": "PINC1", "incident_number": 42, "title": "Shop is down", "created_at": at(0), "urgency": "high"}
    return {**base, "service": SERVICE, "status": "resolved", "log_entries": list(entries), **more}


def one(*entries: dict[str, Any], **more: Any) -> Any:
    (item,) = imported(given(read_incidents, json.dumps({"incidents": [incident(*entries, **more)], "limit": 25})))
    return item


def bodies(item: Any) -> list[str]:
    return [event.body for event in item.events if type(event).__name__ == "UpdatePosted"]


TRIGGER = entry("trigger", 0, channel={"type": "api", "summary": "500s on checkout", "details": "rate 5%"})


def test_a_whole_life() -> None:
    item = one(
        TRIGGER,
        entry(
            "notify", 1, user=JANE, channel={"notification": {"type": "phone_notification", "address": "+49 30 1"}}
        ),
        entry("assign", 1, assignees=[JANE, JOE], summary="Assigned to Jane Doe and Joe Bloggs"),
        entry("acknowledge", 2, agent=JANE, summary="Acknowledged by Jane Doe"),
        entry("unacknowledge", 5, summary="Unacknowledged due to timeout"),
        entry("escalate", 6, assignees=[JOE], summary="Escalated to Joe Bloggs"),
        entry("acknowledge", 7, agent=JOE, summary="Acknowledged by Joe Bloggs"),
        entry("annotate", 8, channel={"type": "note", "summary": "Rolled back the release of Jane Doe"}),
        entry("urgency_change", 9, channel={"type": "auto", "urgency": "low"}),
        entry("priority_change", 10, channel={"priority": {"summary": "P1"}}, summary="Priority changed to P1"),
        entry("snooze", 11, summary="Snoozed by Jane Doe"),
        entry("resolve", 12, agent=JANE, summary="Resolved by Jane Doe"),
        entry("reopen", 13, agent=JOE, summary="Reopened by Joe Bloggs"),
        entry("resolve", 14, summary="Resolved through the API"),
        entry("brand_new", 15, summary="Something else"),
    )
    assert types(item) == (
        "IncidentTriggered UpdatePosted ResponderAssigned UpdatePosted IncidentAcknowledged UpdatePosted"
        " ResponderAssigned UpdatePosted UpdatePosted SeverityChanged SeverityChanged UpdatePosted"
        " IncidentResolved IncidentReopened IncidentResolved UpdatePosted"
    )
    done = folded(item)
    assert (done.time_to_acknowledge_s, done.time_to_first_resolve_s, done.time_to_resolve_s) == (120, 720, 840)
    assert (done.severity, done.reopen_count, done.status, done.category) == ("critical", 1, "resolved", None)
    assert item.events[0].severity == "high"
    assert done.title == "Shop is down" and done.description == "rate 5%"
    assert done.labels == {
        "source_id": "PINC1",
        "source_number": "42",
        "source_service": "Web shop",
        "source_urgency": "high",
    }
    said = "".join(event.model_dump_json() for event in item.events)
    for private in ("Joe", "+49", "Acknowledged by Jane"):
        assert private not in said
    assert "Rolled back the release of Jane Doe" in said  # a person wrote that: texts are kept
    assert sorted(item.people.values()) == ["Jane Doe", "Joe Bloggs"]
    assert item.rows == 15


def test_entries_newest_first_and_of_the_same_instant() -> None:
    forward = [TRIGGER, entry("acknowledge", 0), entry("annotate", 3, note="x"), entry("resolve", 3)]
    assert one(*forward).events == one(*reversed(forward)).events


def test_entries_as_items_of_their_own_join_their_incident() -> None:
    entries = [TRIGGER, entry("acknowledge", 2), entry("resolve", 9)]
    parts = [{**each, "incident": {"id": "PINC1", "summary": "[#42] Shop is down"}} for each in entries]
    other = {**entry("trigger", 3), "incident": {"id": "PLOST", "summary": "Alone"}, "service": SERVICE}
    alone = {name: value for name, value in incident().items() if name != "log_entries"}
    lines = "\n".join(json.dumps(each) for each in (parts[2], other, alone, parts[1], parts[0]))
    first, second = imported(given(read_incidents, lines))
    assert (first.reference, second.reference) == ("PLOST", "PINC1")
    assert second == one(*entries)
    assert (folded(first).title, folded(first).labels["source_service"]) == ("Alone", "Web shop")
    (page,) = imported(given(read_incidents, json.dumps({"log_entries": parts})))
    assert types(page) == types(second)


def test_without_entries_what_the_incident_says_of_itself() -> None:
    item = one(acknowledgements=[{"at": at(4), "acknowledger": JANE}], resolved_at=at(8))
    assert types(item) == "IncidentTriggered IncidentAcknowledged IncidentResolved"
    assert (folded(item).time_to_acknowledge_s, folded(item).time_to_resolve_s) == (240, 480)
    assert item.closed_unresolved
    assert one().left_open


@pytest.mark.parametrize(
    ("said", "severity"),
    [
        ({"priority": {"summary": "P1"}}, "critical"),
        ({"priority": {"summary": "SEV-2"}}, "high"),
        ({"priority": {"name": "P3"}}, "medium"),
        ({"priority": {"summary": "P5"}}, "low"),
        ({"priority": {"summary": "Odd"}, "urgency": "low"}, "low"),
        ({"urgency": None}, "medium"),
    ],
)
def test_severity(said: dict[str, Any], severity: str) -> None:
    assert folded(one(TRIGGER, **said)).severity == severity


def test_what_cannot_be_read_is_told() -> None:
    broken = [incident(TRIGGER, {"type": "x_log_entry"}, "text"), {"title": "x"}, {"id": "P2"}]  # type: ignore[arg-type]
    items = given(read_incidents, json.dumps([*broken, {"type": "notify_log_entry"}]))
    assert [(item.line, item.reason) for item in items if isinstance(item, Unreadable)] == [
        (1, "log entry 2 of PINC1 has no time"),
        (1, "log entry 3 of PINC1 has no time"),
        (2, "no id"),
        (4, "a log entry that names no incident"),
        (3, "P2 has neither log entries nor a time"),
    ]
    assert len(imported(items)) == 1


def test_a_name_is_replaced_as_a_word_only() -> None:
    al = {"id": "PAL", "type": "user_reference", "summary": "Al"}
    item = one(TRIGGER, entry("snooze", 3, agent=al, summary="Alert snoozed by Al."))
    (body,) = bodies(item)
    assert body.startswith("Alert snoozed by person ")
