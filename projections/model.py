"""What a read model is to the programs that keep it, and how rows get into its tables."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from psycopg import Cursor, sql
from psycopg.types.json import set_json_dumps
from pydantic_core import to_json

from domain.recorded import Recorded


class ReadModel(Protocol):
    """Tables that are a function of the ledger.

    name: also its checkpoint's. rules: a number to raise whenever the same events shall give other rows.
    tables, indexes: its definition in SQL, names without a schema; indexes are made last in a rebuild.
    names: its tables. write: put what the entries change into the tables, in the transaction of the cursor,
    whose search path leads to the tables; entries come in order, each once.
    doors: by signature, functions of the schema `read` with the rights of the tables' owner, for questions that
    the wall makes slow: behind it only operators that are known to tell nothing of a row may use an index. A door
    itself keeps to the organisation that the session names.
    """

    name: str
    rules: int
    tables: str
    indexes: str
    names: tuple[str, ...]
    doors: Mapping[str, str]

    def write(self, cursor: Cursor[Any], entries: Sequence[Recorded]) -> None: ...


def definition(model: ReadModel) -> str:
    """A hash that changes when the model's tables or rules do: then it has to be rebuilt."""
    return hashlib.sha256(f"{model.rules}\n{model.tables}\n{model.indexes}".encode()).hexdigest()


def copy_rows(cursor: Cursor[Any], table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Add rows by COPY, the fastest way PostgreSQL has; binary, which takes Python a third less time than text."""
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    types = _types.get((table, *columns))
    if types is None:
        cursor.execute(sql.SQL("select {} from {} limit 0").format(names, sql.Identifier(table)))
        types = _types[(table, *columns)] = [column.type_code for column in cursor.description or ()]
    statement = sql.SQL("copy {} ({}) from stdin (format binary)").format(sql.Identifier(table), names)
    set_json_dumps(to_json, cursor)
    with cursor.copy(statement) as copy:
        copy.set_types(types)
        for row in rows:
            copy.write_row(row)


_types: dict[tuple[str, ...], list[int]] = {}
"""The types of the columns of a table, as the database knows them."""
