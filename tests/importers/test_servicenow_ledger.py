"""ServiceNow logs into a real ledger: reported, repeated, interrupted, at the same time, and only tried."""

import io
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from uuid import UUID

import pytest

from commands.event_store import LedgerRecorder
from commands.importers import Imported, Unreadable
from commands.importers.run import Report, run
from commands.importers.servicenow import read_incidents
from domain.events import IncidentEvent
from domain.incident import fold

ORG = UUID(int=1)
LOG = "number,incident_state,opened_at,sys_updated_at,priority,assigned_to\n" + "".join(
    f"INC{n},{state},1/3/2016 08:00,1/3/2016 {9 + hour:02}:00,3 - Moderate,Resolver {n % 3}\n"
    for n in range(60)
    for hour, state in enumerate(("New", "Active", "Resolved", "Closed")[: 2 + n % 3])
)
MakeLedger = Callable[[], LedgerRecorder]


def items(content: str = LOG) -> Iterator[Imported | Unreadable]:
    return read_incidents(io.BufferedReader(io.BytesIO(content.encode())), ORG)


def contents(recorder: LedgerRecorder) -> dict[UUID, list[IncidentEvent]]:
    """All events by incident, in the ledger's order."""
    streams: dict[UUID, list[IncidentEvent]] = defaultdict(list)
    page = recorder.read(0, 10_000, organization_id=ORG)
    while page.entries:
        for entry in page.entries:
            streams[entry.stream_id].append(entry.event)
            assert entry.version == len(streams[entry.stream_id])
        page = recorder.read(page.upto, 10_000, organization_id=ORG)
    return dict(streams)


def without_numbers(streams: dict[UUID, list[IncidentEvent]]) -> dict[UUID, list[IncidentEvent]]:
    return {id: [each.model_copy(update={"number": 0}) for each in events] for id, events in streams.items()}


def assert_accounted(report: Report) -> None:
    passed_over = report.rows_left_out + report.rows_unreadable
    assert report.rows_read == report.rows_taken + report.rows_already_there + passed_over
    assert report.incidents == report.incidents_taken + report.incidents_completed + report.already_there


def test_an_import_writes_once_and_tells_what_it_did(make_ledger: MakeLedger) -> None:
    ledger = make_ledger()
    told: list[int] = []
    broken = LOG + "INC9000,New\nINC3,Active,1/3/2016 08:00,1/3/2016 19:00,3 - Moderate,?\n"
    report = run(items(broken), ledger, progress=lambda so_far: told.append(so_far.rows_read), batch_events=100)
    streams = contents(ledger)
    assert_accounted(report)
    assert (report.incidents_taken, report.already_there, len(streams)) == (60, 0, 60)
    assert report.events_written == sum(map(len, streams.values()))
    assert [line for line, _ in report.unreadable] == [182, 183]
    assert sorted(report.people.values()) == ["Resolver 0", "Resolver 1", "Resolver 2"]
    assert (report.updates_kept, report.reopenings, report.resolved_by_closing) == (20, 0, [])
    assert len(told) == 3
    assert told[-1] == report.rows_read == 182
    folded = [fold(id, events) for id, events in streams.items()]
    assert sorted(incident.number for incident in folded if incident) == list(range(1, 61))

    again = run(items(broken), ledger)
    assert_accounted(again)
    assert (again.events_written, again.already_there, again.rows_already_there) == (0, 60, 180)
    assert again.people == report.people
    assert contents(ledger) == streams


def test_a_dry_run_writes_nothing_and_tells_the_same(make_ledger: MakeLedger) -> None:
    ledger = make_ledger()
    dry = run(items(), ledger, dry_run=True)
    assert_accounted(dry)
    assert (dry.events_written, contents(ledger)) == (0, {})
    real = run(items(), ledger)
    assert (dry.rows_taken, dry.incidents_taken, dry.updates_kept) == (
        real.rows_taken,
        real.incidents_taken,
        real.updates_kept,
    )


def test_an_interrupted_import_is_completed_by_the_next(make_ledger: MakeLedger) -> None:
    undisturbed, disturbed = make_ledger(), make_ledger()
    run(items(), undisturbed)

    def cut() -> Iterator[Imported | Unreadable]:
        for n, item in enumerate(items()):
            if n == 31:
                raise ConnectionResetError
            yield item

    with pytest.raises(ConnectionResetError):
        run(cut(), disturbed, batch_events=50)
    whole = without_numbers(contents(undisturbed))
    half = without_numbers(contents(disturbed))
    assert 0 < len(half) < 31
    assert half.items() <= whole.items()
    report = run(items(), disturbed)
    assert_accounted(report)
    assert report.already_there == len(half)
    assert without_numbers(contents(disturbed)) == whole


def test_two_imports_at_once_write_each_incident_once(make_ledger: MakeLedger) -> None:
    ledger = make_ledger()
    reports: list[Report] = []
    threads = [
        threading.Thread(target=lambda: reports.append(run(items(), ledger, batch_events=20))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(reports) == 3
    for report in reports:
        assert_accounted(report)
    assert without_numbers(contents(ledger)) == {
        item.stream_id: list(item.events) for item in items() if isinstance(item, Imported)
    }
