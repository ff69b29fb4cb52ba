"""Many writers in several processes: every reader sees every event, once, in the one order.

12,000 events by default; all 60,000 with `FANDESK_TEST_EVENTS=60000 pytest tests/ledger/test_many_writers.py`.
"""

import os
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg

from commands.append import Append, NewEvent
from commands.event_store import CHANNEL, LedgerDatastore, LedgerRecorder
from commands.ids import new_id
from domain import events as e
from domain.words import RESPONSE_TARGETS_S

EVENTS = int(os.environ.get("FANDESK_TEST_EVENTS", "12000"))
PROCESSES, THREADS = 4, 8
PER_INCIDENT = 25
Place = tuple[int, UUID, int]


def test_no_reader_misses_an_event_of_many_writers(empty_database: Any) -> None:
    per_thread = max(1, EVENTS // (PROCESSES * THREADS * PER_INCIDENT))
    ledger = LedgerRecorder(LedgerDatastore(empty_database.dsn))
    over = threading.Event()
    readers = [Reader(empty_database.dsn, over, listens=listens) for listens in (True, False)]
    for reader in readers:
        reader.start()
    command = [sys.executable, __file__, empty_database.dsn, str(per_thread)]
    root = str(Path(__file__).parents[2])
    writers = [subprocess.Popen(command, env={**os.environ, "PYTHONPATH": root}) for _ in range(PROCESSES)]
    assert [writer.wait(280) for writer in writers] == [0] * PROCESSES
    over.set()
    for reader in readers:
        reader.join(60)
    afterwards = read_on(ledger, [], 0)
    ledger.close()
    assert len(afterwards) == per_thread * PROCESSES * THREADS * PER_INCIDENT
    for reader in readers:
        assert reader.seen == afterwards
        assert reader.rounds > 3, "it read while they wrote"
    positions = [position for position, _, _ in afterwards]
    assert positions == sorted(set(positions))
    versions: Counter[UUID] = Counter()
    for _, stream_id, version in afterwards:
        versions[stream_id] += 1
        assert version == versions[stream_id]
    assert set(versions.values()) == {PER_INCIDENT}


def read_on(ledger: LedgerRecorder, seen: list[Place], after: int) -> list[Place]:
    """Read until nothing more is there."""
    while True:
        page = ledger.read(after, 1000)
        seen.extend((entry.position, entry.stream_id, entry.version) for entry in page.entries)
        if page.upto == after:
            return seen
        after = page.upto


class Reader(threading.Thread):
    """Follows the ledger, woken by its notifications or looking again and again; never looks back."""

    def __init__(self, dsn: str, over: threading.Event, *, listens: bool) -> None:
        super().__init__(name="reader")
        self.seen: list[Place] = []
        self.rounds = 0
        self._dsn = dsn
        self._over = over
        self._listens = listens

    def run(self) -> None:
        ledger = LedgerRecorder(LedgerDatastore(self._dsn))
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            connection.execute(f"listen {CHANNEL}")
            while True:
                last = self._over.is_set()
                before = len(self.seen)
                read_on(ledger, self.seen, self.seen[-1][0] if self.seen else 0)
                self.rounds += len(self.seen) > before
                if last:
                    break
                if self._listens:
                    for _ in connection.notifies(timeout=0.5, stop_after=1):
                        pass
                else:
                    self._over.wait(0.005)
        ledger.close()


def write(ledger: LedgerRecorder, incidents: int) -> None:
    """One thread's part: each incident in three appends."""
    organization = new_id()

    def happened(kind: Any, **facts: Any) -> Any:
        ids = {"organization_id": organization, "correlation_id": new_id(), "causation_id": new_id()}
        at = "2026-03-02T09:00:00Z"
        return kind(actor=e.Actor(kind="system"), occurred_at=at, **ids, **facts)

    for _ in range(incidents):
        id = new_id()
        known = {"number": 0, "title": "T", "severity": "low", "response_target_s": RESPONSE_TARGETS_S["low"]}
        events = [happened(e.IncidentTriggered, **known)]
        events += [happened(e.UpdatePosted, body=f"{n}") for n in range(PER_INCIDENT - 1)]
        places = [NewEvent(id, version, event) for version, event in enumerate(events, start=1)]
        for part in (places[:1], places[1:12], places[12:]):
            (result,) = ledger.append([Append(events=part, opens=part[0].version == 1)])
            assert result.outcome == "appended"


def main(dsn: str, incidents: int) -> None:
    """One writing process."""
    ledger = LedgerRecorder(LedgerDatastore(dsn, pool_size=THREADS))
    failed: list[BaseException] = []

    def run() -> None:
        try:
            write(ledger, incidents)
        except BaseException as problem:
            failed.append(problem)

    threads = [threading.Thread(target=run) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ledger.close()
    if failed:
        raise failed[0]


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
