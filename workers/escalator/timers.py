"""When an incident waits for somebody, set its timers; when somebody takes it on, stop them.

Reacts to the ledger by rows, in the transaction of the checkpoint. The incident is looked at as it is in the
ledger by now, which may be further than the entry: timers that the next entry would stop are not set at all.
"""

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from psycopg import Cursor
from psycopg.types.json import Jsonb

from commands import codec
from domain import events as e
from domain.alerting import STOPS
from domain.escalating import chosen_by, policy_for
from domain.escalation import plan
from domain.incident import fold
from domain.organization import Organization
from domain.recorded import Recorded

RESPONSE_TARGET = 0
"""The number of the timer of the response target; the policy's steps count from 1."""


class Timers:
    """organization: gives an organisation as it stands."""

    def __init__(self, organization: Callable[[UUID], Organization]) -> None:
        self._organization = organization

    def react(self, cursor: Cursor[Any], entries: Sequence[Recorded]) -> None:
        """Set and stop what these entries call for. Safe to be told of an entry again."""
        for entry in entries:
            event = entry.event
            match event:
                case e.IncidentTriggered() if event.actor.kind != "system" and event.maintenance is None:
                    self._set(cursor, entry)
                case e.SeverityChanged() if event.actor.kind != "system":
                    self._stop(cursor, entry.stream_id, before=entry.position)
                    self._set(cursor, entry)
                case e.DetailsCorrected() if event.triggered_at is not None:
                    self._move_target(cursor, entry.stream_id)
                case _ if isinstance(event, STOPS):
                    self._stop(cursor, entry.stream_id, before=entry.position)

    def _set(self, cursor: Cursor[Any], entry: Recorded) -> None:
        events = _events(cursor, entry.stream_id)
        incident = fold(entry.stream_id, events)
        if incident is None or incident.status != "triggered":
            return
        organization = self._organization(incident.organization_id)
        rule = chosen_by(organization, events)
        policy = policy_for(organization, rule, incident.team, incident.severity)
        rows: list[tuple[Any, ...]] = [(RESPONSE_TARGET, 1, incident.response_due_at, None)]
        for step in plan(policy, entry.recorded_at) if policy is not None else ():
            targets = Jsonb([target.model_dump(mode="json") for target in step.targets])
            rows.append((step.number, step.round, step.at, targets))
        cursor.executemany(
            "insert into escalation.timers"
            " (incident_id, cause_position, organization_id, number, round, due_at, targets)"
            " values (%s, %s, %s, %s, %s, %s, %s) on conflict do nothing",
            [(entry.stream_id, entry.position, incident.organization_id, *row) for row in rows],
        )

    def _stop(self, cursor: Cursor[Any], incident_id: UUID, *, before: int) -> None:
        cursor.execute(
            "update escalation.timers set state = 'stopped', settled_at = clock_timestamp()"
            " where incident_id = %s and state = 'pending' and cause_position < %s",
            (incident_id, before),
            prepare=True,
        )

    def _move_target(self, cursor: Cursor[Any], incident_id: UUID) -> None:
        incident = fold(incident_id, _events(cursor, incident_id))
        if incident is not None:
            cursor.execute(
                "update escalation.timers set due_at = %s where incident_id = %s and number = %s"
                " and state = 'pending'",
                (incident.response_due_at, incident_id, RESPONSE_TARGET),
                prepare=True,
            )


def _events(cursor: Cursor[Any], incident_id: UUID) -> list[e.IncidentEvent]:
    """All that happened to the incident until now."""
    rows = cursor.execute(
        "select topic, state from ledger.events where originator_id = %s order by originator_version",
        (incident_id,),
        prepare=True,
        binary=True,
    ).fetchall()
    return [codec.decode(topic, state) for topic, state in rows]
