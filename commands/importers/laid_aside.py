"""Parts of a file that belong together but stand apart, laid aside on disk until all of it was read."""

import sqlite3
from collections.abc import Iterator
from typing import Any, Self

from pydantic_core import from_json, to_json

_TABLES = """
    create table wholes (id text, place integer, value blob, first boolean);
    create index wholes_of on wholes (id);
    create table parts (id text, place integer, value blob);"""


class LaidAside:
    """A database file without a name, gone when it is closed."""

    def __init__(self) -> None:
        self._rows = sqlite3.connect("", isolation_level=None)
        self._rows.executescript(_TABLES)
        self._rows.execute("begin")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._rows.close()

    def add_whole(self, id: str, place: int, value: dict[str, Any]) -> None:
        """What parts belong to: where an id comes several times, to the first."""
        self._rows.execute(
            "insert into wholes values (?1, ?2, ?3, not exists (select 1 from wholes where id = ?1))",
            (id, place, to_json(value)),
        )

    def add_part(self, id: str, place: int, value: dict[str, Any]) -> None:
        self._rows.execute("insert into parts values (?, ?, ?)", (id, place, to_json(value)))

    def joined(self) -> Iterator[tuple[int, str, dict[str, Any] | None, list[dict[str, Any]]]]:
        """Place, id, the whole (None where there is none) and its parts, each in the file's order."""
        self._rows.execute("create index parts_of on parts (id, place)")
        found = self._rows.execute(
            "select place, id, value, first from wholes union all"
            " select min(place), id, null, true from parts where id not in (select id from wholes) group by id"
            " order by place, id"
        )
        for place, id, value, first in found:
            parts = self._rows.execute(
                "select value from parts where id = ? and ? order by place, rowid", (id, first)
            )
            yield (
                place,
                id,
                from_json(value) if value is not None else None,
                [from_json(part) for (part,) in parts],
            )
