"""An event as the ledger holds it: the fact, and where and when it was written."""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from domain.events import IncidentEvent


class Recorded(NamedTuple):
    """One entry of the ledger.

    position: its place in the whole ledger, rising in commit order, gaps are normal.
    stream_id, version: the incident, and the event's place among its events, from 1 without gaps.
    recorded_at: when it was written (UTC); rises strictly with position.
    """

    position: int
    stream_id: UUID
    version: int
    recorded_at: datetime
    event: IncidentEvent

    @property
    def type(self) -> str:
        return type(self.event).__name__


class Page(NamedTuple):
    """The next entries of the ledger, all those this program understands up to and including `upto`."""

    entries: list[Recorded]
    upto: int
