"""Reads the rows of a CSV file, plain or gzip, in constant memory; what cannot be read is told, never raised."""

import csv
import gzip
import io
import zlib
from collections.abc import Collection, Iterator
from contextlib import suppress
from typing import NamedTuple

from commands.importers import NotThisFormat, Unreadable

LONGEST_LINE = 65_536
"""Characters of a line that are read at all; a longer one is no row of any log."""

GZIP = b"\x1f\x8b"


class Row(NamedTuple):
    """A row by column name, and its line in the file, counted from 1."""

    line: int
    values: dict[str, str]


def read_rows(file: io.BufferedReader, *, required: Collection[str]) -> Iterator[Row | Unreadable]:
    """The rows below the header, in order. UTF-8 with or without BOM; any line ends; a blank line is no row.

    A line is a row: a line break inside quotes is not supported, so that a stray quote spoils its own row only.
    Raises NotThisFormat where the first line does not name the `required` columns.
    """
    lines = _lines(file)
    _, first = next(lines, (1, ""))
    header = [] if isinstance(first, Unreadable) else _header(first)
    missing = sorted(set(required) - set(header))
    if missing:
        raise NotThisFormat(f"The first line does not name the columns {', '.join(missing)}.")
    if len(set(header)) < len(header):
        raise NotThisFormat("The first line names a column twice.")
    for number, line in lines:
        if isinstance(line, Unreadable):
            yield line
        elif line.strip():
            yield _row(number, line, header)


def _header(line: str) -> list[str]:
    try:
        return [name.strip() for name in _cells(line)]
    except csv.Error:
        return []


def _row(number: int, line: str, header: list[str]) -> Row | Unreadable:
    if "\0" in line:
        return Unreadable(number, "a NUL character")
    if not line.isascii():
        try:
            line.encode()
        except UnicodeEncodeError:
            return Unreadable(number, "not UTF-8")
    try:
        cells = _cells(line)
    except csv.Error as error:
        return Unreadable(number, f"not CSV: {error}")
    if len(cells) != len(header):
        return Unreadable(number, f"{len(cells)} columns instead of {len(header)}")
    return Row(number, dict(zip(header, cells, strict=True)))


def _cells(line: str) -> list[str]:
    line = line.rstrip("\n")
    if '"' not in line:
        return line.split(",")
    return next(csv.reader([line], strict=True))


def _lines(file: io.BufferedReader) -> Iterator[tuple[int, str | Unreadable]]:
    """Numbered lines. A byte that is not UTF-8 comes as a lone surrogate, for `_row` to find."""
    source = gzip.GzipFile(fileobj=file) if file.peek(2)[:2] == GZIP else file
    text = io.TextIOWrapper(source, encoding="utf-8-sig", errors="surrogateescape", newline=None)
    number = 0
    try:
        while line := text.readline(LONGEST_LINE):
            number += 1
            if len(line) < LONGEST_LINE or line.endswith("\n"):
                yield number, line
                continue
            yield number, Unreadable(number, f"longer than {LONGEST_LINE} characters")
            while line and not line.endswith("\n"):
                line = text.readline(LONGEST_LINE)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        yield number + 1, Unreadable(number + 1, f"the compressed file is damaged from here on: {error}", rows=0)
    finally:
        with suppress(ValueError):  # where the caller has closed it already
            text.detach()  # the file is the caller's: it must not be closed with this wrapper
