"""Writes imported incidents to the ledger in batches: each whole or not at all, and never twice."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

from commands.append import Append, Appended, Loaded, NewEvent
from commands.importers import Imported, Unreadable

BATCH_EVENTS = 2000
"""After how many events a batch is written: large enough that round trips do not count, and committed often."""


class Ledger(Protocol):
    """What an import needs of the LedgerRecorder."""

    def load(self, stream_ids: Sequence[UUID]) -> Loaded: ...

    def append(self, appends: Sequence[Append]) -> list[Appended]: ...


@dataclass(slots=True)
class Report:
    """What an import did, or with `dry_run` would do.

    Every row is in one of three: `rows_read == rows_taken + rows_already_there + rows_unreadable`.
    What is said of the file (`incidents`, `updates_kept`, `reopenings`, `resolved_by_closing`, `people`)
    includes the incidents that were in the ledger already.
    """

    dry_run: bool = False
    rows_read: int = 0
    rows_taken: int = 0
    rows_already_there: int = 0
    rows_unreadable: int = 0
    incidents: int = 0
    incidents_taken: int = 0
    already_there: int = 0
    """Incidents that were in the ledger before, whoever wrote them."""
    events_written: int = 0
    updates_kept: int = 0
    """Rows that are told by a timeline update, because no other event says what they say."""
    reopenings: int = 0
    resolved_by_closing: list[str] = field(default_factory=list)
    """References of the incidents that the file closed without having resolved them."""
    unreadable: list[tuple[int, str]] = field(default_factory=list)
    """Line of the file and reason."""
    people: dict[UUID, str] = field(default_factory=dict)
    """The names behind the person ids in the events, for the caller to make people of."""


def run(
    items: Iterable[Imported | Unreadable],
    ledger: Ledger,
    *,
    dry_run: bool = False,
    progress: Callable[[Report], None] | None = None,
    batch_events: int = BATCH_EVENTS,
) -> Report:
    """Write what is not in the ledger yet, and tell about all of it. `progress` is called after each batch.

    Safe to interrupt at any moment and to run again, also at the same time as another run of the same file (of
    which each may count as written what the other wrote in that instant: the ledger holds it once).
    Raises what `items` and `ledger` raise; the batches before that are written.
    """
    report = Report(dry_run=dry_run)
    batch: list[Imported] = []
    events = 0
    for item in items:
        if isinstance(item, Unreadable):
            report.rows_read += item.rows
            report.rows_unreadable += item.rows
            report.unreadable.append((item.line, item.reason))
            continue
        batch.append(item)
        events += len(item.events)
        if events >= batch_events:
            _write(batch, ledger, report)
            batch, events = [], 0
            if progress is not None:
                progress(report)
    _write(batch, ledger, report)
    if progress is not None:
        progress(report)
    return report


def _write(batch: list[Imported], ledger: Ledger, report: Report) -> None:
    """One batch, and what became of it. A version refused means: another run was faster, so it is there."""
    known = ledger.load([item.stream_id for item in batch]).streams
    new = [item for item in batch if item.stream_id not in known]
    there = {item.stream_id for item in batch if item.stream_id in known}
    if new and not report.dry_run:
        answers = ledger.append([_append(item) for item in new])
        for item, answer in zip(new, answers, strict=True):
            if answer.outcome == "appended":
                report.events_written += len(item.events)
            else:
                there.add(item.stream_id)
    for item in batch:
        _count(item, report, already_there=item.stream_id in there)


def _append(item: Imported) -> Append:
    places = enumerate(item.events, start=1)
    return Append(events=[NewEvent(item.stream_id, version, event) for version, event in places], opens=True)


def _count(item: Imported, report: Report, *, already_there: bool) -> None:
    report.incidents += 1
    report.rows_read += item.rows
    if already_there:
        report.already_there += 1
        report.rows_already_there += item.rows
    else:
        report.incidents_taken += 1
        report.rows_taken += item.rows
    report.updates_kept += item.updates
    report.reopenings += item.reopenings
    if item.closed_unresolved:
        report.resolved_by_closing.append(item.reference)
    report.people.update(item.people)
