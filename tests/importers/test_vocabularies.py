"""ServiceNow's states and priorities in other words and numbers; unknown ones counted. And one organisation."""

import json
from collections.abc import Callable
from uuid import UUID

import psycopg
import pytest
import typer
from filetools import folded, given, imported, types
from psycopg.rows import tuple_row
from test_known_again import INCIDENT
from test_storable import ROW
from typer.testing import CliRunner

from commands.event_store import LedgerRecorder
from commands.importers import pagerduty, servicenow
from commands.importers.report import Done, Report
from fandesk import import_cli
from fandesk.importing import NothingToImportInto, organization_named, words


@pytest.mark.parametrize(
    "states",
    [
        *("New|Active|Resolved", "NEW|in progress|RESOLVED", "1|2|6", "new|Work In Progress|Resolved"),
        *("New|On Hold|6", "New|Work in Progress|resolved", "1|3|Resolved"),
    ],
)
def test_states(states: str) -> None:
    rows = [{**ROW, "incident_state": state} for state in states.split("|")]
    (item,) = imported(given(servicenow.read_incidents, json.dumps(rows)))
    assert types(item) == "IncidentTriggered IncidentAcknowledged InvestigationStarted IncidentResolved"
    assert item.unknown == {}


@pytest.mark.parametrize(
    ("priority", "severity"),
    [
        *(("1", "critical"), ("1-Critical", "critical"), ("CRITICAL", "critical"), ("2 - high", "high")),
        *(("P1", "critical"), ("p4", "low"), ("3 - Moderate", "medium"), ("5 - Planning", "low")),
    ],
)
def test_priorities(priority: str, severity: str) -> None:
    (item,) = imported(given(servicenow.read_incidents, json.dumps([{**ROW, "priority": priority}])))
    assert (folded(item).severity, item.unknown) == (severity, {})


def test_unknown_words_are_counted() -> None:
    rows = [{**ROW, "number": f"I{n}", "incident_state": "Mystery", "priority": "odd"} for n in range(3)]
    report = Report()
    for item in imported(given(servicenow.read_incidents, json.dumps(rows))):
        report.count(item, Done(1, 1))
    assert report.unknown == {"state Mystery": 3, "priority odd": 3}
    assert "state Mystery: 3 times" in words(report)


def test_an_incident_without_entries_twice_is_given_twice() -> None:
    again = {**INCIDENT, "status": "triggered"}
    first, second = imported(given(pagerduty.read_incidents, json.dumps([again, INCIDENT])))
    assert first.stream_id == second.stream_id
    assert "IncidentResolved" in types(second) and "IncidentResolved" not in types(first)


def test_of_several_organisations_one_has_to_be_named(make_ledger: Callable[[], LedgerRecorder]) -> None:
    recorder = make_ledger()
    with psycopg.connect(**{**recorder.datastore.pool.kwargs, "row_factory": tuple_row}) as connection:  # type: ignore[arg-type]
        for n, name in ((1, "Alpha"), (2, "Beta")):
            connection.cursor().execute(
                "insert into access.organizations (id, name) values (%s, %s)", (UUID(int=n), name)
            )
        with pytest.raises(NothingToImportInto, match=r"Alpha .*Beta"):
            organization_named(connection, None, one=True)
        assert organization_named(connection, "Beta", one=True) == UUID(int=2)


def test_standard_input_is_taken_for_a_file_and_an_absent_file_is_not() -> None:
    app = typer.Typer()
    app.command()(import_cli.import_command)
    assert "must be one of" in CliRunner().invoke(app, ["nothing", "-"]).output  # the file was fine
    assert "there is no file" in CliRunner().invoke(app, ["servicenow", "absent"]).output
