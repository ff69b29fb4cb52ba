"""The role `notify`: follows the ledger, sends what it calls for, takes what WhatsApp tells, and tells the ledger.

One process of an installation does so at a time, the one that holds the lock; others wait to take over.
"""

import asyncio
import logging
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Protocol

import psycopg
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from commands.executor import Executor
from commands.vault import Vault
from domain.errors import Overloaded
from workers.notifier.cloud_api import CloudApi
from workers.notifier.inbox import Inbox
from workers.notifier.plan import Plan
from workers.notifier.sender import AWAY, Sender
from workers.notifier.teller import Teller
from workers.stream.organizations import patient

log = logging.getLogger(__name__)

INBOX = "whatsapp"
"""The PostgreSQL notification channel on which the webhook tells that something has come."""

LOCK = 7308604901
AGAIN_S = 0.5
FINISH_WITHIN_S = 2.5


class Follower(Protocol):
    """Reads the ledger and plans deliveries, in a thread of its own."""

    def run(self, stop: threading.Event) -> None: ...


class Notifier:
    """follower: makes the follower of the ledger, which plans, and calls what it is given after each commit."""

    def __init__(
        self,
        dsn: str,
        pool: AsyncConnectionPool[AsyncConnection[Any]],
        executor: Executor,
        cloud: CloudApi | None,
        vault: Vault | None,
        public_url: str,
        follower: Callable[[Plan, Callable[[], None]], Follower],
    ) -> None:
        self._dsn = dsn
        self._teller = Teller(pool, executor)
        self._sender = Sender(pool, cloud, vault, public_url, moved=self._teller.wake)
        self._inbox = Inbox(pool, executor, moved=self.look)
        self._configured = cloud is not None
        self._organization = patient(executor.organizations.get)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="follower")
        self._follower = follower

    async def run(self) -> None:
        """Work until SIGTERM or SIGINT. A database that is away is waited for."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for signum in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(signum, stop.set)
        working = asyncio.create_task(self._keep_working())
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        working.cancel()
        with suppress(asyncio.CancelledError):
            await working
        await self._sender.finish(FINISH_WITHIN_S)

    async def _keep_working(self) -> None:
        away = False
        while True:
            try:
                async with await AsyncConnection.connect(self._dsn, autocommit=True) as connection:
                    await _lead(connection)
                    away = False
                    await self._work(connection)
            except* AWAY as problems:
                if not away:
                    log.warning("the database is away, notifying waits: %s", problems.exceptions[0])
                away = True
            except* Overloaded as problems:
                log.info("a command could not be written, it is tried again: %s", problems.exceptions[0])
            await asyncio.sleep(AGAIN_S)

    async def _work(self, connection: AsyncConnection[Any]) -> None:
        await self._sender.begin()
        loop = asyncio.get_running_loop()
        plan = Plan(
            configured=self._configured,
            may_go=self._sender.may_go,
            organization=self._organization,
        )
        stop = threading.Event()

        def planned() -> None:
            with suppress(RuntimeError):  # the loop has ended: what was planned is unknown to the next start
                loop.call_soon_threadsafe(self._sender.go, plan.leaving())

        following = loop.run_in_executor(self._thread, self._follower(plan, planned).run, stop)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._sender.run())
                tasks.create_task(self._teller.run())
                tasks.create_task(self._inbox.run())
                tasks.create_task(self._listen(connection))
                await asyncio.shield(following)
        finally:
            stop.set()
            await asyncio.wait((following,))

    def look(self) -> None:
        """Deliveries have changed: there may be something to send, and something to tell."""
        self._sender.wake()
        self._teller.wake()

    async def _listen(self, connection: AsyncConnection[Any]) -> None:
        await connection.execute(f"listen {INBOX}".encode())
        self._inbox.wake()
        async for _ in connection.notifies():
            self._inbox.wake()
        raise psycopg.OperationalError("the connection that listens was closed")


async def _lead(connection: AsyncConnection[Any]) -> None:
    """Wait until no other process notifies."""
    waiting = False
    while True:
        row = await (await connection.execute("select pg_try_advisory_lock(%s)", (LOCK,))).fetchone()
        if row and row[0]:
            return
        if not waiting:
            log.info("another process notifies, this one stands by")
            waiting = True
        await asyncio.sleep(AGAIN_S)
