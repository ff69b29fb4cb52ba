"""Fires the timers that are due: each leads to one command, which decides on the incident as it stands then.

A timer that fires for an incident that somebody has taken on meanwhile does nothing, however late its stop is. The
command carries an idempotency key: a process that dies between command and row fires it again to no effect.
"""

import logging
import threading
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection
from psycopg.rows import class_row
from pydantic import TypeAdapter

from commands.event_store import LedgerRecorder
from commands.executor import Executor
from commands.ids import new_id
from commands.incident import OWN_KEYS, Escalate, Idempotency, IncidentCommand, MissTarget
from domain.decisions import SYSTEM, Request
from domain.errors import Overloaded, Refusal
from domain.escalating import chosen_by, whom
from domain.escalation import Target
from domain.incident import Incident, fold
from workers.escalator.timers import RESPONSE_TARGET

log = logging.getLogger(__name__)

AT_ONCE = 100
LOOK_EVERY_S = 1.0

_TARGETS: TypeAdapter[list[Target]] = TypeAdapter(list[Target])


class Timer(NamedTuple):
    """A timer that is due. now: the database's clock, by which timers go."""

    incident_id: UUID
    cause_position: int
    number: int
    round: int
    targets: Any
    now: datetime


class Firing:
    """Fires in a thread of its own, through the same commands as everybody."""

    def __init__(self, store: LedgerRecorder, executor: Executor) -> None:
        self._store = store
        self._executor = executor
        self._wanted = threading.Event()

    def wake(self) -> None:
        """Timers were set, perhaps such as are due at once. From any thread."""
        self._wanted.set()

    def run(self, connection: Connection[Any], stop: threading.Event) -> None:
        """Fire what is due until `stop`. Raises what says that the database is away."""
        while not stop.is_set():
            self._wanted.clear()
            while self.fire_due(connection) == AT_ONCE and not stop.is_set():
                pass
            self._wanted.wait(self._pause_s(connection))

    def fire_due(self, connection: Connection[Any]) -> int:
        """Fire some of what is due; how many."""
        with connection.cursor(row_factory=class_row(Timer)) as cursor:
            timers = cursor.execute(_DUE, (AT_ONCE,), prepare=True).fetchall()
        for timer in timers:
            try:
                state = self._fire(timer)
            except Overloaded as later:
                log.info("a timer could not be fired yet: %s", later)
                self._wanted.wait(0.2)
                break
            except Refusal as refusal:
                log.error("a timer of incident %s was refused: %s", timer.incident_id, refusal)
                state = "stopped"
            connection.execute(
                _SETTLED, (state, timer.incident_id, timer.cause_position, timer.number), prepare=True
            )
        return len(timers)

    def _fire(self, timer: Timer) -> str:
        stream = self._store.load([timer.incident_id]).streams.get(timer.incident_id, [])
        events = [entry.event for entry in stream]
        incident = fold(timer.incident_id, events)
        if incident is None or incident.status != "triggered" or incident.merged_into is not None:
            return "stopped"
        before = incident.version
        outcome = self._executor.execute(self._command(timer, incident, events))
        return "fired" if outcome.incident.version > before or outcome.replayed else "stopped"

    def _command(self, timer: Timer, incident: Incident, events: list[Any]) -> IncidentCommand:
        request = Request(
            organization_id=incident.organization_id,
            actor=SYSTEM,
            asked_at=timer.now,
            correlation_id=events[0].correlation_id,
            causation_id=new_id(),
        )
        key = f"{OWN_KEYS}timer:{timer.incident_id}:{timer.cause_position}:{timer.number}"
        once = Idempotency(key, timer.incident_id.bytes)
        if timer.number == RESPONSE_TARGET:
            return MissTarget(request=request, incident_id=incident.id, idempotency=once)
        organization = self._executor.organizations.get(incident.organization_id)
        rule = chosen_by(organization, events)
        targets = _TARGETS.validate_python(timer.targets)
        alerted = whom(organization, targets, rule, incident.team, timer.now)
        nobody = not alerted.people and not alerted.everybody
        return Escalate(
            request=request,
            incident_id=incident.id,
            idempotency=once,
            step=timer.number,
            people=tuple(sorted(alerted.people)),
            everybody=alerted.everybody,
            round=timer.round,
            reason="Nobody is on call or in the team that this step alerts." if nobody else None,
        )

    def _pause_s(self, connection: Connection[Any]) -> float:
        row = connection.execute(_NEXT, prepare=True).fetchone()
        return LOOK_EVERY_S if row is None or row[0] is None else min(LOOK_EVERY_S, max(0.0, float(row[0])))


_DUE = """
    select incident_id, cause_position, number, round, targets, clock_timestamp() as now
      from escalation.timers where state = 'pending' and due_at <= clock_timestamp()
     order by due_at, number limit %s"""
_NEXT = """
    select extract(epoch from min(due_at) - clock_timestamp())::float from escalation.timers
     where state = 'pending'"""
_SETTLED = """
    update escalation.timers set state = %s, settled_at = clock_timestamp()
     where incident_id = %s and cause_position = %s and number = %s and state = 'pending'"""
