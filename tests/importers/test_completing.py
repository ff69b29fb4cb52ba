"""What was imported in part is completed, whichever way the file is repaired; nothing is written twice."""

import io
from collections.abc import Callable

import pytest
from filetools import ORG, folded, given, imported
from hypothesis import HealthCheck, settings
from hypothesis import given as whatever
from hypothesis import strategies as st
from test_servicenow_ledger import LOG, assert_accounted, contents, without_numbers

from commands.event_store import LedgerRecorder
from commands.importers import pagerduty
from commands.importers.run import run
from commands.importers.servicenow import read_incidents
from domain.events import UpdatePosted
from domain.incident import fold

MakeLedger = Callable[[], LedgerRecorder]


def load(content: str, ledger: LedgerRecorder) -> object:
    return run(read_incidents(io.BufferedReader(io.BytesIO(content.encode())), ORG), ledger)


def test_a_truncated_file_and_then_the_whole_one(make_ledger: MakeLedger) -> None:
    whole, ledger = make_ledger(), make_ledger()
    load(LOG, whole)
    size = len(LOG)
    for cut in (size // 7, size // 2, size - 40, size):
        report = run(read_incidents(io.BufferedReader(io.BytesIO(LOG[:cut].encode())), ORG), ledger)
        assert_accounted(report)
        assert report.out_of_place == 0
        if cut > size // 7:
            assert report.incidents_completed <= 1
    assert without_numbers(contents(ledger)) == without_numbers(contents(whole))


def test_a_row_that_could_not_be_read_is_added_without_undoing_what_came_after(make_ledger: MakeLedger) -> None:
    ledger = make_ledger()
    lines = LOG.splitlines(keepends=True)
    n = next(n for n, line in enumerate(lines) if line.startswith("INC2,Resolved"))
    broken = "".join([*lines[:n], lines[n].replace("1/3/2016 11", "32/3/2016 11"), *lines[n + 1 :]])
    assert run(read_incidents(io.BufferedReader(io.BytesIO(broken.encode())), ORG), ledger).rows_unreadable == 1
    report = run(read_incidents(io.BufferedReader(io.BytesIO(LOG.encode())), ORG), ledger)
    assert (report.incidents_completed, report.rows_taken, report.out_of_place) == (1, 1, 1)
    found = [fold(id, events) for id, events in contents(ledger).items()]
    (incident,) = [each for each in found if each and each.labels["source_number"] == "INC2"]
    assert incident.status == "resolved"
    last = contents(ledger)[incident.id][-1]
    assert isinstance(last, UpdatePosted) and last.body.startswith("IncidentResolved: Updated: Active -> Resolved")
    again = run(read_incidents(io.BufferedReader(io.BytesIO(LOG.encode())), ORG), ledger)
    assert (again.events_written, again.already_there) == (0, 60)


@pytest.fixture(scope="module")
def shared(make_ledger: MakeLedger) -> LedgerRecorder:
    return make_ledger()


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@whatever(st.lists(st.integers(0, 12), min_size=1, max_size=4), st.integers(0, 2**40))
def test_an_incident_that_goes_on_from_export_to_export(shared: LedgerRecorder, steps: list[int], n: int) -> None:
    kinds = ("trigger", "acknowledge", "annotate", "assign", "escalate", "resolve", "reopen", "resolve")
    entries = [
        f'{{"id":"R{k}","type":"{kinds[k % len(kinds)]}_log_entry","created_at":"2024-03-01T08:{k:02}:00Z",'
        f'"assignees":[{{"id":"P{k}","summary":"X{k}"}}]}}'
        for k in range(13)
    ]
    file = '{{"incidents":[{{"id":"P{}","title":"x","created_at":"2024-03-01T08:00:00Z","log_entries":[{}]}}]}}'
    for upto in [*sorted(steps), 12, 12]:
        content = file.format(n, ",".join(reversed(entries[: upto + 1])))
        items = given(pagerduty.read_incidents, content)
        report = run(items, shared)
    assert report.events_written == 0
    (item,) = imported(items)
    stored = [entry.event for entry in shared.load([item.stream_id]).streams[item.stream_id]]
    assert [event.model_copy(update={"number": 0}) for event in stored] == list(item.events)
    assert folded(item).status == "resolved"


def test_the_same_incident_twice_in_one_file(make_ledger: MakeLedger) -> None:
    ledger = make_ledger()
    one = '{"id":"P1","title":"x","created_at":"2024-03-01T08:00:00Z","log_entries":[%s]}'
    entry = '{"id":"R%d","type":"annotate_log_entry","created_at":"2024-03-01T08:0%d:00Z"}'
    first, second = entry % (1, 1), entry % (2, 2)
    report = run(given(pagerduty.read_incidents, f"[{one % first},{one % f'{first},{second}'}]"), ledger)
    assert (report.incidents_taken, report.incidents_completed, report.events_written) == (1, 1, 3)
    assert_accounted(report)
    assert [len(events) for events in contents(ledger).values()] == [3]
