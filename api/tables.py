"""Answers as tables: the rows of a list or of figures, as CSV or JSON Lines.

The columns come from the answer's shape (api/shapes.py and the like): they are the same on every page, and for an
empty list. A field that is a shape itself is spread, `actor.kind`; one that is a list of shapes within a row makes
a row of each of its members; anything else that is no single value is JSON in its cell.
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import to_json

Format = Literal["csv", "jsonl"]

MEDIA_TYPES: dict[Format, str] = {"csv": "text/csv; charset=utf-8", "jsonl": "application/x-ndjson"}

_DANGEROUS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")

Row = dict[str, Any]


class Table:
    """How an answer of that shape is a table."""

    def __init__(self, shape: type[BaseModel]) -> None:
        listed = _inner_list(shape)
        row = listed[1] if listed is not None else shape
        inner = _inner_list(row)
        self._field = listed[0] if listed is not None else None
        self._inner = inner[0] if inner is not None else None
        self.columns = [*_columns(row, without=self._inner)]
        if inner is not None:
            self.columns += [name for name in _columns(inner[1]) if name not in self.columns]

    def rows(self, answer: Row) -> Iterator[Row]:
        """The answer's rows, as they are."""
        yield from [answer] if self._field is None else answer.get(self._field) or []

    def csv_head(self) -> bytes:
        return _line(self.columns)

    def csv(self, row: Row) -> bytes:
        """The row's line; several where it has a list of rows within."""
        if self._inner is None:
            return self._csv(row)
        return b"".join(self._csv({**row, **inner}) for inner in row.get(self._inner) or [])

    def _csv(self, row: Row) -> bytes:
        return _line([cell(_at(row, column)) for column in self.columns])


def encode(table: Table, rows: Iterable[Row], format: Format) -> bytes:
    """Rows in that format."""
    return b"".join(table.csv(row) if format == "csv" else to_json(row) + b"\n" for row in rows)


def cell(value: Any) -> str:
    """A value as the text of a cell. A text that a spreadsheet would take for a formula gets a ' before it, which
    spreadsheets do not show; numbers, also negative ones, stay as they are."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        return to_json(value).decode()
    text = str(value)
    if text.startswith(_DANGEROUS) and isinstance(value, str) and not _NUMBER.fullmatch(text):
        return "'" + text
    return text


def _line(cells: Iterable[str]) -> bytes:
    line = io.StringIO()
    csv.writer(line).writerow(cells)
    return line.getvalue().encode()


def _at(row: Row, column: str) -> Any:
    value: Any = row
    for part in column.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _columns(shape: type[BaseModel], prefix: str = "", without: str | None = None) -> Iterator[str]:
    for name, field in shape.model_fields.items():
        inner = _shape_in(field.annotation)
        key = prefix + (field.serialization_alias or field.alias or name)
        if inner is not None:
            yield from _columns(inner, f"{key}.")
        elif name != without:
            yield key


def _shape_in(annotation: Any) -> type[BaseModel] | None:
    """The shape that a field is, or is where it is not null."""
    kinds = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    for kind in kinds:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None


def _inner_list(shape: type[BaseModel]) -> tuple[str, type[BaseModel]] | None:
    """The first field that is a list of shapes."""
    for name, field in shape.model_fields.items():
        if (
            get_origin(field.annotation) is list
            and (inner := _shape_in(get_args(field.annotation)[0])) is not None
        ):
            return field.alias or name, inner
    return None
