"""What the read models' tests share: a ledger, histories in it, and the runner that keeps the models."""

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psycopg
import pytest

from commands.append import Append, NewEvent
from commands.event_store import LedgerDatastore, LedgerRecorder
from projections.facts import Facts
from projections.incidents import Incidents
from projections.runner import Runner, ensure_tables
from projections.timeline import Timeline

sys.path.append(str(Path(__file__).parents[1] / "domain"))  # `given`, also when only this folder is run
sys.path.append(str(Path(__file__).parents[1] / "api"))  # `apitools`, likewise


class World:
    """A ledger and its read models."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.models = [Incidents(), Timeline(), Facts()]
        self.ledger = LedgerRecorder(LedgerDatastore(dsn))
        self.connection = psycopg.connect(dsn, autocommit=True)
        ensure_tables(self.connection, self.models)

    def record(self, events: Sequence[tuple[Any, int, Any]]) -> None:
        """Append events, each a command of its own."""
        appends = [Append(events=[NewEvent(*event)]) for event in events]
        assert {result.outcome for result in self.ledger.append(appends)} <= {"appended"}

    def runner(self, batch: Callable[[], int] = lambda: 5000) -> Runner:
        return Runner(self.dsn, lambda after, limit: self.ledger.read(after, min(batch(), limit)), self.models)

    def catch_up(self, batch: Callable[[], int] = lambda: 5000) -> None:
        runner = self.runner(batch)
        while runner.step(self.connection):
            pass

    def rows(self, query: str, *values: Any) -> list[Any]:
        return self.connection.execute(query, values).fetchall()

    def checkpoints(self) -> dict[str, int]:
        return dict(self.rows("select model, position from read.checkpoints"))

    def close(self) -> None:
        self.connection.close()
        self.ledger.close()


@pytest.fixture(scope="module")
def shared_world(database: Any) -> Iterator[World]:
    """One for the module: tests keep apart by organisation."""
    made = World(database.dsn)
    yield made
    made.close()


@pytest.fixture
def world(empty_database: Any) -> Iterator[World]:
    """One for one test."""
    made = World(empty_database.dsn)
    yield made
    made.close()
