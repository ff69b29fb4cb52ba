"""Writes imported incidents to the ledger in batches, never twice; a process of its own reads the next ones
meanwhile."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol
from uuid import UUID

from commands import codec
from commands.append import Loaded
from commands.histories import History, Written
from commands.importers import Imported, Item, LeftOut, Unreadable
from commands.importers.apart import apart
from commands.importers.missing import missing
from commands.importers.report import Done, Report
from commands.importers.storable import storable

BATCH_EVENTS = 1000
"""After how many events a batch is written: round trips hardly count any more, and live commands, which wait for
the same lock, wait for some tens of milliseconds."""

BATCH_BYTES = 4 * 1024 * 1024
"""Of events; a batch with longer texts is written sooner, so that memory stays bounded."""


class Ledger(Protocol):
    """What an import needs of the LedgerRecorder."""

    def load(self, stream_ids: Sequence[UUID]) -> Loaded: ...

    def append_histories(self, organization_id: UUID, new: Sequence[History]) -> list[Written]: ...


@dataclass(frozen=True, slots=True)
class _Ready:
    """An incident, its events only as they are written."""

    item: Imported
    organization_id: UUID
    events: list[tuple[str, bytes]]

    def whole(self) -> Imported:
        """The incident with its events."""
        return replace(self.item, events=tuple(codec.decode(*event) for event in self.events))


class _Batch(NamedTuple):
    """A part of the file: what there is to write, and what cannot be taken."""

    ready: list[_Ready]
    passed_over: list[Unreadable | LeftOut]


def run(
    items: Iterable[Item],
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

    def settle(batch: Sequence[_Ready], written: Future[list[Done]]) -> None:
        for ready, done in zip(batch, written.result(), strict=True):
            report.count(ready.item, done)
        if progress is not None:
            progress(report)

    with closing(apart(_batches(items, batch_events))) as batches, ThreadPoolExecutor(1, "import") as writer:
        pending: tuple[list[_Ready], Future[list[Done]]] | None = None
        for batch in batches:
            for place in batch.passed_over:
                report.pass_over(place)
            if pending is not None:
                settle(*pending)
            pending = batch.ready, writer.submit(_write, batch.ready, ledger, dry_run=dry_run)
        if pending is not None:
            settle(*pending)
    return report


def _batches(items: Iterable[Item], batch_events: int) -> Iterator[_Batch]:
    """The file's incidents, encoded, and its other places."""
    batch = _Batch([], [])
    events = size = 0
    for item in items:
        if isinstance(item, Imported):
            encoded = [storable(event) for event in item.events]
            batch.ready.append(_Ready(replace(item, events=()), item.events[0].organization_id, encoded))
            events += len(encoded)
            size += sum(len(state) for _, state in encoded)
        else:
            batch.passed_over.append(item)
        if events >= batch_events or size >= BATCH_BYTES or len(batch.passed_over) >= batch_events:
            yield batch
            batch, events, size = _Batch([], []), 0, 0
    if batch.ready or batch.passed_over:
        yield batch


def _write(batch: Sequence[_Ready], ledger: Ledger, *, dry_run: bool) -> list[Done]:
    """Write what is missing of a batch, and what became of each. In several turns where the batch has an incident
    twice, or somebody else writes to one of them meanwhile."""
    done: dict[int, Done] = {}
    left = dict(enumerate(batch))
    while left:
        known = ledger.load([ready.item.stream_id for ready in left.values()]).streams
        new: dict[UUID, tuple[int, History, Done]] = {}
        for n, ready in left.items():
            item, stored = ready.item, known.get(ready.item.stream_id)
            if item.stream_id in new:
                continue
            if stored is None:
                outcome, after, events = Done(item.rows, len(ready.events)), 0, ready.events
            else:
                absent = missing(ready.whole(), stored)
                outcome = Done(absent.rows, len(absent.events), absent.out_of_place, there=True)
                after, events = stored[-1].version, [storable(event) for event in absent.events]
            if events and not dry_run:
                new[item.stream_id] = n, History(item.stream_id, after, events), outcome
            else:
                done[n] = outcome
        answers = ledger.append_histories(batch[0].organization_id, [history for _, history, _ in new.values()])
        for (n, _, outcome), answer in zip(new.values(), answers, strict=True):
            if answer.outcome == "appended":
                done[n] = outcome
        left = {n: ready for n, ready in left.items() if n not in done}
    return [done[n] for n in range(len(batch))]
