"""Runs commands: those that arrive together are loaded, decided and appended together.

A batch is one round trip to load what its commands need, the decisions in the order of arrival, and one round
trip to append, with one commit. Under load many commands share that cost; alone, a command waits for nobody.

Incidents are remembered after they were written, so that the next command need not load them. What is
remembered may be old: an append on it is caught by its version, and a decision not to append is taken again on
what is loaded.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

from commands.event_store import Append, Appended, Claim, Key, LedgerRecorder, Loaded, LostConnection
from commands.incident import IncidentCommand, Trigger, decide
from commands.workspace import BatchWorkspace, Remembered
from domain.errors import IdempotencyKeyReused, Overloaded, Refusal, StaleVersion
from domain.incident import Incident
from domain.words import Severity

T = TypeVar("T")

log = logging.getLogger(__name__)

MAX_BATCH = 128
MAX_WAITING = 2000
MAX_ATTEMPTS = 50
MAX_REMEMBERED = 2000
GATHER_S = 0.0001
GIVE_UP_AFTER_S = 8.0


class OutcomeUnknown(Overloaded):
    """The database went away while this was being written: it may or may not have been recorded.

    Send it again with the same Idempotency-Key: what was recorded is not recorded twice.
    """


@dataclass(slots=True)
class Outcome:
    """What a command led to.

    incident: as it stood right after. position: the ledger position up to which a reader must have read to
    see it. created: the command opened it. replayed: the answer to an Idempotency-Key seen before.
    """

    incident: Incident
    position: int = 0
    created: bool = False
    replayed: bool = False


class Pending:
    """A command that waits for its outcome, which is delivered once: a Refusal or another exception, too."""

    __slots__ = ("answer", "attempts", "attended", "command", "leads", "sure", "wake")

    def __init__(self, command: IncidentCommand, wake: Callable[["Pending"], None], *, attended: bool) -> None:
        self.command = command
        self.wake = wake
        self.attended = attended
        """A thread waits for it, and can lead."""
        self.answer: Outcome | Exception | None = None
        self.attempts = 0
        self.leads = False
        self.sure = False
        """Decide on nothing that is only remembered."""

    def result(self) -> Outcome:
        """What was delivered. Raises it where it is an exception."""
        assert self.answer is not None
        if isinstance(self.answer, Outcome):
            return self.answer
        raise self.answer

    def deliver(self, answer: Outcome | Exception) -> None:
        if self.answer is None:
            self.answer = answer
            self.wake(self)


class Executor:
    """Takes commands from any thread. One of the threads that wait leads: it takes all that wait as its batch,
    settles it, and hands the lead to one of those that came meanwhile. Commands that no thread waits for (an
    event loop's) are led by a thread of the executor's own.
    """

    def __init__(self, store: LedgerRecorder, targets: Callable[[UUID], Mapping[Severity, int]]) -> None:
        self._store = store
        self._targets = targets
        self._remembered: dict[UUID, Remembered] = {}
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
            again = self._settle(batch)
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

    def _settle(self, batch: Sequence[Pending]) -> list[Pending]:
        """Give each of the batch its outcome, but for those to try again, which are returned.

        What breaks the batch as a whole is looked for one by one, so that one command cannot fail another.
        """
        try:
            return self._run(batch)
        except LostConnection as problem:
            log.warning("the database cannot be reached, %d commands were not taken: %s", len(batch), problem)
            refusal: Exception = Overloaded("The database cannot be reached at the moment.")
        except OutcomeUnknown as problem:
            refusal = problem
        except Exception as problem:
            if len(batch) > 1:
                return [pending for one in batch for pending in self._settle([one])]
            log.exception("the command %s failed", type(batch[0].command).__name__)
            refusal = problem
        for pending in batch:
            pending.deliver(refusal)
        return []

    def _run(self, batch: Sequence[Pending]) -> list[Pending]:
        now, again = _one_per_key(batch)
        work = BatchWorkspace(self._load(now), self._remembered, self._targets)
        decided = [_decide(p, work) for p in now]
        results = iter(self._append([d.append for d in decided if d.append is not None]))
        lost: set[UUID] = set()
        for pending, decision in zip(now, decided, strict=True):
            if decision.append is None:
                if pending.sure and decision.looked.isdisjoint(lost):
                    pending.deliver(decision.answer)
                else:
                    _try_again(pending, again)
                continue
            result = next(results)
            if result.outcome == "appended":
                pending.deliver(self._appended(decision, result, work))
            else:
                lost |= decision.looked
                for id in decision.looked:
                    self._remembered.pop(id, None)
                _try_again(pending, again)
        return again

    def _load(self, batch: Sequence[Pending]) -> Loaded:
        """What the batch needs: first only what is not remembered, for those to be decided surely all afresh."""
        streams: set[UUID] = set()
        keys: set[Key] = set()
        for pending in batch:
            keys.update(pending.command.keys())
            if pending.sure:
                streams.update(pending.command.streams())
                keys.update(pending.command.idempotency_keys())
            else:
                streams.update(id for id in pending.command.streams() if id not in self._remembered)
        return _insist(lambda: self._store.load([*streams], [*keys]))

    def _appended(self, decision: "_Decision", result: Appended, work: BatchWorkspace) -> Outcome:
        """The answer to a command that was written; remembers the incidents as it left them."""
        answer, append = decision.answer, decision.append
        assert isinstance(answer, Outcome) and append is not None
        if result.number is not None:
            answer.incident.number = result.number
        answer.position = result.position or work.position(answer.incident.id)
        if append.events:
            self._remembered[answer.incident.id] = Remembered(answer.incident, answer.position)
            for other in decision.looked - {answer.incident.id}:
                self._remembered.pop(other, None)
            while len(self._remembered) > MAX_REMEMBERED:
                del self._remembered[next(iter(self._remembered))]
        return answer

    def _append(self, appends: Sequence[Append]) -> Sequence[Appended]:
        """Write, and where the connection is lost meanwhile find out by sending the very same again."""
        if not appends:
            return []
        try:
            return _insist(lambda: self._store.append(appends))
        except LostConnection as problem:
            raise OutcomeUnknown(
                "The database went away while this was being written. It may have been recorded: send it again"
                " with the same Idempotency-Key."
            ) from problem


@dataclass(slots=True)
class _Decision:
    """What to write (None: nothing), what to answer, and the incidents it rests on.

    A decision to write nothing is final only where it rests on what was loaded for it: what is remembered, or
    was decided earlier in the batch and not written yet, may not be so.
    """

    append: Append | None
    answer: Outcome | Exception
    looked: set[UUID]


def _decide(pending: Pending, work: BatchWorkspace) -> _Decision:
    command = pending.command
    work.looked = set()
    try:
        replay = _replay(command, work)
        if replay is not None:
            return _Decision(None, replay, work.looked)
        if command.if_match is not None:
            _check_version(command, work)
        draft = decide(command, work)
    except Refusal as refusal:
        return _Decision(None, refusal, work.looked)
    except Exception as problem:
        log.exception("deciding %s failed", type(command).__name__)
        return _Decision(None, problem, work.looked)
    append = work.take(draft)
    incident = work.incident(command.request.organization_id, draft.incident_id).copy()
    outcome = Outcome(incident, created=isinstance(command, Trigger) and incident.id == command.incident_id)
    outcome.position = work.position(incident.id)
    for key in command.idempotency_keys():
        request_hash = command.idempotency.request_hash if command.idempotency else None
        append.claims.append(Claim("take", key, incident.id, request_hash, incident.version))
    nothing = not (append.events or append.claims or append.intake)
    return _Decision(None if nothing else append, outcome, work.looked)


def _replay(command: IncidentCommand, work: BatchWorkspace) -> Outcome | None:
    """The first answer again, where this Idempotency-Key was seen before. Raises IdempotencyKeyReused."""
    if command.idempotency is None:
        return None
    held = work.holder(command.idempotency_keys()[0])
    if held is None:
        return None
    if held.request_hash != command.idempotency.request_hash:
        raise IdempotencyKeyReused("This Idempotency-Key was used for another request.")
    incident, position = work.as_of(held.stream_id, held.version or 1)
    created = isinstance(command, Trigger) and held.version == 1
    return Outcome(incident, position, created=created, replayed=True)


def _check_version(command: IncidentCommand, work: BatchWorkspace) -> None:
    incident = work.incident(command.request.organization_id, command.incident_id)
    if incident.version != command.if_match:
        raise StaleVersion(
            f"INC-{incident.number} is at version {incident.version}, not {command.if_match}.",
            current=incident.version,
        )


def _one_per_key(batch: Sequence[Pending]) -> tuple[list[Pending], list[Pending]]:
    """The batch without the repeats of an Idempotency-Key, and these: they wait for the first one's answer."""
    first: list[Pending] = []
    repeats: list[Pending] = []
    seen: set[Key] = set()
    for pending in batch:
        keys = set(pending.command.idempotency_keys())
        (first if seen.isdisjoint(keys) else repeats).append(pending)
        seen |= keys
    return first, repeats


def _try_again(pending: Pending, again: list[Pending]) -> None:
    pending.attempts += 1
    pending.sure = True
    if pending.attempts < MAX_ATTEMPTS:
        again.append(pending)
    else:
        pending.deliver(Overloaded("Too many others are changing the same incident."))


def _insist(work: Callable[[], T]) -> T:
    """Do it again for as long as the database is away. Raises LostConnection after GIVE_UP_AFTER_S."""
    deadline = time.monotonic() + GIVE_UP_AFTER_S
    pause = 0.02
    while True:
        try:
            return work()
        except LostConnection:
            if time.monotonic() + pause > deadline:
                raise
            time.sleep(pause)
            pause = min(pause * 2, 0.5)
