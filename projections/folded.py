"""A table with one row per incident, folded from the incident's events."""

import json
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any, Generic, TypeVar
from uuid import UUID

from psycopg import Cursor, sql
from psycopg.rows import tuple_row

from domain.events import Actor, IncidentEvent, IncidentTriggered
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
        self._key = self._names.index(key)
        self._labels = self._names.index("labels")
        self._actor = self._names.index("status_by") if "status_by" in self._names else None
        self.columns = columns = sql.SQL(", ").join(map(sql.Identifier, self._names))
        self._columns = (*self._names, "position")
        name, key_column = sql.Identifier(table), sql.Identifier(key)
        self._select = sql.SQL("select {} from {} where {} = any (%s)").format(columns, name, key_column)
        self._delete = sql.SQL("delete from {} where {} = any (%s)").format(name, key_column)

    def write(self, cursor: Cursor[Any], entries: Sequence[Recorded]) -> None:
        """Fold the entries into the rows of their incidents."""
        opened_here = {entry.stream_id for entry in entries if entry.version == 1}
        before = list({entry.stream_id for entry in entries} - opened_here)
        states = self._load(cursor, before) if before else {}
        positions: dict[UUID, int] = {}
        for entry in entries:
            positions[entry.stream_id] = entry.position
            self._fold(states, entry.stream_id, entry.event)
        if before:
            cursor.execute(self._delete, (before,))
        rows = (self._row(state, positions[id]) for id, state in states.items())
        copy_rows(cursor, self._table, self._columns, rows)

    def _fold(self, states: dict[UUID, State], id: UUID, event: IncidentEvent) -> None:
        state = states.get(id)
        if state is not None:
            state.apply(event)
        elif isinstance(event, IncidentTriggered):
            states[id] = self._opened(id, event)

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
        row = [getattr(state, name) for name in self._names]
        row[self._labels] = json.dumps(row[self._labels], ensure_ascii=False) if row[self._labels] else "{}"
        if self._actor is not None:
            row[self._actor] = row[self._actor].model_dump_json()
        row.append(position)
        return row
