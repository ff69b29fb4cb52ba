"""One process's turn as the follower of a name: the lock that makes it the only one, and its row for operators."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import Connection

from workers.stream.ledger import Behind, behind

log = logging.getLogger(__name__)

AGAIN = "dead_letters"
"""The notification channel that tells that dead letters are to be handled once more."""

_LOCKS = 7308
_TRY_S = 0.5
_KEEPALIVE = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}


class Turn:
    """Holds the lock on the same connection that writes: who loses the one loses the other."""

    def __init__(self, connection: Connection[Any], name: str) -> None:
        self.connection = connection
        self.name = name
        self.again = True
        """Whether dead letters may wait to be handled once more."""

    def wait(self, at_most_s: float) -> None:
        """Return when the database notifies of anything, or after `at_most_s`; many notifications count as one."""
        for limit in (at_most_s, 0):
            for notice in self.connection.notifies(timeout=limit, stop_after=1 if limit else None):
                self.again = self.again or notice.channel == AGAIN

    def beat(self, after: int, problem: str | None = None, unread: int | None = None) -> None:
        """Say that this follower lives, what keeps it from working, and how much lies after what it handled.

        after: all up to this position is handled. unread: how many it has still to read from elsewhere.
        """
        lag: Behind = behind(self.connection, after)
        entries = lag.entries if unread is None else min(lag.entries, unread)
        self.connection.execute(
            "insert into stream.followers (name, seen_at, problem, behind, behind_s)"
            " values (%s, clock_timestamp(), %s, %s, %s) on conflict (name) do update"
            " set seen_at = excluded.seen_at, problem = excluded.problem, behind = excluded.behind,"
            " behind_s = excluded.behind_s",
            (self.name, problem, entries, lag.oldest_s),
            prepare=True,
        )


@contextmanager
def turn(dsn: str, name: str, stop: threading.Event) -> Iterator[Turn | None]:
    """Wait until no other process follows by this name, then be the one; None when `stop` was set before.

    Raises psycopg.OperationalError or InterfaceError when the connection is lost, and the turn with it.
    """
    given = psycopg.conninfo.conninfo_to_dict(dsn)
    extra: dict[str, Any] = {key: value for key, value in _KEEPALIVE.items() if key not in given}
    with psycopg.connect(dsn, autocommit=True, **extra) as connection:
        while not _locked(connection, name):
            if stop.wait(_TRY_S):
                yield None
                return
        connection.execute(f"listen {AGAIN}".encode())
        yield Turn(connection, name)


def _locked(connection: Connection[Any], name: str) -> bool:
    row = connection.execute("select pg_try_advisory_lock(%s, hashtext(%s))", (_LOCKS, name)).fetchone()
    return row is not None and bool(row[0])
