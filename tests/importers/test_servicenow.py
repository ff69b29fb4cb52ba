"""Given rows of a ServiceNow log, then these events: every rule of the mapping."""

import csv
import io
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid5

import pytest

from commands.importers import Imported, Unreadable
from commands.importers.servicenow import person_id, read_incidents
from domain.incident import Incident, fold

ORG = UUID(int=1)
START = datetime(2016, 2, 29, 1, 0, tzinfo=UTC)
FIRST = {
    "number": "INC1",
    "incident_state": "New",
    "reopen_count": "0",
    "made_sla": "true",
    "caller_id": "Caller 9",
    "opened_at": "29/2/2016 01:00",
    "sys_updated_by": "Updated by 8",
    "sys_updated_at": "?",
    "category": "Category 55",
    "subcategory": "Subcategory 170",
    "u_symptom": "?",
    "impact": "?",
    "priority": "3 - Moderate",
    "assignment_group": "?",
    "assigned_to": "?",
    "closed_code": "code 5",
    "resolved_by": "Resolved by 1",
    "resolved_at": "5/3/2016 11:00",
    "closed_at": "6/3/2016 12:00",
}
Change = dict[str, str]


def rows(*changes: Change | str) -> list[Change]:
    """Rows ten minutes apart, each like the one before but for what is given (a mere text: its state)."""
    row, made = FIRST, []
    for n, change in enumerate(changes, start=1):
        at = f"29/2/2016 {1 + n // 6:02}:{n % 6}0"
        row = row | {"sys_updated_at": at} | ({"incident_state": change} if isinstance(change, str) else change)
        made.append(row)
    return made


def text(given: Sequence[Change]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(FIRST), lineterminator="\n")
    writer.writeheader()
    writer.writerows(given)
    return out.getvalue()


def read(content: str | bytes, organization_id: UUID = ORG) -> list[Imported | Unreadable]:
    raw = content.encode() if isinstance(content, str) else content
    return list(read_incidents(io.BufferedReader(io.BytesIO(raw)), organization_id))


def one(*changes: Change | str) -> Imported:
    (item,) = read(text(rows(*changes)))
    assert isinstance(item, Imported)
    return item


def folded(item: Imported) -> Incident:
    incident = fold(item.stream_id, item.events)
    assert incident is not None
    return incident


def types(item: Imported) -> str:
    return " ".join(type(event).__name__ for event in item.events)


def values(item: Imported, kind: str) -> list[dict[str, object]]:
    return [event.model_dump() for event in item.events if type(event).__name__ == kind]


ACK = "IncidentAcknowledged InvestigationStarted"


@pytest.mark.parametrize(
    ("states", "then", "status", "reopenings"),
    [
        ("New", "", "triggered", 0),
        ("New|New", "UpdatePosted", "triggered", 0),
        ("New|Active", ACK, "investigating", 0),
        ("Active", ACK, "investigating", 0),
        ("New|Awaiting Vendor|Active", f"{ACK} UpdatePosted", "investigating", 0),
        ("New|Active|New|Active", f"{ACK} UpdatePosted UpdatePosted", "investigating", 0),
        ("Resolved", "IncidentResolved", "resolved", 0),
        ("New|Resolved|Resolved|Closed|Closed", "IncidentResolved" + " UpdatePosted" * 3, "resolved", 0),
        ("Resolved|Active|Resolved", "IncidentResolved IncidentReopened IncidentResolved", "resolved", 1),
        ("Active|Resolved|Active", f"{ACK} IncidentResolved IncidentReopened", "investigating", 1),
        ("Resolved|Closed|Awaiting User", "IncidentResolved UpdatePosted IncidentReopened", "investigating", 1),
        ("New|Resolved|New|Active", "IncidentResolved IncidentReopened UpdatePosted", "investigating", 1),
        ("New|Resolved|Closed|Resolved", "IncidentResolved UpdatePosted IncidentResolved", "resolved", 0),
        ("New|-100|-100|Resolved", "UpdatePosted UpdatePosted IncidentResolved", "resolved", 0),
        ("New|Resolved|-100|Resolved", "IncidentResolved UpdatePosted UpdatePosted", "resolved", 0),
        ("-100|Active|Mystery", f"UpdatePosted {ACK} UpdatePosted", "investigating", 0),
        ("New|Closed", "IncidentResolved", "resolved", 0),
        ("Closed|Active|Closed", "IncidentResolved IncidentReopened IncidentResolved", "resolved", 1),
    ],
)
def test_states_then_events(states: str, then: str, status: str, reopenings: int) -> None:
    item = one(*states.split("|"))
    assert types(item) == f"IncidentTriggered {then}".strip()
    incident = folded(item)
    assert (incident.status, incident.reopen_count, item.reopenings) == (status, reopenings, reopenings)
    assert item.rows == len(states.split("|"))
    assert item.updates == then.count("UpdatePosted")
    assert item.closed_unresolved == (states in ("New|Closed", "Closed|Active|Closed"))


def test_the_trigger_has_the_first_rows_words_and_nothing_of_the_future() -> None:
    first = {"u_symptom": "Symptom 72", "assignment_group": "Group 56", "impact": "1 - High"}
    item = one(first | {"priority": "2 - High"}, {"priority": "1 - Critical", "category": "Category 1"})
    (trigger,) = values(item, "IncidentTriggered")
    assert trigger["title"] == "Category 55 / Subcategory 170 / Symptom 72"
    assert (trigger["severity"], trigger["response_target_s"], trigger["category"]) == ("high", 3600, None)
    assert (trigger["source"], trigger["team"], trigger["number"]) == ("servicenow", "Group 56", 0)
    assert trigger["occurred_at"] == START
    assert trigger["labels"] == {
        "source_number": "INC1",
        "source_category": "Category 55",
        "source_subcategory": "Subcategory 170",
        "source_symptom": "Symptom 72",
        "source_group": "Group 56",
        "source_impact": "1 - High",
        "source_priority": "2 - High",
    }
    for leak in ("code 5", "Resolved by 1", "2016, 3, 5", "2016, 3, 6", "Caller"):
        assert leak not in str(item.events)


def test_changed_words_are_corrections_with_all_labels() -> None:
    changed = {"category": "Category 2", "subcategory": "?", "priority": "1 - Critical"}
    item = one("New", changed, {"priority": "odd"})
    assert types(item) == "IncidentTriggered DetailsCorrected SeverityChanged DetailsCorrected"
    (severity,) = values(item, "SeverityChanged")
    assert (severity["previous"], severity["severity"]) == ("medium", "critical")
    incident = folded(item)
    assert (incident.severity, incident.response_target_s) == ("critical", 300)
    assert incident.labels == {"source_number": "INC1", "source_category": "Category 2", "source_priority": "odd"}


def test_assignments_name_people_by_id_only() -> None:
    item = one(
        {"assigned_to": "Resolver 3", "assignment_group": "Group 1"},
        {"assigned_to": "Resolver 4", "assignment_group": "?"},
        {"assigned_to": "?"},
    )
    assert types(item) == (
        "IncidentTriggered ResponderAssigned DetailsCorrected TeamAssigned ResponderAssigned ResponderAssigned"
    )
    three, four = person_id(ORG, "Resolver 3"), person_id(ORG, "Resolver 4")
    assert [event["person_id"] for event in values(item, "ResponderAssigned")] == [three, four, None]
    assert item.people == {three: "Resolver 3", four: "Resolver 4"}
    assert "Resolver" not in str(item.events)
    assert (folded(item).team, folded(item).assignee) == (None, None)


def test_what_no_event_says_is_told_by_an_update() -> None:
    item = one("Active", "Active", {"incident_state": "Awaiting Vendor", "assigned_to": "Resolver 1"})
    assert [update["body"] for update in values(item, "UpdatePosted")] == [
        "Updated by 8: Active",
        "Updated by 8: Active -> Awaiting Vendor",
    ]
    item = one("New", {"made_sla": "false", "caller_id": "Caller 4"}, "Resolved", "Closed", "Active")
    assert [update["body"] for update in values(item, "UpdatePosted")] == [
        "Updated by 8: New; made_sla true -> false; caller_id changed",
        "Updated by 8: Resolved -> Closed",
    ]
    assert values(item, "IncidentReopened")[0]["reason"] == "Updated by 8: Closed -> Active"


def test_times_are_kept_as_they_are_also_backwards() -> None:
    early = {"incident_state": "Active", "sys_updated_at": "28/2/2016 23:00"}
    item = one("New", early, {"incident_state": "Resolved", "sys_updated_at": "1/3/2016 9:05"})
    incident = folded(item)
    assert incident.time_to_acknowledge_s == -7200
    assert incident.resolved_at == datetime(2016, 3, 1, 9, 5, tzinfo=UTC)
    assert item.events[1].occurred_at == START - timedelta(hours=2)


def test_the_same_file_gives_the_same_events_and_another_organisation_others() -> None:
    assert one("New", "Active") == one("New", "Active")
    item = one("New", "Active")
    assert item.stream_id == uuid5(ORG, "servicenow:INC1")
    assert len({event.correlation_id for event in item.events}) == 1
    assert len({event.causation_id for event in item.events}) == item.rows
    (other,) = read(text(rows("New", "Active")), UUID(int=2))
    assert isinstance(other, Imported)
    assert other.stream_id != item.stream_id


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda line: line.rpartition(",")[0], "18 columns instead of 19"),
        (lambda line: line.replace("29/2/2016 01:00", "2016-02-29"), "opened_at"),
        (lambda line: line.replace("29/2/2016 01:00", "29/2/1916 01:00"), "opened_at"),
        (lambda line: line.replace("29/2/2016 01:30", "31/2/2016 01:30"), "sys_updated_at"),
        (lambda line: line.replace("29/2/2016 01:30", "?"), "sys_updated_at"),
        (lambda line: line.replace("INC1", "?"), "no incident number"),
    ],
)
@pytest.mark.parametrize("place", [1, 3, 4])
def test_a_broken_row_is_told_and_the_others_go_on(damage: Callable[[str], str], reason: str, place: int) -> None:
    lines = text(rows("New", "New", "Active", "Active")).rstrip("\n").split("\n")
    lines[place] = damage(lines[place].replace(f"01:{place}0", "01:30"))
    result = read("\n".join(lines))
    problems = [item for item in result if isinstance(item, Unreadable)]
    (item,) = [item for item in result if isinstance(item, Imported)]
    assert item.rows == 3
    assert [(problem.line, problem.rows) for problem in problems] == [(place + 1, 1)]
    assert all(reason in problem.reason for problem in problems)
    assert folded(item).status == "investigating"


def test_an_incident_that_comes_back_later_is_told_row_by_row() -> None:
    other = [row | {"number": "INC2"} for row in rows("New", "Active")]
    items = read(text([*rows("New"), other[0], *rows("Active", "Resolved"), other[1], other[1]]))
    problems = [item for item in items if isinstance(item, Unreadable)]
    taken = [item for item in items if isinstance(item, Imported)]
    assert [problem.line for problem in problems] == [4, 5]
    assert all("INC1 appears again" in problem.reason for problem in problems)
    assert [(item.reference, item.rows) for item in taken] == [("INC1", 1), ("INC2", 3)]
