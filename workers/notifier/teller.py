"""Tells the ledger what became of alerts, so that everybody sees on the timeline who was reached and who was not.

The deliveries say how far the ledger was told. Each step has an idempotency key: told twice, it is recorded once.
"""

import asyncio
import logging
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import psycopg
from psycopg.rows import class_row
from psycopg_pool import AsyncConnectionPool

from commands.executor import Executor
from commands.incident import OWN_KEYS, Idempotency, RecordAlert
from domain.decisions import Request
from domain.errors import Overloaded, Refusal
from domain.events import Actor
from domain.words import AlertOutcome

log = logging.getLogger(__name__)

SYSTEM = Actor(kind="system")
AT_ONCE = 100
WITHIN_S = 20.0

_STEPS: tuple[AlertOutcome, ...] = ("sent", "delivered", "read")


@dataclass(frozen=True, slots=True)
class Untold:
    """A delivery of which the ledger does not know all."""

    id: UUID
    organization_id: UUID
    incident_id: UUID
    recipient_id: UUID
    channel: str
    attempt: int
    state: str
    told: str | None
    reason: str | None
    queued_at: datetime
    sent_at: datetime | None
    delivered_at: datetime | None
    read_at: datetime | None
    failed_at: datetime | None

    def steps(self) -> list[tuple[AlertOutcome, datetime]]:
        """What the ledger has not been told yet, and when that was."""
        times = {"sent": self.sent_at, "delivered": self.delivered_at, "read": self.read_at}
        known = _STEPS.index(self.told) + 1 if self.told in _STEPS else 0
        steps: list[tuple[AlertOutcome, datetime]] = []
        for step in _STEPS[known:]:
            at = times[step]
            if at is not None:
                steps.append((step, at))
        if self.state in ("failed", "not_configured"):
            steps.append(("failed", self.failed_at or self.queued_at))
        return steps


class Teller:
    """Tells the ledger, through the same commands as everybody."""

    def __init__(self, pool: AsyncConnectionPool[psycopg.AsyncConnection[object]], executor: Executor) -> None:
        self._pool = pool
        self._executor = executor
        self._wanted = asyncio.Event()

    def wake(self) -> None:
        """A delivery's state has changed."""
        self._wanted.set()

    async def run(self) -> None:
        """Tell until cancelled. Raises what says that the database is away: begin again then."""
        while True:
            self._wanted.clear()
            while await self.tell_some():
                pass
            try:
                await asyncio.wait_for(self._wanted.wait(), 1.0)
            except TimeoutError:
                continue

    async def tell_some(self) -> int:
        """Tell of some deliveries; of how many."""
        async with (
            self._pool.connection() as connection,
            connection.cursor(row_factory=class_row(Untold)) as cursor,
        ):
            await cursor.execute(_UNTOLD, (AT_ONCE,), prepare=True)
            untold = await cursor.fetchall()
        told = await asyncio.gather(*map(self._tell, untold))
        done = [(each.id, each.state) for each, well in zip(untold, told, strict=True) if well]
        if done:
            async with self._pool.connection() as connection:
                ids, states = zip(*done, strict=True)
                await connection.execute(_TOLD, (list(ids), list(states)), prepare=True)
        return len(done)

    async def _tell(self, delivery: Untold) -> bool:
        try:
            for step, at in delivery.steps():
                await self._executor.run(_command(delivery, step, at), within_s=WITHIN_S)
        except Overloaded as later:
            log.debug("the ledger could not be told of an alert yet: %s", later)
            return False
        except Refusal as refusal:
            log.error("the ledger refuses to be told of delivery %s: %s", delivery.id, refusal)
        return True


def _command(delivery: Untold, step: AlertOutcome, at: datetime) -> RecordAlert:
    request = Request(
        organization_id=delivery.organization_id,
        actor=SYSTEM,
        asked_at=at,
        correlation_id=delivery.id,
        causation_id=delivery.id,
    )
    return RecordAlert(
        request=request,
        incident_id=delivery.incident_id,
        idempotency=Idempotency(f"{OWN_KEYS}delivery:{delivery.id}:{step}", delivery.id.bytes),
        outcome=step,
        delivery_id=delivery.id,
        recipient_id=delivery.recipient_id,
        channel=delivery.channel,
        attempt=delivery.attempt,
        reason=delivery.reason or "" if step == "failed" else "",
    )


_UNTOLD = """
    select id, organization_id, incident_id, recipient_id, channel, attempt, state, told, reason, queued_at,
           sent_at, delivered_at, read_at, failed_at
      from notify.deliveries
     where kind = 'alert' and told is distinct from state
       and state in ('sent', 'delivered', 'read', 'failed', 'not_configured')
     order by id limit %s"""
_TOLD = """
    update notify.deliveries d set told = done.state
      from unnest(%s::uuid[], %s::text[]) as done (id, state) where d.id = done.id"""
