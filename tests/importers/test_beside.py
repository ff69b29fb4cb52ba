"""Log entries that do not stand within their incident's own list, and changes of priority in other words."""

import json
from typing import Any

import pytest
from filetools import folded, given, imported, types
from test_known_again import ALERT, ENTRIES, INCIDENT, LOGS

from commands.importers import Unreadable, opsgenie, pagerduty

FULL = "IncidentTriggered IncidentAcknowledged UpdatePosted IncidentResolved"
ONE_LINE, INDENTED = None, 1


@pytest.mark.parametrize("indent", [ONE_LINE, INDENTED])
@pytest.mark.parametrize(
    "file",
    [
        {"incidents": [INCIDENT], "log_entries": ENTRIES},
        {"incident": INCIDENT, "log_entries": ENTRIES},
        {**INCIDENT, "log_entries": {"log_entries": ENTRIES, "more": False}},
        {"incident": INCIDENT, "log_entries": {"log_entries": ENTRIES}},
    ],
    ids=["lists", "one", "page", "one and page"],
)
def test_pagerduty(file: Any, indent: int | None) -> None:
    (item,) = given(pagerduty.read_incidents, json.dumps(file, indent=indent))
    assert types(item) == FULL  # type: ignore[arg-type]


def test_what_stands_before_the_incidents_is_told() -> None:
    items = given(
        pagerduty.read_incidents, json.dumps({"log_entries": ENTRIES, "incidents": [INCIDENT]}, indent=1)
    )
    told = [item.reason for item in items if isinstance(item, Unreadable)]
    assert told == ['"log_entries" stands before the array of items: not taken']
    assert len(imported(items)) == 1


@pytest.mark.parametrize("indent", [ONE_LINE, INDENTED])
@pytest.mark.parametrize(
    "file",
    [
        {"data": ALERT, "logs": LOGS, "notes": []},
        {"data": ALERT, "logs": {"data": LOGS}, "notes": {"data": []}},
        {**ALERT, "logs": {"data": LOGS, "paging": {}}},
    ],
    ids=["beside", "page beside", "page"],
)
def test_opsgenie(file: Any, indent: int | None) -> None:
    (item,) = given(opsgenie.read_incidents, json.dumps(file, indent=indent))
    assert types(item) == FULL  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "first", "last"),
    [
        ({"channel": {"old_priority": {"summary": "P3"}, "new_priority": {"name": "P1"}}}, "medium", "critical"),
        ({"summary": 'Priority changed from "P3" to "P1" by Jo'}, "medium", "critical"),
        ({"summary": "Priority set to P1"}, "low", "critical"),
        ({"summary": "Something about priority"}, "high", "high"),
    ],
)
def test_a_changed_priority(change: dict[str, Any], first: str, last: str) -> None:
    entry = {"id": "R4", "type": "priority_change_log_entry", "created_at": "2024-03-01T08:04:00Z", **change}
    file = {**INCIDENT, "urgency": "low", "priority": {"summary": "P2"}, "log_entries": [ENTRIES[0], entry]}
    (item,) = imported(given(pagerduty.read_incidents, json.dumps([file])))
    assert (item.events[0].severity, folded(item).severity) == (first, last)  # type: ignore[union-attr]
