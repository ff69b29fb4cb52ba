"""The role `escalate`: sets timers as the ledger calls for them, and fires those that are due.

One process of an installation does so at a time, the one that holds the lock; others wait to take over.
"""

import logging
import threading
from collections.abc import Callable
from typing import Any, Protocol

import psycopg
from psycopg import Connection

from workers.escalator.firing import Firing

log = logging.getLogger(__name__)

LOCK = 7308604902
AGAIN_S = 0.5


class Follower(Protocol):
    """Follows the ledger in a thread of its own."""

    def run(self, stop: threading.Event) -> None: ...


class Escalator:
    """follower: makes the follower that sets the timers, given what to call after each commit."""

    def __init__(self, dsn: str, firing: Firing, follower: Callable[[Callable[[], None]], Follower]) -> None:
        self._dsn = dsn
        self._firing = firing
        self._follower = follower

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set. A database that is away is waited for."""
        away = False
        while not stop.is_set():
            try:
                with psycopg.connect(self._dsn, autocommit=True) as connection:
                    if not _led(connection, stop):
                        return
                    away = False
                    self._work(connection, stop)
            except (psycopg.OperationalError, psycopg.InterfaceError) as problem:
                if not away:
                    log.warning("the database is away, escalation waits: %s", problem)
                away = True
                stop.wait(AGAIN_S)

    def _work(self, connection: Connection[Any], stop: threading.Event) -> None:
        over = threading.Event()
        failed: list[BaseException] = []

        def follow() -> None:
            try:
                self._follower(self._firing.wake).run(over)
            except BaseException as problem:
                failed.append(problem)
                over.set()
                self._firing.wake()

        def stop_too() -> None:
            stop.wait()
            over.set()
            self._firing.wake()

        following = threading.Thread(target=follow, name="follower", daemon=True)
        self._firing.begin(connection)  # before the follower says that it lives, by the clock as it is now
        following.start()
        threading.Thread(target=stop_too, name="stop", daemon=True).start()
        try:
            self._firing.run(connection, over)
        finally:
            over.set()
            following.join()
        if failed:
            raise failed[0]


def _led(connection: Connection[Any], stop: threading.Event) -> bool:
    """Wait until no other process escalates; False when told to stop before."""
    waiting = False
    while not stop.is_set():
        row = connection.execute("select pg_try_advisory_lock(%s)", (LOCK,)).fetchone()
        if row and row[0]:
            return True
        if not waiting:
            log.info("another process escalates, this one stands by")
            waiting = True
        stop.wait(AGAIN_S)
    return False
