"""An incident that comes in several forms and pieces: what is known again, and what goes on with its story."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from filetools import folded, given, imported
from test_servicenow_ledger import assert_accounted, contents

from commands.event_store import LedgerRecorder
from commands.importers import opsgenie, pagerduty, servicenow
from commands.importers.run import run
from domain.events import IncidentEvent, IncidentReopened, IncidentResolved, IncidentTriggered
from domain.incident import Incident, fold

HEAD = "number,incident_state,opened_at,sys_updated_at,priority,resolved_at\n"


@pytest.fixture
def ledger(make_ledger: Callable[[], LedgerRecorder]) -> Iterator[LedgerRecorder]:
    """An empty one, whose connections are given back after the test."""
    made = make_ledger()
    yield made
    made.close()


def rows(*states: str, resolved_at: str = "?") -> list[str]:
    return [
        f"INC1,{state},1/3/2016 08:00,1/3/2016 {9 + n:02}:00,3 - Moderate,{resolved_at}\n"
        for n, state in enumerate(states)
    ]


def load(ledger: LedgerRecorder, importer: Any, content: Any) -> Any:
    said = content if isinstance(content, str) else json.dumps(content)
    report = run(given(importer.read_incidents, said), ledger)
    assert_accounted(report)
    return report


def only(ledger: LedgerRecorder) -> tuple[Incident, list[IncidentEvent]]:
    ((id, events),) = contents(ledger).items()
    incident = fold(id, events)
    assert incident is not None
    assert sum(isinstance(event, IncidentTriggered) for event in events) == 1
    return incident, events


def test_the_first_row_repaired_later_shifts_no_other(ledger: LedgerRecorder) -> None:
    lines = rows("New", "Active", "Resolved", "Active", "Resolved")
    load(ledger, servicenow, HEAD + lines[0].replace("09:00", "?") + "".join(lines[1:]))
    report = load(ledger, servicenow, HEAD + "".join(lines))
    assert (report.rows_taken, report.rows_already_there, report.out_of_place) == (1, 4, 1)
    assert only(ledger)[0].reopen_count == 1
    assert load(ledger, servicenow, HEAD + "".join(lines)).events_written == 0


@pytest.mark.parametrize("cut", [1, 2, 3, 4, 5, 6])
def test_a_later_export_with_the_later_rows_only_goes_on(ledger: LedgerRecorder, cut: int) -> None:
    lines = rows("New", "Active", "Resolved", "Active", "Active", "Resolved", "Closed")
    (whole,) = imported(given(servicenow.read_incidents, HEAD + "".join(lines)))
    load(ledger, servicenow, HEAD + "".join(lines[:cut]))
    for _ in range(2):
        report = load(ledger, servicenow, HEAD + "".join(lines[cut:]))
    assert (report.events_written, report.rows_already_there) == (0, 7 - cut)
    one, other = folded(whole), only(ledger)[0]
    assert (one.acknowledged_at, one.first_resolved_at, one.resolved_at, one.reopen_count, one.status) == (
        *(other.acknowledged_at, other.first_resolved_at, other.resolved_at),
        *(other.reopen_count, other.status),
    )


def test_rows_that_say_the_same_are_as_many_as_they_are(ledger: LedgerRecorder) -> None:
    line = same = more = rows("New")[0]
    load(ledger, servicenow, HEAD + line + same)
    report = load(ledger, servicenow, HEAD + line + same + more)
    assert (report.rows_taken, report.rows_already_there) == (1, 2)


def test_final_values_on_all_rows_make_no_other_rows(ledger: LedgerRecorder) -> None:
    load(ledger, servicenow, HEAD + "".join(rows("New", "Active")))
    later = rows("New", "Active", "Resolved", resolved_at="1/3/2016 11:00")
    report = load(ledger, servicenow, HEAD + "".join(later))
    assert (report.rows_taken, report.rows_already_there, only(ledger)[0].status) == (1, 2, "resolved")


def at(minute: int) -> str:
    return f"2024-03-01T08:{minute:02}:00Z"


INCIDENT = {"id": "P1", "title": "x", "created_at": at(0), "status": "resolved", "resolved_at": at(9)}
INCIDENT |= {"acknowledgements": [{"at": at(2)}]}  # type: ignore[dict-item]
ENTRIES = [
    {"id": f"R{n}", "type": f"{kind}_log_entry", "created_at": at(n), "incident": {"id": "P1"}}
    for n, kind in ((0, "trigger"), (2, "acknowledge"), (5, "annotate"), (9, "resolve"))
]
ALERT = {"id": "A1", "message": "x", "createdAt": at(0), "status": "closed"}
ALERT |= {"report": {"ackTime": 120_000, "closeTime": 540_000}}  # type: ignore[dict-item]
LOGS = [
    {"log": f"Alert {said}", "owner": "System", "createdAt": at(n), "offset": f"{n}"}
    for n, said in ((0, "created"), (2, "acknowledged"), (5, "looked at"), (9, "closed"))
]
BARE_AND_FULL: dict[str, tuple[Any, Any, Any]] = {
    "pagerduty": (pagerduty, INCIDENT, {**INCIDENT, "log_entries": ENTRIES}),
    "opsgenie": (opsgenie, ALERT, {**ALERT, "logs": LOGS}),
}


@pytest.mark.parametrize("tool", sorted(BARE_AND_FULL))
@pytest.mark.parametrize("order", ["bare first", "full first", "in one file"])
def test_without_and_then_with_entries_is_one_story(ledger: LedgerRecorder, tool: str, order: str) -> None:
    importer, bare, full = BARE_AND_FULL[tool]
    if order == "in one file":
        load(ledger, importer, [full, bare])
        load(ledger, importer, [full, bare])
    else:
        for each in (bare, full, bare, full) if order == "bare first" else (full, bare, full, bare):
            report = load(ledger, importer, [each])
        assert report.events_written == 0
    incident, events = only(ledger)
    assert sum(isinstance(event, IncidentResolved) for event in events) == 1
    assert not any(isinstance(event, IncidentReopened) for event in events)
    assert (incident.time_to_acknowledge_s, incident.time_to_resolve_s) == (120, 540)
    assert any("ooked at" in str(event) or "Annotate" in str(event) for event in events)


def test_some_entries_in_the_incident_and_some_apart(ledger: LedgerRecorder) -> None:
    file = [{**INCIDENT, "status": "triggered", "log_entries": ENTRIES[:2]}, *ENTRIES[2:]]
    load(ledger, pagerduty, file)
    assert load(ledger, pagerduty, file).events_written == 0
    assert only(ledger)[0].time_to_resolve_s == 540
