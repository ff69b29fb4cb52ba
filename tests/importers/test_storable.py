"""Whatever texts and times a file has: what is written can be kept, read and calculated with."""

import json
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from filetools import folded, given, imported
from test_servicenow_ledger import contents

from commands.event_store import LedgerRecorder
from commands.importers import Imported, Unreadable, opsgenie, servicenow
from commands.importers.run import run
from commands.importers.storable import storable
from domain import events as e

ROW = {
    **{"number": "INCN", "incident_state": "New", "opened_at": "1/3/2016 08:00", "priority": "3 - Moderate"},
    **{"sys_updated_at": "1/3/2016 09:00", "category": "a"},
}


def test_a_nul_in_servicenows_json(make_ledger: Callable[[], LedgerRecorder]) -> None:
    ledger = make_ledger()
    rows = [{**ROW, "category": "a\0b", "assigned_to": "Jo\0e"}]
    report = run(given(servicenow.read_incidents, json.dumps(rows)), ledger)
    (events,) = contents(ledger).values()
    assert events[0].labels["source_category"] == "a\ufffdb"  # type: ignore[union-attr]
    assert list(report.people.values()) == ["Jo\ufffde"]


@pytest.mark.parametrize("bad", ["\0", "\ud800"])
def test_no_importer_can_write_what_postgresql_cannot_keep(
    bad: str, make_ledger: Callable[[], LedgerRecorder]
) -> None:
    (item,) = imported(given(servicenow.read_incidents, json.dumps([ROW])))
    spoilt = item.events[0].model_copy(update={"title": bad, "labels": {f"x{bad}": f"y{bad}"}})
    assert b"\\u0000" not in storable(spoilt)[1]
    ledger = make_ledger()
    whole = Imported(item.reference, item.stream_id, (spoilt,), rows=1)
    assert run([whole], ledger).events_written == 1
    ((event,),) = contents(ledger).values()
    assert isinstance(event, e.IncidentTriggered)
    assert (event.title, event.labels) == ("\ufffd", {"x\ufffd": "y\ufffd"})
    assert (run([whole], ledger).already_there, event.organization_id) == (1, UUID(int=1))


@pytest.mark.parametrize("column", ["opened_at", "sys_updated_at"])
@pytest.mark.parametrize("date", ["31/12/9999 23:59", "9999-01-01 00:00"])
def test_the_last_year_of_all_is_no_date(column: str, date: str) -> None:
    (item,) = given(servicenow.read_incidents, json.dumps([{**ROW, column: date}]))
    assert isinstance(item, Unreadable) and column in item.reason


@pytest.mark.parametrize(("said", "read"), [(999999999999, False), ("soon", False), (60_000, True), (None, True)])
@pytest.mark.parametrize("name", ["ackTime", "closeTime"])
def test_a_duration_that_ends_nowhere_is_told(name: str, said: Any, read: bool) -> None:
    alert = {"id": "a", "message": "x", "createdAt": "9998-12-01T00:00:00Z", "report": {name: said}}
    items = given(opsgenie.read_incidents, json.dumps([alert]))
    assert [item.reason for item in items if isinstance(item, Unreadable)] == (
        [] if read else [f"report.{name} of a is no duration: {said}"]
    )
    assert folded(imported(items)[0]).response_due_at
