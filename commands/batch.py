"""Settles a batch of commands: one load, the decisions in order of arrival, one append.

Incidents are remembered after they were written, so that the next command need not load them. What is
remembered may be old: an append on it is caught by its version, and a decision not to append is taken again on
what is loaded.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

from commands.append import Append, Appended, Claim, Key, Loaded
from commands.decide import decide
from commands.event_store import LedgerRecorder, LostConnection
from commands.incident import IncidentCommand, Trigger
from commands.organizations import Known
from commands.outcome import OutcomeUnknown
from commands.workspace import BatchWorkspace, Remembered, Wanted
from domain.errors import IdempotencyKeyReused, Overloaded, Refusal, StaleVersion
from domain.incident import Incident

T = TypeVar("T")

log = logging.getLogger(__name__)

MAX_ATTEMPTS = 50
MAX_REMEMBERED = 2000
GIVE_UP_AFTER_S = 8.0


class AlreadyFolded(Exception):
    """Another process has accounted for these alerts."""


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


class Batches:
    """Settles batches, one at a time: whoever calls takes care of that."""

    def __init__(self, store: LedgerRecorder, organization: Callable[[UUID], Known]) -> None:
        self._store = store
        self._organization = organization
        self._remembered: dict[UUID, Remembered] = {}

    def settle(self, batch: Sequence[Pending]) -> list[Pending]:
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
                return [pending for one in batch for pending in self.settle([one])]
            log.exception("the command %s failed", type(batch[0].command).__name__)
            refusal = problem
        for pending in batch:
            pending.deliver(refusal)
        return []

    def _run(self, batch: Sequence[Pending]) -> list[Pending]:
        now, again = _one_per_key(batch)
        work = BatchWorkspace(self._wanted(now), self._load, self._remembered, self._organization)
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
                if result.outcome == "folded":
                    pending.deliver(AlreadyFolded())
                    continue
                _try_again(pending, again)
        return again

    def _wanted(self, batch: Sequence[Pending]) -> Wanted:
        """What the batch needs: first only what is not remembered, for those to be decided surely all afresh."""
        wanted = Wanted(set(), set())
        for pending in batch:
            wanted.keys.update(pending.command.keys())
            if pending.sure:
                wanted.streams.update(pending.command.streams())
                wanted.keys.update(pending.command.idempotency_keys())
            else:
                wanted.streams.update(id for id in pending.command.streams() if id not in self._remembered)
        return wanted

    def _load(self, wanted: Wanted) -> Loaded:
        return _insist(lambda: self._store.load([*wanted.streams], [*wanted.keys]))

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
        replay = _replay(command, work) if pending.sure else None
        if replay is not None:
            return _Decision(None, replay, work.looked)
        if command.if_match is not None:
            _check_version(command, work)
        draft = decide(command, work)
    except Refusal as refusal:
        return _Decision(None, refusal, work.looked)
    except LostConnection:
        raise
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
    incident, position, opened = work.as_of(held.stream_id, held.version or 1)
    created = isinstance(command, Trigger) and opened
    return Outcome(incident, position, created=created, replayed=True)


def _check_version(command: IncidentCommand, work: BatchWorkspace) -> None:
    incident = work.incident(command.request.organization_id, command.incident_id)
    if incident.version != command.if_match and not work.only_told_since(command.incident_id, command.if_match):
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
