"""What an import did, so that all that was read is accounted for."""

from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import UUID

from commands.importers import Imported, LeftOut, Unreadable

LISTED = 10_000
"""How many places of a kind are listed; beyond, they are counted only, or a file of rubbish would fill the
memory."""


class Done(NamedTuple):
    """What became of one incident: how many of its rows and events were written now, how many of these rows only
    as updates since their place had passed, and whether some of it was there before."""

    rows: int
    events: int
    out_of_place: int = 0
    there: bool = False


@dataclass(slots=True)
class Report:
    """What an import did, or with `dry_run` would do.

    Every row is in one of four: `rows_read == rows_taken + rows_already_there + rows_left_out + rows_unreadable`.
    What is said of the file (`incidents`, `updates_kept`, `reopenings`, `resolved_by_closing`, `left_open`,
    `people`) includes the incidents that were in the ledger already.
    """

    dry_run: bool = False
    rows_read: int = 0
    rows_taken: int = 0
    rows_already_there: int = 0
    rows_left_out: int = 0
    rows_unreadable: int = 0
    incidents: int = 0
    incidents_taken: int = 0
    incidents_completed: int = 0
    """Incidents that were in the ledger before, and of which the file had rows that were not."""
    already_there: int = 0
    """Incidents that were in the ledger before with all their rows, whoever wrote them."""
    events_written: int = 0
    updates_kept: int = 0
    """Rows that are told by a timeline update, because no other event says what they say."""
    out_of_place: int = 0
    """Rows that came when later ones were in the ledger already: they are told by a timeline update, too."""
    reopenings: int = 0
    resolved_by_closing: list[str] = field(default_factory=list)
    """References of the incidents that the file closed without having resolved them."""
    left_open: list[str] = field(default_factory=list)
    """References of the incidents that the file ends without what its format counts as resolved."""
    left_out: list[tuple[int, str]] = field(default_factory=list)
    """Line (or item) of the file and rule."""
    unreadable: list[tuple[int, str]] = field(default_factory=list)
    """Line (or item) of the file and reason."""
    people: dict[UUID, str] = field(default_factory=dict)
    """The names behind the person ids in the events, for the caller to make people of."""

    unknown: dict[str, int] = field(default_factory=dict)
    """Words of the file (`state Mystery`) that mean nothing here, and how often each came: at most LISTED."""

    def pass_over(self, place: Unreadable | LeftOut) -> None:
        """Account for what is not taken."""
        self.rows_read += place.rows
        if isinstance(place, Unreadable):
            self.rows_unreadable += place.rows
            listed = self.unreadable
        else:
            self.rows_left_out += place.rows
            listed = self.left_out
        if len(listed) < LISTED:
            listed.append((place.line, place.reason))

    def count(self, item: Imported, done: Done) -> None:
        """Account for an incident."""
        self.incidents += 1
        self.rows_read += item.rows
        self.rows_taken += done.rows
        self.rows_already_there += item.rows - done.rows
        self.out_of_place += done.out_of_place
        self.events_written += 0 if self.dry_run else done.events
        if not done.there:
            self.incidents_taken += 1
        elif done.rows:
            self.incidents_completed += 1
        else:
            self.already_there += 1
        self.updates_kept += item.updates
        self.reopenings += item.reopenings
        for wanted, listed in (
            (item.closed_unresolved, self.resolved_by_closing),
            (item.left_open, self.left_open),
        ):
            if wanted:
                listed.append(item.reference)
        self.people.update(item.people)
        for word, times in item.unknown.items():
            if word in self.unknown or len(self.unknown) < LISTED:
                self.unknown[word] = self.unknown.get(word, 0) + times
