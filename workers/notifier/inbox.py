"""Handles what WhatsApp told us: statuses move deliveries on, taps and texts become commands and are answered.

Each item is handled once: what it leads to in our tables is one transaction with its being ticked off, and its
command carries an idempotency key, so that it may be run again after a crash.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg
from psycopg.types.json import Jsonb
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from commands.executor import Executor
from commands.ids import new_id
from commands.incident import OWN_KEYS, Acknowledge, Idempotency, IncidentCommand, Investigate, Resolve
from domain.decisions import Request
from domain.errors import NotAllowedNow, Overloaded, Refusal
from domain.events import Actor
from workers.notifier import outbox, talk
from workers.notifier.sender import after_refusal
from workers.notifier.talk import Reply, Wish
from workers.notifier.verdicts import verdict_of_status

log = logging.getLogger(__name__)

WITHIN_S = 20.0
AT_ONCE = 100
PRUNE_EVERY_S = 3600.0
AGAIN_S = 0.3

Connection = psycopg.AsyncConnection[Any]


@dataclass(frozen=True, slots=True)
class Writer:
    """A recipient who wrote to us. actor: the id under which they act, their person's where they have one."""

    id: UUID
    organization_id: UUID
    actor: UUID
    may_act: bool


class Inbox:
    """moved: called when deliveries have changed, or replies are to be sent."""

    def __init__(
        self,
        pool: AsyncConnectionPool[Connection],
        executor: Executor,
        moved: Callable[[], None],
    ) -> None:
        self._pool = pool
        self._executor = executor
        self._moved = moved
        self._wanted = asyncio.Event()

    def wake(self) -> None:
        """Something may have come."""
        self._wanted.set()

    async def run(self) -> None:
        """Handle what comes until cancelled. Raises what says that the database is away: begin again then."""
        prune_at = 0.0
        while True:
            self._wanted.clear()
            try:
                while await self.handle_some():
                    self._moved()
            except (Overloaded, PoolTimeout) as later:
                log.info("what WhatsApp told has to wait a moment: %s", later)
                await asyncio.sleep(AGAIN_S)
                continue
            if time.monotonic() >= prune_at:
                async with self._pool.connection() as connection:
                    await connection.execute(_PRUNE)
                prune_at = time.monotonic() + PRUNE_EVERY_S
            try:
                await asyncio.wait_for(self._wanted.wait(), 1.0)
            except TimeoutError:
                continue

    async def handle_some(self) -> int:
        """Handle some items, what people said before what became of messages; how many."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute(_WAITING, (AT_ONCE,), prepare=True)
            items = await cursor.fetchall()
            for id, key, item in items:
                await self._handle(connection, id, key, item)
        return len(items)

    async def _handle(self, connection: Connection, id: int, key: str, item: dict[str, Any]) -> None:
        try:
            async with connection.transaction():
                if item["kind"] == "status":
                    outcome = await self._status(connection, item["status"])
                else:
                    outcome = await self._message(connection, key, item["message"])
                await connection.execute(_HANDLED, (outcome, id), prepare=True)
        except (Overloaded, psycopg.OperationalError, psycopg.InterfaceError):
            raise  # later
        except Exception as problem:
            log.exception("what WhatsApp told could not be handled, it is kept as item %d of the inbox", id)
            async with connection.transaction():
                await connection.execute(_BROKEN, (f"failed: {type(problem).__name__}", id), prepare=True)

    async def _status(self, connection: Connection, status: dict[str, Any]) -> str:
        """What became of a message. Statuses come late, twice, out of order, and for what is not ours."""
        name, wamid = status.get("status"), status.get("id")
        wamid = wamid if isinstance(wamid, str) else None
        delivery = await outbox.find(connection, _uuid(status.get("biz_opaque_callback_data")), wamid)
        if delivery is None:
            return "of an unknown message"
        if name == "failed":
            code, reason, verdict = verdict_of_status(status.get("errors"))
            attempt = await _attempt(connection, delivery)
            news = await outbox.failed(connection, delivery, after_refusal(reason, code, verdict, attempt))
        elif name in ("sent", "delivered", "read"):
            news = await outbox.status(connection, delivery, name, _seconds(status.get("timestamp")), wamid)
        else:
            return "of no interest"
        return "recorded" if news else "known already"

    async def _message(self, connection: Connection, key: str, message: dict[str, Any]) -> str:
        wish = talk.understood(message)
        replied_to = await _replied_to(connection, message)
        writer = await _writer(connection, message.get("from"), wish, replied_to)
        if writer is None:
            log.info("a WhatsApp message from a number that is no recipient's was ignored")
            return "from an unknown number"
        if wish is None:
            return "not understood"
        if not writer.may_act:
            reply = Reply("You are no responder any more, so this was not recorded. An admin can change that.")
        elif isinstance(wish, Wish):
            reply = await self._act(connection, writer, key, wish, replied_to)
        else:
            reply = await _other(connection, writer, wish)
        await connection.execute(
            _REPLY, (new_id(), writer.organization_id, writer.id, Jsonb(reply.content())), prepare=True
        )
        return wish.verb if isinstance(wish, Wish) else wish

    async def _act(
        self,
        connection: Connection,
        writer: Writer,
        key: str,
        wish: Wish,
        replied_to: tuple[UUID, UUID] | None,
    ) -> Reply:
        incident_id = wish.incident if isinstance(wish.incident, UUID) else None
        if isinstance(wish.incident, int):
            incident_id = await _by_number(connection, writer.organization_id, wish.incident)
            if incident_id is None:
                return Reply(f"There is no INC-{wish.incident}.")
        elif incident_id is None:
            if replied_to is None:
                return talk.WHICH
            incident_id = replied_to[0]
        try:
            outcome = await self._executor.run(_command(writer, key, wish, incident_id), within_s=WITHIN_S)
        except Overloaded:
            raise  # later, under the same key
        except NotAllowedNow as refusal:
            return talk.refused(wish, refusal, writer.actor, await _name(connection, refusal.acted_by.id))
        except Refusal as refusal:
            return talk.refused(wish, refusal, writer.actor, None)
        return talk.done(wish, outcome.incident)


def _command(writer: Writer, key: str, wish: Wish, incident_id: UUID) -> IncidentCommand:
    request = Request(
        organization_id=writer.organization_id,
        actor=Actor(kind="whatsapp", id=writer.actor),
        asked_at=datetime.now(UTC),
        correlation_id=new_id(),
        causation_id=new_id(),
    )
    once = Idempotency(f"{OWN_KEYS}whatsapp:{key}", writer.id.bytes)
    match wish.verb:
        case "ack":
            return Acknowledge(request=request, incident_id=incident_id, idempotency=once, note=wish.note)
        case "work":
            return Investigate(request=request, incident_id=incident_id, idempotency=once, note=wish.note)
        case "resolve":
            return Resolve(request=request, incident_id=incident_id, idempotency=once, note=wish.note)


async def _writer(
    connection: Connection, sender: object, wish: talk.Said | None, replied_to: tuple[UUID, UUID] | None
) -> Writer | None:
    """Whose number this is: in the organisation that the message is about, else in that which wrote last."""
    if not isinstance(sender, str) or not sender:
        return None
    incident = wish.incident if isinstance(wish, Wish) and isinstance(wish.incident, UUID) else None
    values = {
        "digits": sender.lstrip("+"),
        "incident": incident,
        "organization": replied_to[1] if replied_to else None,
    }
    row = await (await connection.execute(_WRITER, values, prepare=True)).fetchone()
    return Writer(*row) if row else None


async def _other(connection: Connection, writer: Writer, wish: str) -> Reply:
    match wish:
        case "status":
            cursor = await connection.execute(_OPEN, (writer.organization_id,), prepare=True)
            rows = await cursor.fetchall()
            return talk.overview([row[:5] for row in rows], rows[0][5] - len(rows) if rows else 0)
        case "stop" | "start":
            at = "null" if wish == "stop" else "coalesce(opted_in_at, clock_timestamp())"
            await connection.execute(
                f"update notify.recipients set opted_in_at = {at} where id = %s".encode(), (writer.id,)
            )
            return Reply(talk.STOPPED if wish == "stop" else talk.STARTED)
        case _:
            return Reply(talk.HELP)


async def _replied_to(connection: Connection, message: dict[str, Any]) -> tuple[UUID, UUID] | None:
    """The incident, and its organisation, of the alert that a message is a reply to."""
    context = message.get("context")
    wamid = context.get("id") if isinstance(context, dict) else None
    if not isinstance(wamid, str):
        return None
    cursor = await connection.execute(
        "select incident_id, organization_id from notify.deliveries where wamid = %s and incident_id is not null",
        (wamid,),
        prepare=True,
    )
    return await cursor.fetchone()


async def _attempt(connection: Connection, delivery: UUID) -> int:
    row = await (
        await connection.execute("select attempt from notify.deliveries where id = %s", (delivery,), prepare=True)
    ).fetchone()
    return int(row[0]) if row else 1


async def _by_number(connection: Connection, organization_id: UUID, number: int) -> UUID | None:
    query = "select stream_id from ledger.claims where organization_id = %s and scope = 'number' and key = %s"
    row = await (await connection.execute(query, (organization_id, str(number)), prepare=True)).fetchone()
    return row[0] if row else None


async def _name(connection: Connection, id: UUID | None) -> str | None:
    row = await (await connection.execute(_NAME, {"id": id}, prepare=True)).fetchone()
    return row[0] if row else None


def _uuid(text: object) -> UUID | None:
    try:
        return UUID(text) if isinstance(text, str) else None
    except ValueError:
        return None


def _seconds(text: object) -> float | None:
    """Seconds since 1970, as WhatsApp writes them; None for what is none."""
    try:
        seconds = float(text) if isinstance(text, str | int) else None
    except (ValueError, OverflowError):
        return None
    return seconds if seconds is not None and 0 < seconds < 1e11 else None


_WAITING = """
    select id, key, item from notify.inbox where handled_at is null
     order by item ->> 'kind' = 'message' desc, id limit %s"""
_HANDLED = "update notify.inbox set handled_at = clock_timestamp(), outcome = %s, item = null where id = %s"
_BROKEN = "update notify.inbox set handled_at = clock_timestamp(), outcome = %s where id = %s"
_PRUNE = "delete from notify.inbox where handled_at < clock_timestamp() - interval '30 days' and item is null"
_WRITER = """
    select r.id, r.organization_id, coalesce(r.person_id, r.id),
           coalesce(p.role, 'responder') <> 'member' and p.disabled_at is null
      from notify.recipients r left join access.people p on p.id = r.person_id
     where r.removed_at is null and (ltrim(r.whatsapp, '+') = %(digits)s or r.wa_id = %(digits)s)
     order by r.organization_id is not distinct from coalesce(
                  (select organization_id from ledger.events
                    where originator_id = %(incident)s and originator_version = 1), %(organization)s) desc,
              (select max(queued_at) from notify.deliveries d where d.recipient_id = r.id) desc nulls last
     limit 1"""
_REPLY = """
    insert into notify.deliveries (id, kind, organization_id, recipient_id, channel, content)
    values (%s, 'reply', %s, %s, 'whatsapp', %s)"""
_OPEN = """
    select id, number, severity, status, title, count(*) over () from read.incidents
     where organization_id = %s and status in ('triggered', 'acknowledged', 'investigating')
     order by severity_rank, triggered_at limit 8"""
_NAME = """
    select name from access.people where id = %(id)s
    union all select name from access.integrations where id = %(id)s
    union all select name from notify.recipients where id = %(id)s limit 1"""
