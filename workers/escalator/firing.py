"""Fires the timers that are due: each leads to one command, which decides on the incident as it stands then.

A timer that fires for an incident that somebody has taken on meanwhile does nothing, however late its stop is. The
command carries an idempotency key: a process that dies between command and row fires it again to no effect.
"""

import logging
import threading
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection
from psycopg.rows import class_row
from pydantic import TypeAdapter

from commands.event_store import LedgerRecorder
from commands.executor import Executor
from commands.ids import new_id
from commands.incident import OWN_KEYS, EndMaintenance, Escalate, Idempotency, IncidentCommand, MissTarget
from domain.conditions import Facts
from domain.decisions import SYSTEM, Request
from domain.errors import Overloaded, Refusal
from domain.escalating import Whom, chosen_by, whom
from domain.escalation import Target
from domain.incident import Incident, fold
from domain.organization import Organization
from domain.quiet import Maintenance, under_maintenance
from workers.escalator.timers import RESPONSE_TARGET, WINDOW_END

log = logging.getLogger(__name__)

AT_ONCE = 100
LOOK_EVERY_S = 1.0
SET_BACK = timedelta(seconds=1)

_TARGETS: TypeAdapter[list[Target]] = TypeAdapter(list[Target])


class Timer(NamedTuple):
    """A timer that is due. now: the database's clock, by which timers go.

    targets: whom a step alerts; of the end of a maintenance window, the window's id.
    """

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
        self._latest: datetime | None = None

    def wake(self) -> None:
        """Timers were set, perhaps such as are due at once. From any thread."""
        self._wanted.set()

    def run(self, connection: Connection[Any], stop: threading.Event) -> None:
        """Fire what is due until `stop`. Raises what says that the database is away."""
        while not stop.is_set():
            self._wanted.clear()
            self.keep_pace(connection)
            self._look_at_windows(connection)
            while self.fire_due(connection) == AT_ONCE and not stop.is_set():
                pass
            self._wanted.wait(self._pause_s(connection))

    def keep_pace(self, connection: Connection[Any]) -> None:
        """A clock that was set back must not hold timers back: they are set back as much. The latest time known
        survives a restart in the row by which this follower says that it lives."""
        if self._latest is None:
            row = connection.execute(_SEEN).fetchone()
            self._latest = row[0] if row is not None else None
        row = connection.execute("select clock_timestamp()", prepare=True).fetchone()
        assert row is not None
        now: datetime = row[0]
        if self._latest is not None and self._latest - now > SET_BACK:
            log.warning("the database's clock was set back by %s: so are the timers", self._latest - now)
            connection.execute(_SET_BACK, (self._latest - now,))
        self._latest = now

    def _look_at_windows(self, connection: Connection[Any]) -> None:
        """What was held back by a window that has been cancelled is due now."""
        for organization_id, window in connection.execute(_WINDOWS, prepare=True).fetchall():
            windows = self._executor.organizations.get(organization_id).windows
            if not any(str(id) == window for id in windows):
                connection.execute(_CANCELLED, (organization_id, window))

    def fire_due(self, connection: Connection[Any]) -> int:
        """Fire some of what is due; how many."""
        with connection.cursor(row_factory=class_row(Timer)) as cursor:
            timers = cursor.execute(_DUE, (AT_ONCE,), prepare=True).fetchall()
        for timer in timers:
            try:
                state = self._fire(connection, timer)
            except Overloaded as later:
                log.info("a timer could not be fired yet: %s", later)
                self._wanted.wait(0.2)
                break
            except Refusal as refusal:
                log.error("a timer of incident %s was refused: %s", timer.incident_id, refusal)
                state = "stopped"
            if isinstance(state, datetime):
                connection.execute(_LATER, (state, timer.incident_id, timer.cause_position, timer.number))
                continue
            connection.execute(
                _SETTLED, (state, timer.incident_id, timer.cause_position, timer.number), prepare=True
            )
        return len(timers)

    def _fire(self, connection: Connection[Any], timer: Timer) -> str | datetime:
        """What became of it: fired, stopped, or when it is due instead."""
        stream = self._store.load([timer.incident_id]).streams.get(timer.incident_id, [])
        events = [entry.event for entry in stream]
        incident = fold(timer.incident_id, events)
        if incident is None or incident.status != "triggered" or incident.merged_into is not None:
            return "stopped"
        if timer.number == RESPONSE_TARGET and incident.response_due_at > timer.now:
            return incident.response_due_at  # the trigger was corrected a moment ago
        organization = self._executor.organizations.now(incident.organization_id)
        if timer.number == WINDOW_END and (window := _held_by(organization, incident, timer.now)) is not None:
            return window.end
        before = incident.version
        command = self._command(connection, timer, incident, organization, events[0].correlation_id)
        outcome = self._executor.execute(command)
        return "fired" if outcome.incident.version > before or outcome.replayed else "stopped"

    def _command(
        self,
        connection: Connection[Any],
        timer: Timer,
        incident: Incident,
        organization: Organization,
        correlation_id: UUID,
    ) -> IncidentCommand:
        request = Request(
            organization_id=incident.organization_id,
            actor=SYSTEM,
            asked_at=timer.now,
            correlation_id=correlation_id,
            causation_id=new_id(),
        )
        key = f"{OWN_KEYS}timer:{timer.incident_id}:{timer.cause_position}:{timer.number}"
        once = Idempotency(key, timer.incident_id.bytes)
        if timer.number == RESPONSE_TARGET:
            return MissTarget(request=request, incident_id=incident.id, idempotency=once)
        if timer.number == WINDOW_END:
            return EndMaintenance(request=request, incident_id=incident.id, idempotency=once)
        rule = chosen_by(organization, incident)
        targets = _TARGETS.validate_python(timer.targets)
        alerted = whom(organization, targets, rule, incident.team, timer.now)
        return Escalate(
            request=request,
            incident_id=incident.id,
            idempotency=once,
            step=timer.number,
            people=tuple(sorted(alerted.people)),
            everybody=alerted.everybody,
            round=timer.round,
            reason=_nobody(connection, incident.organization_id, alerted),
        )

    def _pause_s(self, connection: Connection[Any]) -> float:
        row = connection.execute(_NEXT, prepare=True).fetchone()
        return LOOK_EVERY_S if row is None or row[0] is None else min(LOOK_EVERY_S, max(0.0, float(row[0])))


def _held_by(organization: Organization, incident: Incident, at: datetime) -> Maintenance | None:
    """The window that still holds it back, the one that it fell into or another."""
    facts = Facts(incident.severity, incident.category, incident.source, incident.labels)
    return under_maintenance(organization.windows.values(), facts, at)


def _nobody(connection: Connection[Any], organization_id: UUID, alerted: Whom) -> str | None:
    """Why a step reaches nobody, in words; None where it may reach somebody."""
    if not alerted.people and not alerted.everybody:
        return "Nobody is on call or in the team that this step alerts."
    values = (organization_id, alerted.everybody, list(alerted.people))
    if connection.execute(_REACHABLE, values, prepare=True).fetchone() is None:
        return "Nobody whom this step alerts has a number to be alerted on."
    return None


_DUE = """
    select incident_id, cause_position, number, round, targets, clock_timestamp() as now
      from escalation.timers where state = 'pending' and due_at <= clock_timestamp()
     order by due_at, number limit %s"""
_NEXT = """
    select extract(epoch from min(due_at) - clock_timestamp())::float from escalation.timers
     where state = 'pending'"""
_LATER = """
    update escalation.timers set due_at = %s
     where incident_id = %s and cause_position = %s and number = %s and state = 'pending'"""
_WINDOWS = """
    select distinct organization_id, targets #>> '{}' from escalation.timers
     where state = 'pending' and number = -1 and due_at > clock_timestamp()"""
_CANCELLED = """
    update escalation.timers set due_at = clock_timestamp()
     where state = 'pending' and number = -1 and organization_id = %s and targets #>> '{}' = %s"""
_SEEN = "select seen_at from stream.followers where name = 'escalate'"
_SET_BACK = "update escalation.timers set due_at = due_at - %s where state = 'pending'"
_REACHABLE = """
    select 1 from notify.recipients r left join access.people p on p.id = r.person_id
     where r.organization_id = %s and r.removed_at is null and coalesce(p.role, 'responder') <> 'member'
       and p.disabled_at is null and (%s or r.person_id = any (%s)) limit 1"""
_SETTLED = """
    update escalation.timers set state = %s, settled_at = clock_timestamp()
     where incident_id = %s and cause_position = %s and number = %s and state = 'pending'"""
