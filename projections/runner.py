"""Keeps read models up to date: reads the ledger in batches, writes rows and checkpoint in one transaction."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import psycopg
from psycopg import Connection
from psycopg.rows import tuple_row

from domain.recorded import Page
from projections.model import ReadModel, definition
from projections.wall import build_wall

log = logging.getLogger(__name__)

Read = Callable[[int, int], Page]
"""The next entries after a position, at most so many."""

PROJECTED = "projected"
"""The notification channel on which each batch tells the position that all models have reached."""

BATCH = 5000
POLL_S = 1.0
_SETUP_LOCK = 7308604897


class NeedsRebuild(Exception):
    """A read model's tables were made by another version of its definition."""

    def __init__(self, models: Sequence[ReadModel]) -> None:
        super().__init__(", ".join(model.name for model in models))
        self.models = models


def ensure_tables(connection: Connection[Any], models: Sequence[ReadModel]) -> None:
    """Make the tables of models that have none yet. Raises NeedsRebuild for those defined otherwise by now."""
    with connection.transaction():
        connection.execute("select pg_advisory_xact_lock(%s)", (_SETUP_LOCK,))
        connection.execute("set local search_path = read")
        known = dict(connection.execute("select model, definition from read.checkpoints").fetchall())
        for model in models:
            if model.name not in known:
                connection.execute(f"{model.tables}; {model.indexes}".encode())
                connection.execute(
                    "insert into read.checkpoints (model, position, definition) values (%s, 0, %s)",
                    (model.name, definition(model)),
                )
            build_wall(connection, "read", model)
    outdated = [model for model in models if known.get(model.name, definition(model)) != definition(model)]
    if outdated:
        raise NeedsRebuild(outdated)


class Runner:
    """Keeps several models in one pass over the ledger, each with its own checkpoint."""

    def __init__(self, dsn: str, read: Read, models: Sequence[ReadModel]) -> None:
        self._dsn = dsn
        self._read = read
        self._models = {model.name: model for model in models}

    def step(self, connection: Connection[Any]) -> int:
        """Take one batch; how many entries it had, 0 when all models are up to date.

        Locking the checkpoints keeps a second runner, and the switch of a rebuild, out until the commit.
        """
        with connection.transaction(), connection.cursor(row_factory=tuple_row) as cursor:
            cursor.execute(
                "select model, position from read.checkpoints where model = any (%s) order by model for update",
                (list(self._models),),
                prepare=True,
            )
            checkpoints: dict[str, int] = dict(cursor.fetchall())
            page = self._read(min(checkpoints.values()), BATCH)
            if page.upto <= min(checkpoints.values()):
                return 0
            cursor.execute("set local search_path = read")
            for name, checkpoint in checkpoints.items():
                entries = [entry for entry in page.entries if entry.position > checkpoint]
                if entries:
                    self._models[name].write(cursor, entries)
            cursor.execute(
                "update read.checkpoints set position = greatest(position, %s), updated_at = clock_timestamp()"
                " where model = any (%s)",
                (page.upto, list(self._models)),
                prepare=True,
            )
            cursor.execute("select pg_notify(%s, %s)", (PROJECTED, str(page.upto)), prepare=True)
        return len(page.entries) or 1

    def run(self, stop: threading.Event, wake: str) -> None:
        """Until `stop` is set: take batches, wait for the channel `wake`, and look every second as well, since a
        notification can be lost. A lost connection is made again."""
        while not stop.is_set():
            try:
                with psycopg.connect(self._dsn, autocommit=True) as connection:
                    ensure_tables(connection, list(self._models.values()))
                    connection.execute(f"listen {wake}".encode())
                    while not stop.is_set():
                        while self.step(connection) and not stop.is_set():
                            pass
                        for _ in connection.notifies(timeout=POLL_S, stop_after=1):
                            pass
            except (psycopg.OperationalError, psycopg.InterfaceError) as problem:
                if (problem.sqlstate or "").startswith("54"):
                    raise  # a limit of PostgreSQL: trying again would hide it
                log.warning("the database is away, trying again: %s", problem)
                time.sleep(0.2)
