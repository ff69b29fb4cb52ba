"""What followers ask the database beside the entries themselves: how far, how many, how old."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from psycopg import Connection, Cursor

from workers.stream.source import Place

MANY = 100_000
"""Beyond so many, entries that wait are told by the difference of positions, which gaps make a little larger."""


class Behind(NamedTuple):
    """Entries of the ledger after a position, and the age of the oldest of them in seconds."""

    entries: int
    oldest_s: float


def checkpoint(connection: Connection[Any], consumer: str, source: str) -> int:
    """The place in partition 0; 0 where there is none."""
    row = connection.execute(
        "select next from stream.checkpoints where consumer = %s and source = %s and partition = 0",
        (consumer, source),
    ).fetchone()
    return int(row[0]) if row else 0


def places(connection: Connection[Any], consumer: str, source: str) -> dict[int, Place]:
    """How far each partition is handled."""
    rows = connection.execute(
        "select partition, next, position from stream.checkpoints where consumer = %s and source = %s",
        (consumer, source),
    ).fetchall()
    return {partition: Place(next, position) for partition, next, position in rows}


def save(cursor: Cursor[Any], consumer: str, source: str, moved: Sequence[tuple[int, Place]]) -> None:
    """Keep how far these partitions are handled. Neither number ever falls but for Kafka's next offset, where a
    topic was made anew."""
    for partition, place in moved:
        cursor.execute(
            "insert into stream.checkpoints as known (consumer, source, partition, next, position)"
            " values (%s, %s, %s, %s, %s) on conflict (consumer, source, partition) do update"
            " set next = excluded.next, position = greatest(known.position, excluded.position),"
            " updated_at = clock_timestamp()",
            (consumer, source, partition, *place),
            prepare=True,
        )


def behind(connection: Connection[Any], after: int) -> Behind:
    """What the ledger has after a position."""
    row = connection.execute(
        "with head as (select coalesce(max(notification_id), 0) as position from ledger.events)"
        " select case when head.position - %(after)s > %(many)s then head.position - %(after)s"
        "   else (select count(*) from ledger.events where notification_id > %(after)s) end,"
        " (select greatest(0, extract(epoch from clock_timestamp()) - extract(epoch from recorded_at))::float8"
        "   from ledger.events where notification_id > %(after)s order by notification_id limit 1)"
        " from head",
        {"after": after, "many": MANY},
        prepare=True,
    ).fetchone()
    assert row is not None
    return Behind(row[0], row[1] or 0.0)
