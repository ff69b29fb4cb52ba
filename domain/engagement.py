"""Who had an incident in hand, and from when to when."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from domain import events as e
from domain.facts import IncidentFacts

Time = TypeVar("Time", datetime, datetime | None)


@dataclass(kw_only=True)
class Engagement(IncidentFacts):
    """The facts of an incident, and the engagements with it: three lists, a person, a beginning, and an end (null
    while it lasts) at each place. Somebody who acknowledges and is assigned then is there twice, as either may be
    corrected by itself; times that overlap are counted once.

    People are engaged from acknowledging the incident, beginning to work on it or being assigned to it until it is
    resolved, or, who led it, until somebody else is assigned. Reopening engages its lead again, or who reopened it
    where it has none. A corrected acknowledgement or resolve moves what began or ended with it.
    """

    engaged: list[UUID] = field(default_factory=list)
    engaged_from: list[datetime] = field(default_factory=list)
    engaged_until: list[datetime | None] = field(default_factory=list)

    def apply(self, event: e.IncidentEvent) -> None:
        """Take one more event into account."""
        was_open, lead = self.is_open, self.assignee
        acknowledged_at, resolved_at = self.acknowledged_at, self.resolved_at
        IncidentFacts.apply(self, event)
        if acknowledged_at is not None and self.acknowledged_at not in (None, acknowledged_at):
            self.engaged_from = _moved(self.engaged_from, acknowledged_at, self.acknowledged_at)
        if resolved_at is not None and self.resolved_at not in (None, resolved_at):
            self.engaged_until = _moved(self.engaged_until, resolved_at, self.resolved_at)
        if not self.is_open:
            if was_open:
                self.engaged_until = [until or event.occurred_at for until in self.engaged_until]
            return
        match event:
            case e.IncidentAcknowledged() | e.InvestigationStarted():
                self._engage(_person(event.actor), event.occurred_at)
            case e.IncidentReopened():
                self._engage(self.assignee or _person(event.actor), event.occurred_at)
            case e.ResponderAssigned():
                if lead != self.assignee:
                    self._release(lead, event.occurred_at)
                self._engage(self.assignee, event.occurred_at)

    def _engage(self, person: UUID | None, at: datetime) -> None:
        if person is not None:
            self.engaged.append(person)
            self.engaged_from.append(at)
            self.engaged_until.append(None)

    def _release(self, person: UUID | None, at: datetime) -> None:
        for n, (engaged, until) in enumerate(zip(self.engaged, self.engaged_until, strict=True)):
            if engaged == person and until is None:
                self.engaged_until[n] = at


def _moved(times: list[Time], old: Time, new: Time) -> list[Time]:
    return [new if at == old else at for at in times]


def _person(actor: e.Actor) -> UUID | None:
    return actor.id if actor.kind in ("person", "whatsapp") else None
