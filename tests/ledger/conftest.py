"""What the ledger's tests share: a ledger in a real PostgreSQL, and executors as of several processes."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from commands.event_store import LedgerDatastore, LedgerRecorder
from commands.executor import Executor

sys.path.append(str(Path(__file__).parents[1] / "domain"))  # `given`, also when only this folder is run


@pytest.fixture
def ledger(database: Any) -> Iterator[LedgerRecorder]:
    """A ledger with the program's own rights; the module's tests share it, each in organisations of its own."""
    recorder = LedgerRecorder(LedgerDatastore(database.dsn))
    yield recorder
    recorder.close()


@pytest.fixture
def processes(database: Any) -> Iterator[Callable[[], tuple[LedgerRecorder, Executor]]]:
    """Each call gives the store and the executor of one more process, so to speak."""
    made: list[tuple[LedgerRecorder, Executor]] = []

    def make() -> tuple[LedgerRecorder, Executor]:
        recorder = LedgerRecorder(LedgerDatastore(database.dsn))
        made.append((recorder, Executor(recorder)))
        return made[-1]

    yield make
    for recorder, executor in made:
        executor.close()
        recorder.close()


@pytest.fixture
def executor(processes: Callable[[], tuple[LedgerRecorder, Executor]]) -> Executor:
    return processes()[1]
