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
from psycopg.types.json import Jsonb
from pydantic import TypeAdapter

from commands.event_store import LedgerRecorder
from commands.executor import Executor
from commands.ids import new_id
from commands.incident import OWN_KEYS, EndMaintenance, Escalate, Idempotency, IncidentCommand, MissTarget
from domain.conditions import Facts
from domain.decisions import SYSTEM, Request
from domain.errors import Overloaded, Refusal
from domain.escalating import Whom, chosen_by, policy_for, whom
from domain.escalation import Target
from domain.incident import Incident, fold
from domain.organization import Organization
from domain.quiet import Maintenance, under_maintenance
from workers.escalator.timers import RESPONSE_TARGET, WINDOW_END

log = logging.getLogger(__name__)

AT_ONCE = 100
LOOK_EVERY_S = 1.0
SET_BACK = timedelta(seconds=1)
LATEST = 2**62

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


class Later(NamedTuple):
    """When a timer is due instead. window: the maintenance window that holds it back now, if one does."""

    at: datetime
    window: Jsonb | None = None


class Firing:
    """Fires in a thread of its own, through the same commands as everybody."""

    def __init__(self, store: LedgerRecorder, executor: Executor) -> None:
        self._store = store
        self._executor = executor
        self._wanted = threading.Event()
        self._latest: datetime | None = None
        self._up_to = 0

    def begin(self, connection: Connection[Any]) -> None:
        """This process leads now. When the follower said last that it lives tells whether the clock was set back
        since; whatever is waiting was set before that."""
        row = connection.execute(_SEEN).fetchone()
        self._latest = row[0] if row is not None else None
        self._up_to = LATEST
        self.keep_pace(connection)

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
        """A clock that was set back must not hold the steps back: those that were set by the clock as it was are
        set back as much. Targets and windows end at a time of the clock, whatever it does."""
        row = connection.execute(_CLOCK, prepare=True).fetchone()
        assert row is not None
        now, up_to = row
        if self._latest is not None and self._latest - now > SET_BACK:
            log.warning("the database's clock was set back by %s: so are the steps that wait", self._latest - now)
            with connection.transaction():  # or whoever leads after a kill would set them back once more
                connection.execute(_SET_BACK, (self._latest - now, self._up_to))
                connection.execute(_SEEN_NOW)
        self._latest, self._up_to = now, up_to

    def _look_at_windows(self, connection: Connection[Any]) -> None:
        """What a window holds back is due when it ends, which may be earlier by now; one that is gone, at once."""
        for organization_id, held_by in connection.execute(_WINDOWS, prepare=True).fetchall():
            windows = self._executor.organizations.get(organization_id).windows
            end = next((window.end for id, window in windows.items() if str(id) == held_by), None)
            connection.execute(
                _ENDS, {"organization": organization_id, "window": held_by, "end": end}, prepare=True
            )

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
            if isinstance(state, Later):
                values = (state.at, state.window, timer.incident_id, timer.cause_position, timer.number)
                connection.execute(_LATER, values, prepare=True)
                continue
            connection.execute(
                _SETTLED, (state, timer.incident_id, timer.cause_position, timer.number), prepare=True
            )
        return len(timers)

    def _fire(self, connection: Connection[Any], timer: Timer) -> str | Later:
        """What became of it: fired, stopped, or when it is due instead."""
        stream = self._store.load([timer.incident_id]).streams.get(timer.incident_id, [])
        events = [entry.event for entry in stream]
        incident = fold(timer.incident_id, events)
        if incident is None or not incident.waits:
            return "stopped"
        if timer.number == RESPONSE_TARGET and incident.response_due_at > timer.now:
            return Later(incident.response_due_at)  # the trigger was corrected a moment ago
        organization = self._executor.organizations.now(incident.organization_id)
        if timer.number == WINDOW_END and (window := _held_by(organization, incident, timer.now)) is not None:
            return Later(window.end, Jsonb(str(window.id)))
        rule = chosen_by(organization, incident)
        if timer.number > 0 and policy_for(organization, rule, incident.team, incident.severity) is None:
            return "stopped"  # lowered a moment ago
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
    update escalation.timers set due_at = %s, targets = coalesce(%s, targets)
     where incident_id = %s and cause_position = %s and number = %s and state = 'pending'"""
_WINDOWS = """
    select distinct organization_id, targets #>> '{}' from escalation.timers
     where state = 'pending' and number = -1 and due_at > clock_timestamp()"""
_ENDS = """
    update escalation.timers set due_at = coalesce(%(end)s, clock_timestamp())
     where state = 'pending' and number = -1 and organization_id = %(organization)s
       and targets #>> '{}' = %(window)s and due_at > coalesce(%(end)s, clock_timestamp())"""
_SEEN = "select seen_at from stream.followers where name = 'escalate'"
_CLOCK = """
    select clock_timestamp(), coalesce(max(cause_position), 0) from escalation.timers where state = 'pending'"""
_SEEN_NOW = "update stream.followers set seen_at = clock_timestamp() where name = 'escalate'"
_SET_BACK = """
    update escalation.timers set due_at = due_at - %s
     where state = 'pending' and number > 0 and cause_position <= %s"""
_REACHABLE = """
    select 1 from notify.recipients r left join access.people p on p.id = r.person_id
     where r.organization_id = %s and r.removed_at is null and coalesce(p.role, 'responder') <> 'member'
       and p.disabled_at is null and (%s or r.person_id = any (%s)) limit 1"""
_SETTLED = """
    update escalation.timers set state = %s, settled_at = clock_timestamp()
     where incident_id = %s and cause_position = %s and number = %s and state = 'pending'"""
