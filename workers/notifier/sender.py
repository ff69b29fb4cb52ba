"""Sends what is due: claims rows, lets the messages go, and writes down what became of them."""

import asyncio
import base64
import logging
import random
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from uuid import UUID

import psycopg
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from commands.vault import Vault
from workers.notifier import messages, outbox
from workers.notifier.cloud_api import CloudApi, Refused, Taken, Unknown
from workers.notifier.delivery import Delivery
from workers.notifier.fallback import send_fallback
from workers.notifier.limits import Limits
from workers.notifier.outbox import Failure, Waiting
from workers.notifier.verdicts import PAIR_RATE, Verdict, backoff_s

log = logging.getLogger(__name__)

IN_FLIGHT = 100
PER_PERSON = 45
LOOK_EVERY_S = 1.0
"""How often what has become overdue is looked for; what is new wakes the sender at once."""

LOST_AFTER_S = 15.0
"""After so long, what is being sent and is in no task's hands is in nobody's."""

LONG_S = 10.0
"""A critical alert that WhatsApp's rates keep for longer goes by the recipient's other channel, too."""

REMEMBER_S = 300.0
FALLBACK_TRIES = 6
UNREADABLE = "The address of this channel cannot be read: see FANDESK_SECRET_KEY."
UNREADABLE_CODE = "The code cannot be read: see FANDESK_SECRET_KEY."
AWAY = (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout)

_DICE = random.Random()  # noqa: S311 - jitter, no secret


class Sender:
    """cloud: None where WhatsApp is not configured; vault: None where there is no secret key.

    moved: called after a delivery's state has changed, so that others look.
    """

    def __init__(
        self,
        pool: AsyncConnectionPool[psycopg.AsyncConnection[object]],
        cloud: CloudApi | None,
        vault: Vault | None,
        public_url: str,
        moved: Callable[[], None],
    ) -> None:
        self._pool = pool
        self._cloud = cloud
        self._vault = vault
        self._public_url = public_url
        self._moved = moved
        self._limits = self._new_limits()
        self._counting = threading.Lock()
        self._giving_way: set[str] = set()
        self._wanted = asyncio.Event()
        self._account_problem: str | None = None
        self._tasks: dict[UUID, asyncio.Task[None]] = {}

    def _new_limits(self) -> Limits:
        return Limits() if self._cloud is None else Limits(pair_interval_s=self._cloud.settings.pair_interval_s)

    def wake(self) -> None:
        """Something may be due. From the event loop's own thread."""
        self._wanted.set()

    def may_go(self, number: str, *, urgent: bool) -> bool:
        """Whether a WhatsApp message may leave to that number now; it counts as sent then. From any thread.

        What is not urgent gives way to what waits and is.
        """
        with self._counting:
            now = time.monotonic()
            if len(self._tasks) >= IN_FLIGHT or (number in self._giving_way and not urgent):
                return False
            if self._limits.may_send(number, now, urgent=urgent) > 0:
                self._giving_way |= {number} if urgent else set()
                return False
            self._limits.count(number, now, urgent=urgent)
            return True

    def go(self, deliveries: list[Delivery]) -> None:
        """Send what was claimed already, at once. From the event loop's own thread."""
        for delivery in deliveries:
            self._start(delivery)
        self._wanted.set()

    async def begin(self) -> None:
        """Take over from a sender that is gone: what it was sending is unknown, what it sent counts for rates."""
        async with self._pool.connection() as connection:
            await outbox.recover(connection, self._tasks)
            recent = await outbox.recently_sent(connection, REMEMBER_S)
        age = time.time() - time.monotonic()
        with self._counting:
            self._limits = self._new_limits()
            self._limits.replay((number, at.timestamp() - age) for number, at in recent)

    async def run(self) -> None:
        """Send until cancelled; messages in flight are left to `finish`. Raises what says that the database is
        away: begin again then."""
        look_at = 0.0
        while True:
            self._wanted.clear()
            async with self._pool.connection() as connection:
                if time.monotonic() >= look_at:
                    # a commit whose answer was lost has written down as being sent what nobody has
                    await outbox.recover(connection, self._tasks, LOST_AFTER_S)
                    await outbox.resend_unknown(connection)
                    look_at = time.monotonic() + LOOK_EVERY_S
                pause = await self._send_due(connection)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wanted.wait(), min(pause, LOOK_EVERY_S))

    async def finish(self, within_s: float) -> None:
        """Wait for the messages in flight; what has no answer by then is unknown after the next start."""
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=within_s)

    async def _send_due(self, connection: outbox.Connection) -> float:
        """Send what may go now; seconds until more may."""
        free = IN_FLIGHT - len(self._tasks)
        if free <= 0:
            return LOOK_EVERY_S  # whatever ends wakes us
        waiting = await outbox.due(connection, per_person=PER_PERSON, limit=5000)
        self._giving_way.clear()
        chosen, kept, pause = self._choose(waiting, free)
        if kept:
            await outbox.hurry_others(connection, kept)
        if chosen:
            for delivery in await outbox.claim(connection, chosen):
                self._start(delivery)
            self._moved()
            return 0.0
        following = await outbox.next_due_in_s(connection)
        return min(pause, LOOK_EVERY_S if following is None else following)

    def _choose(self, waiting: list[Waiting], free: int) -> tuple[list[UUID], list[UUID], float]:
        """Those that WhatsApp's rates let go now; urgent ones that they keep for long; and how many seconds the
        first of all that wait has to."""
        chosen: list[UUID] = []
        kept: list[UUID] = []
        pause = LOOK_EVERY_S
        for each in waiting:
            if len(chosen) == free:
                break
            if each.channel != "whatsapp" or self.may_go(each.whatsapp, urgent=each.urgent):
                chosen.append(each.id)
                continue
            wait_s = self._limits.may_send(each.whatsapp, time.monotonic(), urgent=each.urgent)
            pause = min(pause, wait_s or LOOK_EVERY_S)
            if each.urgent and wait_s > LONG_S:
                kept.append(each.id)
        return chosen, kept, pause

    def _start(self, delivery: Delivery) -> None:
        task = asyncio.create_task(self._send(delivery))
        self._tasks[delivery.id] = task
        task.add_done_callback(lambda _: self._ended(delivery.id))

    def _ended(self, id: UUID) -> None:
        del self._tasks[id]
        self._wanted.set()
        self._moved()

    async def _send(self, delivery: Delivery) -> None:
        try:
            if delivery.channel == "whatsapp":
                record = await self._by_whatsapp(delivery)
            else:
                record = await self._otherwise(delivery)
        except Exception as problem:
            log.exception("delivery %s could not be sent", delivery.id)
            record = _failing(delivery, Failure(f"The program failed: {type(problem).__name__}"))
        await self._insist(record)

    async def _insist(self, record: "Record") -> None:
        """Write down what became of it, however long the database is away: nobody else knows."""
        pause = 0.05
        while True:
            try:
                async with self._pool.connection() as connection:
                    await record(connection)
                return
            except AWAY as problem:
                log.debug("what became of a message waits for the database: %s", problem)
            except psycopg.Error:
                log.exception("what became of a message could not be written down")
                return  # it is looked for, and is unknown then
            await asyncio.sleep(pause)
            pause = min(pause * 2, 1.0)

    async def _by_whatsapp(self, delivery: Delivery) -> "Record":
        if self._cloud is None and delivery.kind == "code":
            return lambda connection: outbox.not_configured(connection, delivery.id)
        if self._cloud is None:
            return _failing(delivery, Failure("WhatsApp is not set up here any more."))
        content = self._content(delivery)
        if content is None:
            return _failing(delivery, Failure(UNREADABLE_CODE))
        answer = await self._cloud.send(delivery.whatsapp, content, callback_data=str(delivery.id))
        match answer:
            case Taken(wamid, wa_id):
                self._account_problem = None
                return lambda connection: outbox.sent(connection, delivery, wamid, wa_id)
            case Unknown(reason):
                return lambda connection: outbox.unknown(connection, delivery, reason)
            case Refused(code, reason, verdict):
                if verdict == "account" and reason != self._account_problem:
                    log.error("WhatsApp takes no alerts until somebody puts this right: %s", reason)
                    self._account_problem = reason
                if code == PAIR_RATE:
                    with self._counting:
                        self._limits.refused(delivery.whatsapp, time.monotonic())
                return _failing(delivery, after_refusal(reason, code, verdict, delivery.attempt))

    def _content(self, delivery: Delivery) -> messages.Content | None:
        content = delivery.content
        if delivery.kind == "reply":
            if content.get("buttons"):
                return messages.buttons(content["text"], [(each[0], each[1]) for each in content["buttons"]])
            return messages.text(content["text"])
        assert self._cloud is not None
        settings = self._cloud.settings
        if delivery.kind == "code":
            if self._vault is None or "code" not in content:
                return None
            digits = self._vault.decrypt(base64.b64decode(content["code"]))
            return messages.code(settings.code_template, settings.template_language, digits)
        return messages.alert(
            settings.template,
            settings.template_language,
            severity=str(delivery.severity),
            number=int(content["number"]),
            title=str(content["title"]),
            incident_id=str(delivery.incident_id),
            link=self._link(delivery),
        )

    async def _otherwise(self, delivery: Delivery) -> "Record":
        if self._vault is None or delivery.fallback is None:
            return _failing(delivery, Failure(UNREADABLE))
        title = f"{str(delivery.severity).upper()} INC-{delivery.content['number']}: {delivery.content['title']}"
        answer = await send_fallback(self._vault.decrypt(bytes(delivery.fallback)), title, self._link(delivery))
        if answer is None:
            return lambda connection: outbox.sent(connection, delivery, None, None)
        if isinstance(answer, Unknown):
            return lambda connection: outbox.unknown(connection, delivery, answer.reason)
        retry_s = backoff_s("busy", delivery.attempt, _DICE) if delivery.attempt < FALLBACK_TRIES else None
        return _failing(delivery, Failure(answer, None, retry_s, hurry=False))

    def _link(self, delivery: Delivery) -> str:
        return f"{self._public_url}/incidents/INC-{delivery.content['number']}"


Record = Callable[[outbox.Connection], Awaitable[object]]


def after_refusal(reason: str, code: int | None, verdict: Verdict, attempt: int) -> Failure:
    """What follows from WhatsApp's refusal of an attempt."""
    retry_s = None if verdict == "never" else backoff_s(verdict, attempt, _DICE, code=code)
    return Failure(reason, code, retry_s, hurry=verdict != "busy")


def _failing(delivery: Delivery, failure: Failure) -> Record:
    return lambda connection: outbox.failed(connection, delivery.id, failure)
