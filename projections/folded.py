"""A table with one row per incident, folded from the incident's events."""

from collections.abc import Callable, Sequence
from dataclasses import fields
from operator import attrgetter
from typing import Any, Generic, TypeVar
from uuid import UUID

from psycopg import Cursor, sql
from psycopg.rows import tuple_row

from domain.events import Actor, IncidentTriggered
from domain.facts import IncidentFacts
from domain.recorded import Recorded
from projections.model import copy_rows

State = TypeVar("State", bound=IncidentFacts)


class FoldedTable(Generic[State]):
    """Keeps `table`: its columns are the fields of the state's dataclass (`labels` and, where there is one,
    `status_by` as JSON) and `position`; its key is `key`.

    `opened` makes the state of an incident's first event; the state's own `apply` takes each one after.
    """

    def __init__(
        self, table: str, state: type[State], opened: Callable[[UUID, IncidentTriggered], State], *, key: str
    ) -> None:
        self._table = table
        self._state = state
        self._opened = opened
        self._names = tuple(field.name for field in fields(state))
        self._values = attrgetter(*self._names)
        self._key = self._names.index(key)
        self._actor = self._names.index("status_by") if "status_by" in self._names else None
        self.columns = columns = sql.SQL(", ").join(map(sql.Identifier, self._names))
        self.written = (*self._names, "position")
        name, key_column = sql.Identifier(table), sql.Identifier(key)
        self._select = sql.SQL("select {} from {} where {} = any (%s)").format(columns, name, key_column)
        self._delete = sql.SQL("delete from {} where {} = any (%s)").format(name, key_column)

    def write(self, cursor: Cursor[Any], entries: Sequence[Recorded]) -> None:
        """Fold the entries into the rows of their incidents."""
        streams = _by_stream(entries)
        before = [id for id, stream in streams.items() if stream[0].version > 1]
        rows = self._rows(streams, self._load(cursor, before) if before else {})
        if before:
            cursor.execute(self._delete, (before,))
        copy_rows(cursor, self._table, self.written, rows)

    def rows(self, entries: Sequence[Recorded]) -> list[list[Any]]:
        """The rows that whole streams make, with the columns of `written`."""
        return self._rows(_by_stream(entries), {})

    def _rows(self, streams: dict[UUID, list[Recorded]], states: dict[UUID, State]) -> list[list[Any]]:
        rows = []
        for id, stream in streams.items():
            state = self._fold(states.get(id), stream)
            if state is not None:
                rows.append(self._row(state, stream[-1].position))
        return rows

    def _fold(self, state: State | None, stream: Sequence[Recorded]) -> State | None:
        for entry in stream:
            if state is not None:
                state.apply(entry.event)
            elif isinstance(entry.event, IncidentTriggered):
                state = self._opened(entry.stream_id, entry.event)
        return state

    def _load(self, cursor: Cursor[Any], ids: Sequence[UUID]) -> dict[UUID, State]:
        with cursor.connection.cursor(row_factory=tuple_row) as reader:
            reader.execute(self._select, (ids,), prepare=True, binary=True)
            return {row[self._key]: self.state(row) for row in reader}

    def state(self, row: Sequence[Any]) -> State:
        """The state from a row of `columns`."""
        values = dict(zip(self._names, row, strict=True))
        if self._actor is not None:
            values["status_by"] = Actor.model_validate(values["status_by"])
        return self._state(**values)

    def _row(self, state: State, position: int) -> list[Any]:
        row = list(self._values(state))
        if self._actor is not None:
            row[self._actor] = row[self._actor].model_dump(mode="json")
        row.append(position)
        return row


def _by_stream(entries: Sequence[Recorded]) -> dict[UUID, list[Recorded]]:
    streams: dict[UUID, list[Recorded]] = {}
    for entry in entries:
        streams.setdefault(entry.stream_id, []).append(entry)
    return streams
