"""When an incident waits for somebody, set its timers; when somebody takes it on, stop them.

Reacts to the ledger by rows, in the transaction of the checkpoint. The incident is looked at as it is in the
ledger by now, which may be further than the entry: timers that the next entry would stop are not set at all.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

from psycopg import Cursor
from psycopg.types.json import Jsonb

from commands import codec
from domain import events as e
from domain.alerting import ALERTED, STOPS, is_raised
from domain.conditions import Facts
from domain.escalating import chosen_by, policy_for
from domain.escalation import plan
from domain.incident import Incident, fold
from domain.organization import Organization
from domain.quiet import under_maintenance
from domain.recorded import Recorded

RESPONSE_TARGET: Final = 0
"""The number of the timer of the response target; the policy's steps count from 1."""

WINDOW_END: Final = -1
"""The number of the timer of the end of the maintenance window that the incident fell into."""

ALL, STEPS, WINDOW_ENDS = "true", "number >= 1", f"number = {WINDOW_END}"
"""SQL: which timers."""

FOR_THE_PAST = timedelta(seconds=5)
"""Who writes down what happened earlier goes on to write who took it on: that its target had passed is not told
before that."""


class Look(NamedTuple):
    """An incident as it stands, and the events that led there."""

    incident: Incident
    events: list[e.IncidentEvent]


class Timers:
    """organization: gives an organisation as it stands, whoever changed it a moment ago."""

    def __init__(self, organization: Callable[[UUID], Organization]) -> None:
        self._organization = organization

    def react(self, cursor: Cursor[Any], entries: Sequence[Recorded]) -> None:
        """Set and stop what these entries call for. Safe to be told of an entry again."""
        for entry in entries:
            event = entry.event
            if isinstance(event, STOPS):
                self._stop(cursor, entry.stream_id, ALL, before=entry.position)
                continue
            if event.actor.kind == "system" and not isinstance(event, e.MaintenanceEnded | e.TeamAssigned):
                continue  # what was taken over from elsewhere
            match event:
                case e.IncidentTriggered():
                    self._begin(cursor, entry, event)
                case e.MaintenanceEnded():
                    self._climb(cursor, entry, _look(cursor, entry.stream_id))
                case e.SeverityChanged():
                    look = _look(cursor, entry.stream_id)
                    self._move_target(cursor, look.incident)
                    if is_raised(event):  # by somebody who does not wait for the window's end
                        self._stop(cursor, entry.stream_id, WINDOW_ENDS, before=entry.position)
                    if _starts_anew(event):
                        self._climb(cursor, entry, look)
                case e.TeamAssigned() if event.actor.kind != "system" or event.because is not None:
                    look = _look(cursor, entry.stream_id)
                    if not _comes_with_its_own(event, look):
                        self._climb(cursor, entry, look)
                case e.DetailsCorrected() if event.triggered_at is not None:
                    self._move_target(cursor, _look(cursor, entry.stream_id).incident)

    def _begin(self, cursor: Cursor[Any], entry: Recorded, event: e.IncidentTriggered) -> None:
        look = _look(cursor, entry.stream_id)
        if not look.incident.waits:
            return
        due = look.incident.response_due_at
        self._set(
            cursor, entry, RESPONSE_TARGET, due if due > entry.recorded_at else entry.recorded_at + FOR_THE_PAST
        )
        if event.maintenance is None:
            self._climb(cursor, entry, look)
            return
        windows = self._organization(event.organization_id).windows.values()
        named = [window for window in windows if window.name == event.maintenance]
        facts = Facts(event.severity, event.category, event.source, event.labels)
        window = under_maintenance(named, facts, entry.recorded_at)
        ends = (window.end, str(window.id)) if window is not None else (entry.recorded_at, "")
        self._set(cursor, entry, WINDOW_END, ends[0], targets=ends[1])

    def _climb(self, cursor: Cursor[Any], entry: Recorded, look: Look) -> None:
        """Start the policy that applies now, in place of the one that was under way."""
        self._stop(cursor, entry.stream_id, STEPS, before=entry.position)
        if not look.incident.waits or _is_held(look):
            return
        incident = look.incident
        organization = self._organization(incident.organization_id)
        rule = chosen_by(organization, incident)
        policy = policy_for(organization, rule, incident.team, incident.severity)
        if policy is None:
            return
        row = cursor.execute("select clock_timestamp()").fetchone()
        assert row is not None
        # The ledger's times never go back, the clock may: waits count by the clock that they are held to.
        for step in plan(policy, min(entry.recorded_at, row[0])):
            targets = [target.model_dump(mode="json") for target in step.targets]
            self._set(cursor, entry, step.number, step.at, targets=targets, round=step.round)

    def _set(
        self,
        cursor: Cursor[Any],
        entry: Recorded,
        number: int,
        at: datetime,
        *,
        targets: Any = None,
        round: int = 1,
    ) -> None:
        cursor.execute(
            "insert into escalation.timers"
            " (incident_id, cause_position, organization_id, number, round, due_at, targets)"
            " values (%s, %s, %s, %s, %s, %s, %s) on conflict do nothing",
            (
                entry.stream_id,
                entry.position,
                entry.event.organization_id,
                number,
                round,
                at,
                None if targets is None else Jsonb(targets),
            ),
            prepare=True,
        )

    def _stop(self, cursor: Cursor[Any], incident_id: UUID, which: str, *, before: int) -> None:
        cursor.execute(
            b"update escalation.timers set state = 'stopped', settled_at = clock_timestamp()"
            + f" where incident_id = %s and state = 'pending' and cause_position < %s and {which}".encode(),
            (incident_id, before),
            prepare=True,
        )

    def _move_target(self, cursor: Cursor[Any], incident: Incident) -> None:
        cursor.execute(
            "update escalation.timers set due_at = %s"
            " where incident_id = %s and number = %s and state = 'pending'",
            (incident.response_due_at, incident.id, RESPONSE_TARGET),
            prepare=True,
        )


def _look(cursor: Cursor[Any], incident_id: UUID) -> Look:
    """All that happened to the incident until now."""
    rows = cursor.execute(
        "select topic, state from ledger.events where originator_id = %s order by originator_version",
        (incident_id,),
        prepare=True,
        binary=True,
    ).fetchall()
    events = [codec.decode(topic, state) for topic, state in rows]
    incident = fold(incident_id, events)
    assert incident is not None
    return Look(incident, events)


def _is_held(look: Look) -> bool:
    """Whether a maintenance window holds it back: nobody has raised it since, and the window is not over."""
    if look.incident.maintenance is None:
        return False
    return not any(
        isinstance(event, e.MaintenanceEnded) or (isinstance(event, e.SeverityChanged) and is_raised(event))
        for event in look.events
    )


def _comes_with_its_own(event: e.TeamAssigned, look: Look) -> bool:
    """Whether the team was found by what starts the policy by itself, and knows of the team already."""
    first = next(each for each in look.events if each.causation_id == event.causation_id)
    if isinstance(first, e.SeverityChanged):
        return _starts_anew(first)
    return isinstance(first, e.IncidentTriggered | e.MaintenanceEnded)


def _starts_anew(event: e.SeverityChanged) -> bool:
    """Whether the policy begins with it: lowered to what still wakes people, it goes on."""
    return is_raised(event) or event.severity not in ALERTED
