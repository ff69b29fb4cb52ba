"""What of an incident's history the ledger does not have yet.

A row is known again by the causation_id of its events. What an incident says of itself (opened, acknowledged,
ended: OWN_ROWS) is the same fact as a row that says so at the same time. Rows that follow all that is there go on
with the story. Rows whose place has passed (they could not be read the time before, say) must not undo what came
after them: they are told by timeline updates, at their own times.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from commands.importers import Imported
from commands.importers.naming import named
from commands.importers.story import OWN_ROWS
from domain import events as e
from domain.incident import Incident, fold
from domain.recorded import Recorded

SAME_FACT = timedelta(minutes=1)
"""So far apart are at most the two times that one acknowledgement or resolve has in its log and its incident."""

_STATUS = (e.IncidentTriggered, e.IncidentAcknowledged, e.IncidentResolved)
_WORDS = ("title", "description", "note", "reason", "because", "team")
Rows = dict[UUID, list[e.IncidentEvent]]


class Missing(NamedTuple):
    """Events to add to the stream, of so many rows, and how many of these rows come too late for their place."""

    events: tuple[e.IncidentEvent, ...]
    rows: int
    out_of_place: int


def missing(item: Imported, stored: Sequence[Recorded]) -> Missing:
    """What is to be added where `stored` is in the ledger. Never a second opening."""
    there = {entry.event.causation_id for entry in stored}
    rows: Rows = {}
    for event in item.events:
        rows.setdefault(event.causation_id, []).append(event)
    if rows.keys() <= there:
        return Missing((), 0, 0)
    incident = fold(item.stream_id, (entry.event for entry in stored))
    assert incident is not None  # the stream is there
    same = _same_facts(item, rows, stored)
    beginning = stored[0].event.causation_id in rows or next(iter(rows)) in same
    last = _last_known(item, rows, there | same, stored)
    events: list[e.IncidentEvent] = []
    count = late = 0
    for n, (row, told) in enumerate(rows.items()):
        if row in there:
            continue
        passed = n <= last
        more: list[e.IncidentEvent]
        if passed:
            more = [_in_words(event) for event in told if row not in same or _says_more(event, incident)]
        else:
            more = list(_going_on(told, incident, beginning))
        if more:
            count += 1
            late += passed
            events += more
    return Missing(tuple(events), count, late)


def _same_facts(item: Imported, rows: Rows, stored: Sequence[Recorded]) -> set[UUID]:
    """The rows that say what is there under another key: one of the two is what the incident says of itself."""
    own = {named(item.events[0].correlation_id, key) for key in OWN_ROWS}
    left = [entry.event for entry in stored if isinstance(entry.event, _STATUS)]
    there = {event.causation_id for event in left}
    same: set[UUID] = set()
    for row, told in rows.items():
        if row in there:
            continue
        for kind in (type(event) for event in told if isinstance(event, _STATUS)):
            at = told[0].occurred_at
            for other in left:
                if (
                    type(other) is kind
                    and (row in own) != (other.causation_id in own)
                    and other.causation_id not in rows
                    and (kind is e.IncidentTriggered or abs(other.occurred_at - at) <= SAME_FACT)
                ):
                    left.remove(other)
                    same.add(row)
                    break
    return same


def _last_known(item: Imported, rows: Rows, known: set[UUID], stored: Sequence[Recorded]) -> int:
    """The place of the last row that is there; where that is only the opening, of the last one that is older than
    all that was imported; -1 where there is none."""
    last = max((n for n, row in enumerate(rows) if row in known), default=-1)
    if last > 0:
        return last
    imported = item.events[0].correlation_id
    newest = max(
        (entry.event.occurred_at for entry in stored if entry.event.correlation_id == imported), default=None
    )
    return max((n for n, told in enumerate(rows.values()) if newest and _time(told) < newest), default=last)


def _time(told: list[e.IncidentEvent]) -> datetime:
    return max(event.occurred_at for event in told)


def _says_more(event: e.IncidentEvent, incident: Incident) -> bool:
    """Whether an event that tells a known fact has words that are not there yet."""
    if isinstance(event, e.IncidentTriggered):
        return bool(event.description) and event.description != incident.description
    return bool(getattr(event, "note", None)) or not isinstance(event, _STATUS)


def _going_on(told: list[e.IncidentEvent], incident: Incident, beginning: bool) -> list[e.IncidentEvent]:
    """A row that follows what is there: what it changes there. beginning: its story was told from the start, so
    that a second resolve means one."""
    over = not incident.is_open
    works = any(isinstance(event, e.InvestigationStarted) for event in told)
    made: list[e.IncidentEvent] = []
    for event in told:
        match event:
            case e.IncidentTriggered() if over and len(told) == 1:
                made.append(e.IncidentReopened(**_meta(event), reason="Open again"))
            case e.IncidentTriggered():
                made += _opened_again(event, told, incident)
            case e.IncidentAcknowledged() if over and works:
                made.append(e.IncidentReopened(**_meta(event), reason=event.note or "Active again"))
            case e.IncidentAcknowledged() if over or incident.acknowledged_at is not None:
                made.append(_in_words(event))
            case e.InvestigationStarted() if over or incident.investigating_at is not None:
                pass  # said by the event before it
            case e.IncidentResolved() if over and not beginning:
                made.append(_in_words(event))
            case e.IncidentReopened() if not over:
                made.append(_in_words(event))
            case e.SeverityChanged() if event.severity == incident.severity:
                made += [_in_words(event)] if event.reason else []
            case e.SeverityChanged():
                made.append(event.model_copy(update={"previous": incident.severity}))
            case _:
                made.append(event)
    if not made:
        made = [_in_words(told[0])]
    for event in made:
        incident.apply(event)
    return made


def _opened_again(
    event: e.IncidentTriggered, told: list[e.IncidentEvent], incident: Incident
) -> Iterator[e.IncidentEvent]:
    """What the first row of a later export says of an incident that was opened long ago."""
    meta = _meta(event) | {"occurred_at": _time(told)}
    if event.labels != incident.labels:
        yield e.DetailsCorrected(**meta, labels=event.labels, reason="Imported again")
    if event.severity != incident.severity:
        yield e.SeverityChanged(
            **meta, severity=event.severity, previous=incident.severity, response_target_s=event.response_target_s
        )
    if event.team != incident.team:
        yield e.TeamAssigned(**meta, team=event.team)


def _meta(event: e.IncidentEvent) -> dict[str, Any]:
    return {name: getattr(event, name) for name in e.Event.model_fields}


def _in_words(event: e.IncidentEvent) -> e.UpdatePosted:
    """The event in words, without what it would do."""
    if isinstance(event, e.UpdatePosted):
        return event
    said = event.model_dump(exclude_none=True, exclude=set(e.Event.model_fields))
    if person := said.pop("person_id", None):
        said["because"] = f"person {person.hex[:8]} {said.get('because', '')}".rstrip()
    words = "; ".join(str(value) for key, value in said.items() if key in _WORDS)
    body = f"{type(event).__name__}: {words}" if words else type(event).__name__
    return e.UpdatePosted(**_meta(event), body=body)
