"""Rebuilds read models from the whole ledger beside the live tables, then puts them in their place at once."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import psycopg
from psycopg import Connection, sql
from psycopg.errors import LockNotAvailable
from psycopg.rows import tuple_row

from projections.model import ReadModel, definition
from projections.runner import Read
from projections.wall import build_wall

BATCH = 20_000
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


def rebuild(dsn: str, read: Read, models: Sequence[ReadModel], progress: Progress = lambda at, of: None) -> None:
    """Make the models anew and switch; those who read meanwhile never see a half-built one.

    Raises RebuildRefused while another rebuild is at work.
    """
    with _beside(dsn, models) as connection:
        reached = _fill(connection, read, models, progress)
        while not _switch(connection, read, models, reached):
            reached = _catch_up(connection, read, models, reached, progress)


def compare(
    dsn: str, read: Read, models: Sequence[ReadModel], progress: Progress = lambda at, of: None
) -> list[Difference]:
    """Make the models anew beside the live ones and count the rows that differ, table by table. Switches nothing.

    Raises RebuildRefused while another rebuild is at work, or the live models are behind.
    """
    with _beside(dsn, models) as connection:
        reached = _fill(connection, read, models, progress)
        with connection.transaction():
            live = _lock_checkpoints(connection, models)
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
            build_wall(connection, "read_next", model)
        try:
            yield connection
        finally:
            if not connection.closed:
                _drop(connection, models)


def _fill(connection: Connection[Any], read: Read, models: Sequence[ReadModel], progress: Progress) -> int:
    reached = _catch_up(connection, read, models, 0, progress)
    for model in models:
        connection.execute(model.indexes.encode())
        for table in model.names:
            connection.execute(sql.SQL("analyze {}").format(sql.Identifier(table)))
    return reached


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
            connection.execute("set local lock_timeout = '2s'")
            live = _lock_checkpoints(connection, models)
            # Never behind what was shown before: who has read his own write there shall still see it.
            reached = _catch_up(connection, read, models, reached, lambda at, of: None)
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


def _lock_checkpoints(connection: Connection[Any], models: Sequence[ReadModel]) -> dict[str, int]:
    return dict(
        connection.execute(
            "select model, position from read.checkpoints where model = any (%s) order by model for update",
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
