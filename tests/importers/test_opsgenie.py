"""Given Opsgenie's alerts with logs and notes, then these events."""

import json
from typing import Any

import pytest
from filetools import folded, given, imported, types

from commands.importers import Unreadable
from commands.importers.opsgenie import read_incidents


def at(minute: int) -> str:
    return f"2024-03-01T08:{minute:02}:00.5Z"


def log(words: str, minute: int, owner: str = "System") -> dict[str, Any]:
    return {"log": words, "type": "system", "owner": owner, "createdAt": at(minute), "offset": f"{minute}_{words}"}


def alert(**more: Any) -> dict[str, Any]:
    base = {"id": "70413a06", "tinyId": "1791", "alias": "shop-500", "message": "Shop is down", "createdAt": at(0)}
    return {**base, "status": "closed", "priority": "P2", "count": 1, "source": "prometheus", **more}


def one(**more: Any) -> Any:
    (item,) = imported(
        given(read_incidents, json.dumps({"data": [alert(**more)], "paging": {"next": "x"}, "took": 1}))
    )
    return item


def test_a_whole_life() -> None:
    jane = "jane@example.org"
    item = one(
        **{"updatedAt": at(59), "count": 4, "lastOccurredAt": at(1), "tags": ["web", "eu"], "owner": jane},
        details={"service": "checkout"},
        responders=[{"type": "user", "id": "u1"}, {"type": "team", "id": "t1", "name": "Shop"}],
        logs=[
            log("Alert created via Prometheus", 0),
            log("Email notification sent to jane@example.org", 2),
            log("Alert acknowledged via web", 3, jane),
            log("Alert unacknowledged via web", 5, jane),
            log("Alert acknowledged via api", 6, jane),
            log("Alert priority updated from P2 to P1", 7),
            log("Alert closed via api", 9, jane),
        ],
        notes=[{"note": "Ask jane@example.org", "owner": jane, "createdAt": at(4)}],
    )
    assert types(item) == (
        "IncidentTriggered AlertReceived UpdatePosted IncidentAcknowledged ResponderAssigned UpdatePosted"
        " UpdatePosted UpdatePosted SeverityChanged IncidentResolved"
    )
    done = folded(item)
    assert (done.time_to_acknowledge_s, done.time_to_resolve_s, done.alert_count) == (180, 540, 4)
    assert (done.severity, item.events[0].severity, done.team) == ("critical", "high", "Shop")
    assert done.labels == {
        **{"source_id": "70413a06", "source_number": "1791", "source_alias": "shop-500", "source_priority": "P2"},
        **{"source_origin": "prometheus", "source_tags": "web, eu", "source_teams": "Shop"},
        "source_detail_service": "checkout",
    }
    bodies = [event.body for event in item.events if type(event).__name__ == "UpdatePosted"]
    assert bodies[0].startswith("Email notification sent to person ")
    assert bodies[1] == "Ask jane@example.org"  # a person wrote that: texts are kept
    assert list(item.people.values()) == [jane]
    assert done.assignee in item.people


@pytest.mark.parametrize(
    ("said", "acknowledged", "resolved", "closed"),
    [
        ({"report": {"ackTime": 60_000, "closeTime": 90_500}}, 60, 90.5, True),
        ({"updatedAt": at(7)}, None, 420, True),
        ({"status": "open", "acknowledged": True, "report": {"ackTime": 500}}, 0.5, None, False),
        ({"logs": [log("Alert closed", 2)], "report": {"closeTime": 1}}, None, 120, False),
        ({"logs": [log("Alert acknowledged", 2), log("Alert closed", 1)], "report": {}}, None, 60, False),
    ],
)
def test_what_the_alert_says_of_itself(said: Any, acknowledged: Any, resolved: Any, closed: bool) -> None:
    item = one(**said)
    done = folded(item)
    assert (done.time_to_acknowledge_s, done.time_to_resolve_s) == (acknowledged, resolved)
    assert item.closed_unresolved == closed


@pytest.mark.parametrize(
    ("priority", "severity"), [("P1", "critical"), ("P3", "medium"), ("P5", "low"), ("?", "medium")]
)
def test_severity(priority: str, severity: str) -> None:
    assert folded(one(priority=priority)).severity == severity


def test_what_cannot_be_read_is_told() -> None:
    broken = [alert(logs=[log("x", 1) | {"createdAt": "?"}], notes=[7]), {"message": "x"}, {"id": "b"}]
    items = given(read_incidents, json.dumps(broken))
    assert [(item.line, item.reason) for item in items if isinstance(item, Unreadable)] == [
        (1, "log 1 of 70413a06 has no time"),
        (1, "note 1 of 70413a06 has no time"),
        (2, "no id"),
        (3, "b has no time at which it was created"),
    ]
    assert (
        one(createdAt=1709280000000, updatedAt=at(9)).events[0].occurred_at.isoformat()
        == "2024-03-01T08:00:00+00:00"
    )
