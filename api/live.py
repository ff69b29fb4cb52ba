"""Follows the ledger for everybody in this process: live streams, and reads that wait for their own writes."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any
from uuid import UUID

import psycopg
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from api.reading_pool import ReadingPool
from domain.errors import Overloaded
from projections.ledger import Entry, after, entry_json, news

log = logging.getLogger(__name__)

HEARTBEAT = b": still here\n\n"
HEARTBEAT_S = 15.0
POLL_S = 1.0
RETRY_S = 0.2
AT_ONCE = 500
"""How many entries are read together."""

BEHIND = 1000
"""How many events a slow client may lag before its stream is closed; it resumes by Last-Event-ID."""


class Subscriber:
    """One open stream: events of an organisation, or of one incident."""

    def __init__(self, organization_id: UUID, incident_id: UUID | None) -> None:
        self.organization_id = organization_id
        self.incident_id = incident_id
        self.queue: asyncio.Queue[tuple[int, bytes] | None] = asyncio.Queue(BEHIND)
        self.overrun = False

    def wants(self, entry: Entry) -> bool:
        return entry.organization_id == self.organization_id and self.incident_id in (None, entry.incident_id)

    def offer(self, message: tuple[int, bytes] | None) -> None:
        if self.overrun:
            return
        try:
            self.queue.put_nowait(message)
        except asyncio.QueueFull:
            self.overrun = True


class Tail:
    """Reads each new entry of the ledger once, renders it once, and hands it to every stream that wants it.

    It follows positions alone on its own connection. What streams are given is read behind row-level security, for
    each organisation by itself.

    position: the last entry handed out. projected: up to where the read models are known to have come.
    """

    def __init__(self, dsn: str, pool: AsyncConnectionPool[Any], readers: ReadingPool) -> None:
        self.position = 0
        self.projected = 0
        self._dsn = dsn
        self._pool = pool
        self._readers = readers
        self._subscribers: set[Subscriber] = set()
        self._moved = asyncio.Event()
        self._closing = False
        self._task: asyncio.Task[None] | None = None
        self._patient = True
        self._begun = False
        self._next_poll = 0.0

    async def start(self) -> None:
        self._task = asyncio.create_task(self._follow(), name="tail")

    async def stop(self) -> None:
        self.close_streams()
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    def close_streams(self) -> None:
        """End all streams: the process is about to stop, and their clients find another or wait for it."""
        self._closing = True
        for subscriber in self._subscribers:
            subscriber.offer(None)

    @property
    def streams(self) -> int:
        return len(self._subscribers)

    async def reached(self, position: int, *, within_s: float) -> None:
        """Wait until the read models show everything up to `position`. Raises Overloaded when it takes longer."""
        deadline = asyncio.get_running_loop().time() + within_s
        while self.projected < position:
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0:
                raise Overloaded(f"The read models have not reached position {position} yet.")
            moved = self._moved
            with suppress(TimeoutError):
                await asyncio.wait_for(moved.wait(), min(left, 0.2))
            if not moved.is_set():
                await self._look()

    async def caught_up(self, position: int) -> None:
        """Wait a moment for the read models to show `position`; go on without it when they are stuck."""
        if self.projected >= position:
            self._patient = True
        elif self._patient:
            try:
                await self.reached(position, within_s=1.0)
            except Overloaded:
                self._patient = False  # the projector is away: do not make every reader wait for it

    async def stream(
        self,
        organization_id: UUID,
        incident_id: UUID | None,
        last: int | None,
        allowed: Callable[[], Awaitable[bool]],
    ) -> AsyncIterator[bytes]:
        """Server-sent events after position `last` (None: from now on), then live; a comment every 15 s.

        allowed: whether who asked still may see them. It is asked before each message, and ends the stream.
        """
        subscriber = Subscriber(organization_id, incident_id)
        self._subscribers.add(subscriber)
        try:
            sent = self.position if last is None else last
            if sent > self.position or not self._begun:  # a client ahead of this process, or of a restored ledger
                async with self._pool.connection() as connection:
                    head = await _head(connection)
                sent = head if last is None else min(last, head)
            yield f"retry: 1000\n: connected\nid: {sent}\n\n".encode()
            while not self._closing:
                async with self._readers.of(organization_id) as connection:
                    entries = await after(
                        connection, organization_id, sent, incident_id=incident_id, limit=AT_ONCE
                    )
                for entry in entries:
                    if not await self._goes_on(allowed):
                        return
                    yield _render(entry)
                    sent = entry.position
                if len(entries) < AT_ONCE:
                    break
            while not self._closing and not subscriber.overrun:
                try:
                    message = await asyncio.wait_for(subscriber.queue.get(), HEARTBEAT_S)
                except TimeoutError:
                    message = (sent, HEARTBEAT)
                if message is None or not await self._goes_on(allowed):
                    return
                position, text = message
                if position > sent or text is HEARTBEAT:
                    yield text
                    sent = position
        finally:
            self._subscribers.discard(subscriber)

    async def _goes_on(self, allowed: Callable[[], Awaitable[bool]]) -> bool:
        """Whether a stream may go on; where the database is away that is known when it is back."""
        while not self._closing:
            try:
                return await allowed()
            except (psycopg.OperationalError, psycopg.InterfaceError):
                await asyncio.sleep(RETRY_S)
        return False

    async def _follow(self) -> None:
        while True:
            try:
                async with await AsyncConnection.connect(self._dsn, autocommit=True) as connection:
                    await connection.execute("listen ledger")
                    await connection.execute("listen projected")
                    if not self._begun:
                        self.position, self._begun = await _head(connection), True
                    await self._look(connection)
                    while True:
                        await self._hand_out(connection)
                        async for notice in connection.notifies(timeout=POLL_S, stop_after=1):
                            if notice.channel == "projected":
                                self._advance(int(notice.payload))
                        if self._poll_due():
                            await self._look(connection)
            except psycopg.Error as problem:
                log.warning("the ledger could not be read, following it again shortly: %s", problem)
                await asyncio.sleep(RETRY_S)

    def _poll_due(self) -> bool:
        now = asyncio.get_running_loop().time()
        due = now >= self._next_poll
        if due:
            self._next_poll = now + POLL_S
        return due

    async def _hand_out(self, connection: AsyncConnection[Any]) -> None:
        """Everything after `position`. Where a read fails nothing is handed out yet, and all is read again. Who
        subscribes meanwhile finds it in the ledger."""
        while True:
            counts, end = await news(connection, self.position, limit=AT_ONCE)
            heard = counts.keys() & {subscriber.organization_id for subscriber in self._subscribers}
            entries = {id: await self._read(id, counts[id]) for id in heard}
            for subscriber in self._subscribers:
                for entry, text in entries.get(subscriber.organization_id, ()):
                    if subscriber.wants(entry):
                        subscriber.offer((entry.position, text))
            self.position = end
            if sum(counts.values()) < AT_ONCE:
                return

    async def _read(self, organization_id: UUID, count: int) -> list[tuple[Entry, bytes]]:
        """The organisation's next entries, and each as a message."""
        async with self._readers.of(organization_id) as connection:
            entries = await after(connection, organization_id, self.position, limit=count)
        return [(entry, _render(entry)) for entry in entries]

    async def _look(self, connection: AsyncConnection[Any] | None = None) -> None:
        """Ask where the read models are: a notification may have been lost."""
        query = "select coalesce(min(position), 0) from read.checkpoints"
        try:
            if connection is not None:
                row = await (await connection.execute(query)).fetchone()
            else:
                async with self._pool.connection() as pooled:
                    row = await (await pooled.execute(query)).fetchone()
        except PoolTimeout:
            return
        if row is not None:
            self._advance(int(row[0]))

    def _advance(self, position: int) -> None:
        if position > self.projected:
            self.projected = position
            moved, self._moved = self._moved, asyncio.Event()
            moved.set()


def _render(entry: Entry) -> bytes:
    """One message. What Unicode calls a line break is written as JSON escapes, since some clients break there."""
    data = entry_json(entry)
    for character in (b"\xe2\x80\xa8", b"\xe2\x80\xa9", b"\xc2\x85"):
        if character in data:
            data = data.replace(character, b"\\u%04x" % ord(character.decode()))
    return b"id: %d\ndata: %s\n\n" % (entry.position, data)


async def _head(connection: AsyncConnection[Any]) -> int:
    row = await (
        await connection.execute("select coalesce(max(notification_id), 0) from ledger.events")
    ).fetchone()
    assert row is not None
    return int(row[0])
