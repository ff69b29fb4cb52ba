"""Runs commands: those that arrive together are loaded, decided and appended together.

A batch is one round trip to load what its commands need, the decisions in the order of arrival, and one round
trip to append, with one commit. Under load many commands share that cost; alone, a command waits for nobody.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from commands.batch import Batches, Outcome, Pending
from commands.event_store import LedgerRecorder
from commands.incident import IncidentCommand
from commands.organizations import Organizations
from commands.outcome import OutcomeUnknown
from domain.errors import Overloaded

MAX_BATCH = 128
MAX_WAITING = 2000
GATHER_S = 0.0001


class Executor:
    """Takes commands from any thread. One of the threads that wait leads: it takes all that wait as its batch,
    settles it, and hands the lead to one of those that came meanwhile. Commands that no thread waits for (an
    event loop's) are led by a thread of the executor's own.
    """

    def __init__(self, store: LedgerRecorder) -> None:
        self.organizations = Organizations(store)
        self._batches = Batches(store, self.organizations.known)
        self._queue: deque[Pending] = deque()
        self._lock = threading.Lock()
        self._led = False
        self._last_batch = 0
        self._closed = False
        self._lead_wanted = threading.Semaphore(0)
        self._handed = False
        self._thread: threading.Thread | None = None

    def execute(self, command: IncidentCommand) -> Outcome:
        """Run one command and wait for it. Raises its Refusal, Overloaded when too many wait."""
        gate = threading.Lock()
        gate.acquire()
        pending = Pending(command, lambda _: gate.release(), attended=True)
        if not self._join(pending):
            gate.acquire()
            if not pending.leads:
                return pending.result()
        self._lead(pending)
        return pending.result()

    def submit(self, command: IncidentCommand, wake: Callable[[Pending], None]) -> Pending:
        """Run one command; `wake` is called from another thread when its answer is there.

        Raises Overloaded when too many wait.
        """
        pending = Pending(command, wake, attended=False)
        if self._join(pending):
            self._hand_over(pending)
        return pending

    async def run(self, command: IncidentCommand, *, within_s: float) -> Outcome:
        """Run one command from an event loop. Raises its Refusal, OutcomeUnknown when no answer comes in time."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Pending] = loop.create_future()

        def settle(pending: Pending) -> None:
            if not done.done():
                done.set_result(pending)

        def wake(pending: Pending) -> None:
            with suppress(RuntimeError):  # the loop has ended: nobody waits any more
                loop.call_soon_threadsafe(settle, pending)

        self.submit(command, wake)
        try:
            async with asyncio.timeout(within_s):
                return (await done).result()
        except TimeoutError:
            raise OutcomeUnknown(
                "No answer from the database in time. It may have been recorded: send it again with the same"
                " Idempotency-Key."
            ) from None

    def waiting(self) -> int:
        """How many commands wait."""
        return len(self._queue)

    def close(self) -> None:
        """Take no more commands, and finish those that were taken."""
        with self._lock:
            self._closed = True
        self._lead_wanted.release()
        if self._thread is not None:
            self._thread.join()

    def _join(self, pending: Pending) -> bool:
        """Put it in the queue; whether it has to be led."""
        with self._lock:
            if self._closed or len(self._queue) >= MAX_WAITING:
                raise Overloaded("Too many requests are waiting to be written.")
            self._queue.append(pending)
            lead, self._led = not self._led, True
            return lead

    def _lead(self, mine: Pending | None) -> None:
        """Settle batch after batch until `mine` has its answer, or nothing waits; then hand the lead on."""
        while True:
            with self._lock:
                if mine is not None and mine.answer is not None:
                    following = self._queue[0] if self._queue else None
                    self._led = following is not None
                    break
                if not self._queue:
                    following, self._led = None, False
                    break
                few = len(self._queue) < self._last_batch
            if few:
                time.sleep(GATHER_S)  # those just answered are about to come again: better one batch than two
            with self._lock:
                batch = [self._queue.popleft() for _ in range(min(len(self._queue), MAX_BATCH))]
                self._last_batch = len(batch)
            again = self._batches.settle(batch)
            with self._lock:
                self._queue.extendleft(reversed(again))
        if following is not None:
            self._hand_over(following)
        elif self._closed:
            self._lead_wanted.release()

    def _hand_over(self, following: Pending) -> None:
        if following.attended:
            following.leads = True
            following.wake(following)
            return
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._lead_unattended, name="executor", daemon=True)
                self._thread.start()
        self._handed = True
        self._lead_wanted.release()

    def _lead_unattended(self) -> None:
        while True:
            self._lead_wanted.acquire()
            if self._handed:
                self._handed = False
                self._lead(None)
            if self._closed and not self._queue:
                return
