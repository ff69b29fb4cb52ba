"""Importers: each reads another program's file into what `run` writes to the ledger, one incident at a time."""

from dataclasses import dataclass, field
from uuid import UUID

from domain.events import IncidentEvent


class NotThisFormat(Exception):
    """The file as a whole is not what the importer reads. Nothing of it was recorded."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A place in the file that could not be taken over: `line` (of a JSON document: item) counts from 1, `rows` is
    how many rows it was."""

    line: int
    reason: str
    rows: int = 1


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A place in the file that a rule of its format leaves out."""

    line: int
    reason: str
    rows: int = 1


@dataclass(frozen=True, slots=True)
class Imported:
    """One incident's whole history as it is to stand in the ledger. The same file gives the same again.

    reference: its name in the file. stream_id: its id here, the same at every run.
    events: the first opens it, under number 0, which the ledger replaces by the organisation's next one; those
    of one row have one causation_id, by which the row is known again. rows: how many rows of the file these
    events tell. updates: how many of them only as a timeline update. closed_unresolved: whether the file closes
    it without ever saying that it was resolved. left_open: whether the file gives it an end, but never says what
    the format counts as resolved. people: the names behind the person ids in the events; names themselves are
    never in an event. unknown: words of the file that mean nothing here, and how often each came.
    """

    reference: str
    stream_id: UUID
    events: tuple[IncidentEvent, ...]
    rows: int
    updates: int = 0
    reopenings: int = 0
    closed_unresolved: bool = False
    left_open: bool = False
    people: dict[UUID, str] = field(default_factory=dict)
    unknown: dict[str, int] = field(default_factory=dict)


Item = Imported | Unreadable | LeftOut
"""What an importer gives of a file, in its order."""
