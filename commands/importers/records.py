"""A file's records, whatever it is written in: JSON, JSON Lines or CSV, plain or gzip."""

import io
from collections.abc import Collection, Iterator
from itertools import islice
from typing import Any

from pydantic_core import from_json

from commands.importers import Unreadable
from commands.importers.csv_rows import Row
from commands.importers.csv_rows import read_rows as read_csv
from commands.importers.json_items import LONGEST_ITEM, Item, parse, read_document
from commands.importers.opened import Chunks, first_byte
from commands.importers.story import text

NEAR = 64 * 1024


def read_records(
    file: io.BufferedReader,
    *,
    wrappers: Collection[str] = (),
    beside: Collection[str] = (),
    required: Collection[str] = ("id",),
) -> Iterator[Item | Unreadable]:
    """Its objects in order. wrappers: names under which an object may hold the array of them; beside: names
    of further arrays that such an object may hold.

    Of CSV, each row is one: a column `a.b` is `b` in `a`, a cell that holds JSON is read as that, an empty one is
    left out. Raises NotThisFormat where it is CSV without the `required` columns, or neither.
    """
    if first_byte(file) not in (b"{", b"["):
        for row in read_csv(file, required=required):
            yield row if isinstance(row, Unreadable) else Item(row.line, _nested(row.values))
        return
    chunks = Chunks(file)
    if not _in_lines(chunks, wrappers):
        for item in read_document(chunks, wrappers, beside):
            yield from [item] if isinstance(item, Unreadable) else _unwrapped(item, wrappers, beside)
        return
    number = 0
    for number, line in chunks.lines(LONGEST_ITEM):
        if line is None:
            yield Unreadable(number, f"longer than {LONGEST_ITEM} bytes")
        elif line.strip():
            for item in parse(number, line):
                yield from [item] if isinstance(item, Unreadable) else _unwrapped(item, wrappers, beside)
    if chunks.damage is not None:
        yield Unreadable(number + 1, chunks.damage, rows=0)


def read_rows(file: io.BufferedReader, required: Collection[str]) -> Iterator[Row | Unreadable]:
    """Its records as rows of texts; what is missing or null is `?`. Raises NotThisFormat as above."""
    if first_byte(file) not in (b"{", b"["):
        yield from read_csv(file, required=required)
        return
    empty = dict.fromkeys(required, "?")
    for item in read_records(file, wrappers=("result", "records")):
        if isinstance(item, Unreadable):
            yield item
        else:
            yield Row(item.place, empty | {name: _text(value) for name, value in item.value.items()})


def _in_lines(chunks: Chunks, wrappers: Collection[str]) -> bool:
    """JSON Lines: a whole object on the first line, or where that one is broken on the second."""
    head = chunks.peek(NEAR)
    if b"\n" not in head.strip():
        head = chunks.peek(LONGEST_ITEM)
    for n, line in enumerate(islice((line for line in head.split(b"\n") if line.strip()), 2)):
        if not line.startswith(b"{"):
            return False
        try:
            value = from_json(line)
        except ValueError:
            continue
        return n == 1 or not any(isinstance(value.get(name), list) for name in wrappers)
    return False


def _unwrapped(item: Item, wrappers: Collection[str], beside: Collection[str]) -> Iterator[Item | Unreadable]:
    held = [value for name in wrappers if isinstance(value := item.value.get(name), list)]
    if not held:
        yield item
    else:
        held += [value for name in beside if isinstance(value := item.value.get(name), list)]
    for value in (each for values in held for each in values):
        if isinstance(value, dict):
            yield Item(item.place, value)
        else:
            yield Unreadable(item.place, "no JSON object")


def _nested(values: dict[str, str]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for column, cell in values.items():
        if not cell:
            continue
        *path, name = column.split(".")
        into = made
        for part in path:
            inner = into.setdefault(part, {})
            into = inner if isinstance(inner, dict) else {}
        into[name] = _cell(cell)
    return made


def _cell(cell: str) -> Any:
    if cell[0] in "[{":
        try:
            return from_json(cell)
        except ValueError:
            return cell
    return cell


def _text(value: Any) -> str:
    if isinstance(value, dict):
        value = value.get("display_value", value.get("value"))
    if value is None:
        return "?"
    return text(value)
