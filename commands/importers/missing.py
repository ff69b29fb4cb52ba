"""What of an incident's history the ledger does not have yet.

A row is known again by the causation_id of its events. Rows that follow all that is there go on with the story.
Rows whose place has passed (they could not be read the time before, say) must not undo what came after them:
they are told by timeline updates, at their own times.
"""

from collections.abc import Sequence
from typing import NamedTuple

from commands.importers import Imported
from domain import events as e
from domain.recorded import Recorded


class Missing(NamedTuple):
    """Events to add to the stream, of so many rows, and how many of these rows come too late for their place."""

    events: tuple[e.IncidentEvent, ...]
    rows: int
    out_of_place: int


def missing(item: Imported, stored: Sequence[Recorded]) -> Missing:
    """What is to be added where `stored` is in the ledger."""
    there = {entry.event.causation_id for entry in stored}
    rows = dict.fromkeys(event.causation_id for event in item.events)
    absent = [row for row in rows if row not in there]
    if not absent:
        return Missing((), 0, 0)
    last = max((n for n, row in enumerate(rows) if row in there), default=-1)
    late = {row for n, row in enumerate(rows) if n < last and row not in there}
    events: list[e.IncidentEvent] = []
    for event in item.events:
        if event.causation_id in late:
            events.append(_told(event))
        elif event.causation_id not in there:
            events.append(event)
    return Missing(tuple(events), len(absent), len(late))


def _told(event: e.IncidentEvent) -> e.UpdatePosted:
    """The event in words, without what it would do."""
    if isinstance(event, e.UpdatePosted):
        return event
    said = event.model_dump(exclude_none=True, exclude=set(e.Event.model_fields))
    words = "; ".join(
        str(value) for key, value in said.items() if key in ("title", "description", "note", "reason")
    )
    body = f"{type(event).__name__}: {words}" if words else type(event).__name__
    meta = {name: getattr(event, name) for name in e.Event.model_fields}
    return e.UpdatePosted(**meta, body=body)
