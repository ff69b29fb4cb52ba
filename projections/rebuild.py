"""Rebuilds read models from the whole ledger beside the live tables, then puts them in their place at once."""

import gc
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from multiprocessing import get_context
from typing import Any, Literal, LiteralString, NamedTuple

import psycopg
from psycopg import Connection, sql
from psycopg.errors import LockNotAvailable
from psycopg.rows import tuple_row

from domain.recorded import Recorded
from projections.model import ReadModel, definition
from projections.runner import Read
from projections.wall import build_wall

BATCH = 10_000
APART_FROM = 100_000
"""Entries from which a second process, which takes a second to start, is worth it."""

PATIENCE_S = 1.0
"""Until the switch is tried again, where somebody's long read was in its way."""

_REBUILD_LOCK = 7308604898

Progress = Callable[[int, int], None]
"""Told the position reached and the position to reach."""


class Difference(NamedTuple):
    """Rows of a table that only the live one or only the rebuilt one has."""

    table: str
    only_live: int
    only_rebuilt: int


class RebuildRefused(Exception):
    """Another rebuild is at work."""


class HalfFailed(Exception):
    """The process that made half of the models has failed; it has said why. The live models are as they were."""


Reading = Callable[[], AbstractContextManager[Read]]
"""Opens the ledger for another process; can be pickled."""


def rebuild(
    dsn: str,
    read: Read,
    models: Sequence[ReadModel],
    progress: Progress = lambda at, of: None,
    *,
    reading: Reading | None = None,
) -> None:
    """Make the models anew and switch; those who read meanwhile never see a half-built one.

    reading: with it, half of the models of a long ledger are made in a process of their own. Raises RebuildRefused
    while another rebuild is at work.
    """
    with _beside(dsn, models) as connection:
        reached = _fill_all(dsn, connection, read, models, progress, reading)
        reached = _catch_up(connection, read, models, reached, progress)
        while not _switch(connection, read, models, reached):
            time.sleep(PATIENCE_S)
            reached = _catch_up(connection, read, models, reached, progress)


def compare(
    dsn: str,
    read: Read,
    models: Sequence[ReadModel],
    progress: Progress = lambda at, of: None,
    *,
    reading: Reading | None = None,
) -> list[Difference]:
    """Make the models anew beside the live ones and count the rows that differ, table by table. Switches nothing.

    Raises RebuildRefused while another rebuild is at work, or the live models are behind.
    """
    with _beside(dsn, models) as connection:
        reached = _fill_all(dsn, connection, read, models, progress, reading)
        with connection.transaction():
            # of one moment: so the live tables can go on while the two are compared
            connection.execute("set transaction isolation level repeatable read")
            live = _positions(connection, models)
            if len(set(live.values())) > 1 or min(live.values()) < reached:
                raise RebuildRefused("the live read models are behind; compare when they have caught up")
            _catch_up(connection, read, models, reached, progress, upto=min(live.values()))
            return [_difference(connection, table) for model in models for table in model.names]


@contextmanager
def _beside(dsn: str, models: Sequence[ReadModel]) -> Iterator[Connection[tuple[Any, ...]]]:
    with psycopg.connect(dsn, autocommit=True, row_factory=tuple_row) as connection:
        row = connection.execute("select pg_try_advisory_lock(%s)", (_REBUILD_LOCK,)).fetchone()
        if row is None or not row[0]:
            raise RebuildRefused("another rebuild is at work")
        _drop(connection, models)
        connection.execute("set search_path = read_next")
        for model in models:
            connection.execute(model.tables.encode())
            _let_alone(connection, model, "set (autovacuum_enabled = off)")
            build_wall(connection, "read_next", model)
        try:
            yield connection
        finally:
            if not connection.closed:
                _drop(connection, models)
                connection.execute(
                    "select pg_advisory_unlock(%s)", (_REBUILD_LOCK,)
                )  # at once, not when it is gone


def _fill_all(
    dsn: str,
    connection: Connection[Any],
    read: Read,
    models: Sequence[ReadModel],
    progress: Progress,
    reading: Reading | None,
) -> int:
    """All that the ledger has now; its last position. The work is Python's own, and that has one processor in each
    process: two halves, each with its own reading of the ledger, take little more than half the time."""
    head = _head(connection)
    others = models[1::2] if reading is not None and head >= APART_FROM else ()
    with ExitStack() as stack:
        other = None
        if others:
            other = get_context("spawn").Process(
                target=_fill_apart, args=(dsn, reading, others, head, os.getpid()), daemon=True
            )
            other.start()
            stack.callback(other.kill)
        _fill(dsn, head, read, [model for model in models if model not in others], progress)
        if other is not None:
            other.join()
            if other.exitcode:
                raise HalfFailed(f"The process that made {', '.join(m.name for m in others)} ended in an error.")
    return head


def _fill_apart(dsn: str, reading: Reading, models: Sequence[ReadModel], head: int, parent: int) -> None:
    """In a process of its own, for as long as its parent is there: after that the tables are somebody else's."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then ends this one

    def go_on(at: int, of: int) -> None:
        if os.getppid() != parent:
            sys.exit(1)

    with reading() as read:
        _fill(dsn, head, read, models, go_on)


def _fill(dsn: str, head: int, read: Read, models: Sequence[ReadModel], progress: Progress) -> None:
    """All up to `head`. Each model is written over a connection of its own: while the database takes the rows of
    one, those of the next are made, and the next entries read."""
    reached = 0
    with ExitStack() as stack:
        stack.enter_context(_uncollected())
        pool = stack.enter_context(ThreadPoolExecutor(len(models) + 1, "rebuild"))
        writers = [(model, stack.enter_context(_writer(dsn))) for model in models]
        coming = pool.submit(read, reached, BATCH)
        while reached < head:
            page = coming.result()
            coming = pool.submit(read, page.upto, BATCH)
            entries = [entry for entry in page.entries if entry.position <= head]
            for written in [pool.submit(_write, writer, model, entries) for model, writer in writers]:
                written.result()
            reached = min(page.upto, head)
            progress(reached, head)
        coming.cancel()
        for ready in [pool.submit(_make_ready, writer, model) for model, writer in writers]:
            ready.result()


@contextmanager
def _uncollected() -> Iterator[None]:
    """A page's entries are many and in no cycles: to look for some took a seventh of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@contextmanager
def _writer(dsn: str) -> Iterator[Connection[tuple[Any, ...]]]:
    with psycopg.connect(dsn, autocommit=True, row_factory=tuple_row) as connection:
        connection.execute("set search_path = read_next")
        yield connection


def _write(connection: Connection[Any], model: ReadModel, entries: Sequence[Recorded]) -> None:
    if entries:
        with connection.transaction(), connection.cursor() as cursor:
            model.write(cursor, entries)


def _let_alone(connection: Connection[Any], model: ReadModel, how: LiteralString) -> None:
    """Nothing has to be cleaned up while only rows are added."""
    for table in model.names:
        connection.execute(sql.SQL("alter table {} " + how).format(sql.Identifier(table)))


def _make_ready(connection: Connection[Any], model: ReadModel) -> None:
    """Vacuumed as well: only then can an index answer by itself."""
    connection.execute(model.indexes.encode())
    _let_alone(connection, model, "reset (autovacuum_enabled)")
    for table in model.names:
        connection.execute(sql.SQL("vacuum (analyze) {}").format(sql.Identifier(table)))


def _catch_up(
    connection: Connection[Any],
    read: Read,
    models: Sequence[ReadModel],
    reached: int,
    progress: Progress,
    upto: int | None = None,
) -> int:
    head = _head(connection) if upto is None else upto
    while reached < head:
        page = read(reached, BATCH)
        entries = [entry for entry in page.entries if entry.position <= head]
        with connection.transaction(), connection.cursor() as cursor:
            for model in models:
                if entries:
                    model.write(cursor, entries)
        reached = min(page.upto, head)
        progress(reached, head)
    return reached


def _switch(connection: Connection[Any], read: Read, models: Sequence[ReadModel], reached: int) -> bool:
    """Catch up with what the live tables show, and take their place; False when that took too long to wait."""
    try:
        with connection.transaction():
            connection.execute("set local lock_timeout = '2s'")  # the projector's batch, and nobody waits for us
            live = _positions(connection, models, "for update")
            # Never behind what was shown before: who has read his own write there shall still see it.
            reached = _catch_up(connection, read, models, reached, lambda at, of: None)
            connection.execute("set local lock_timeout = '200ms'")  # all who come to read wait behind us
            for model in models:
                for table in model.names:
                    name = sql.Identifier(table)
                    connection.execute(sql.SQL("alter table if exists read.{} set schema read_old").format(name))
                    connection.execute(sql.SQL("alter table read_next.{} set schema read").format(name))
                    connection.execute(sql.SQL("drop table if exists read_old.{}").format(name))
                connection.execute(
                    "insert into read.checkpoints (model, position, definition) values (%s, %s, %s)"
                    " on conflict (model) do update set position = excluded.position,"
                    " definition = excluded.definition, updated_at = clock_timestamp()",
                    (model.name, max(reached, live.get(model.name, 0)), definition(model)),
                )
        return True
    except LockNotAvailable:
        return False


def _positions(
    connection: Connection[Any], models: Sequence[ReadModel], lock: Literal["", "for update"] = ""
) -> dict[str, int]:
    """Of the live models, by name."""
    return dict(
        connection.execute(
            f"select model, position from read.checkpoints where model = any (%s) order by model {lock}",
            ([model.name for model in models],),
        ).fetchall()
    )


def _difference(connection: Connection[Any], table: str) -> Difference:
    name = sql.Identifier(table)
    row = connection.execute(
        sql.SQL(
            "select (select count(*) from (select * from read.{0} except all select * from read_next.{0}) live),"
            " (select count(*) from (select * from read_next.{0} except all select * from read.{0}) rebuilt)"
        ).format(name)
    ).fetchone()
    assert row is not None
    return Difference(table, row[0], row[1])


def _head(connection: Connection[Any]) -> int:
    row = connection.execute("select coalesce(max(notification_id), 0) from ledger.events").fetchone()
    assert row is not None
    return int(row[0])


def _drop(connection: Connection[Any], models: Sequence[ReadModel]) -> None:
    for model in models:
        for table in model.names:
            for schema in ("read_next", "read_old"):
                connection.execute(sql.SQL("drop table if exists {}").format(sql.Identifier(schema, table)))
