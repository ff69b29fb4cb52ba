"""What a follower could not handle: kept as it came, with the reason, until an operator sends it again."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from psycopg import Connection, Cursor
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from workers.stream.message import RESENT, Message, printable, words_of
from workers.stream.turn import AGAIN

LONGEST_REASON = 2000


class DeadLetter(NamedTuple):
    """One message that was not handled. failed_at: the last time (UTC). again: it is to be handled once more."""

    id: int
    consumer: str
    source: str
    partition: int
    place: int
    key: bytes | None
    headers: dict[str, str]
    body: bytes
    reason: str
    failed_at: datetime
    tries: int
    again: bool

    @property
    def message(self) -> Message:
        """It, to be handled once more."""
        headers = {**self.headers, RESENT: "true"}
        return Message(self.partition, self.place, self.key or b"", headers, self.body)


_COLUMNS = "id, consumer, source, partition, place, key, headers, body, reason, failed_at, tries, again"


def reason(problem: BaseException) -> str:
    """The problem in words that PostgreSQL can keep."""
    words = words_of(problem).encode(errors="backslashreplace").decode()
    return printable(words)[:LONGEST_REASON]


def put(cursor: Cursor[Any], consumer: str, source: str, message: Message, why: str) -> None:
    """Keep a message that was not handled."""
    cursor.execute(
        "insert into stream.dead_letters as known (consumer, source, partition, place, key, headers, body, reason)"
        " values (%s, %s, %s, %s, %s, %s, %s, %s) on conflict (consumer, source, partition, place) do update"
        " set key = excluded.key, headers = excluded.headers, body = excluded.body, reason = excluded.reason,"
        " failed_at = clock_timestamp(), tries = known.tries + 1, again = false",
        (
            consumer,
            source,
            message.partition,
            message.place,
            message.key,
            Jsonb(dict(message.headers)),
            message.body,
            why,
        ),
    )


def failed_again(cursor: Cursor[Any], id: int, why: str) -> None:
    """It was handled once more, in vain."""
    cursor.execute(
        "update stream.dead_letters set tries = tries + 1, again = false, reason = %s,"
        " failed_at = clock_timestamp() where id = %s",
        (why, id),
    )


def remove(cursor: Cursor[Any], id: int) -> None:
    """It was handled after all."""
    cursor.execute("delete from stream.dead_letters where id = %s", (id,))


def asked_for(connection: Connection[Any], consumer: str, limit: int) -> list[DeadLetter]:
    """Those that are to be handled once more, in the order in which they failed."""
    with connection.cursor(row_factory=class_row(DeadLetter)) as cursor:
        return cursor.execute(
            f"select {_COLUMNS} from stream.dead_letters where consumer = %s and again order by id limit %s",
            (consumer, limit),
            prepare=True,
        ).fetchall()


def all_of(connection: Connection[Any]) -> list[DeadLetter]:
    """All dead letters, in the order in which they failed first."""
    with connection.cursor(row_factory=class_row(DeadLetter)) as cursor:
        return cursor.execute(f"select {_COLUMNS} from stream.dead_letters order by id").fetchall()


def resend(connection: Connection[Any], ids: Sequence[int] | None) -> list[int]:
    """Have these (None: all) handled once more by their consumers, which are told; the ids of those there are."""
    rows = connection.execute(
        "update stream.dead_letters set again = true where %(ids)s::bigint[] is null or id = any (%(ids)s)"
        " returning id",
        {"ids": None if ids is None else list(ids)},
    ).fetchall()
    if rows:
        connection.execute("select pg_notify(%s, '')", (AGAIN,))
    return sorted(row[0] for row in rows)
