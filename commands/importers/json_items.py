"""Reads the items of a JSON document of any size, or of JSON Lines, in constant memory.

A document is one array of items; an object that holds the array under a known name; or several of either after
each other. The borders of the items are found by brackets and quotes alone, and each item is then read by
itself: so a broken item spoils itself only, and no more than one is in memory.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pydantic_core import from_json

from commands.importers import Unreadable
from commands.importers.opened import Chunks

LONGEST_ITEM = 16 * 1024 * 1024
"""Bytes of an item that are read at all; a longer one is passed over, and told."""

LONGEST_NAME = 100

DEEPEST = 1000
"""Brackets within each other; what is deeper is no history of anything."""

_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|["{}\[\]]', re.DOTALL)
_END_OF_STRING = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_CLOSES = {ord("}"): ord("{"), ord("]"): ord("[")}
_QUOTE = ord('"')


class Item(NamedTuple):
    """An object of the file, and its place: in JSON Lines the line, else the item, counted from 1."""

    place: int
    value: dict[str, Any]


def parse(place: int, raw: bytes) -> Iterator[Item | Unreadable]:
    """The item of that text, or why it is none."""
    try:
        value = from_json(raw)
    except ValueError as wrong:
        yield Unreadable(place, f"not JSON: {str(wrong)[:200]}")
        return
    if isinstance(value, dict):
        yield Item(place, value)
    else:
        yield Unreadable(place, "no JSON object")


def _quoted(names: Collection[str]) -> set[bytes]:
    return {b'"' + name.encode() + b'"' for name in names}


def read_document(
    chunks: Chunks, wrappers: Collection[str], beside: Collection[str] = ()
) -> Iterator[Item | Unreadable]:
    """The items of a document. wrappers: names under which an object may hold the array of items; beside: names
    of further arrays of items in such an object."""
    scanner = _Scanner(_quoted(wrappers), _quoted(beside))
    for chunk in chunks:
        yield from scanner.feed(chunk)
        if scanner.lost:
            return
    if chunks.damage is None:
        yield from scanner.end()
    else:
        yield Unreadable(scanner.items + 1, chunks.damage, rows=0)


@dataclass(slots=True)
class _Scanner:
    """Finds the borders of items. open: the brackets that are open around the present place. floor: how many of
    them hold items rather than belong to one. string: the last string outside of items, which names what
    follows."""

    wrappers: Collection[bytes]
    beside: Collection[bytes] = ()
    items: int = 0
    lost: bool = False
    open: list[int] = field(default_factory=list)
    floor: int = 0
    string: bytes = b""
    parts: list[bytes] = field(default_factory=list)
    size: int = 0
    in_string: bool = False
    escaped: bool = False

    def feed(self, chunk: bytes) -> Iterator[Item | Unreadable]:
        """The items that end in the chunk."""
        at = begin = 0
        while at < len(chunk):
            if self.in_string:
                at = self._leave_string(chunk, at)
                continue
            token = _TOKEN.search(chunk, at)
            if token is None:
                break
            first, at = chunk[token.start()], token.end()
            if first == _QUOTE:
                self.string = token[0][:LONGEST_NAME]
                if len(token[0]) == 1:  # it ends in a later chunk
                    self.in_string = True
            elif first in _CLOSES:
                if not self.open or self.open.pop() != _CLOSES[first]:
                    self.lost = True
                    yield Unreadable(self.items + 1, "not JSON: the brackets do not match, from here to the end")
                    return
                if len(self.open) < self.floor:  # the array of items ends, or the object around it
                    self.floor -= 1
                elif len(self.open) == self.floor:
                    self._keep(chunk[begin:at])
                    yield from self._item()
            else:
                if len(self.open) == self.floor:
                    begin = token.start()  # what is between items is not of interest
                self.open.append(first)
                if len(self.open) > DEEPEST:
                    self.lost = True
                    yield Unreadable(self.items + 1, f"more than {DEEPEST} brackets deep: not read from here on")
                    return
                if self._hold_items():
                    yield from self._passed(chunk[begin : token.start()])
                    self.floor = len(self.open)
                    self._drop()
        if len(self.open) > self.floor:
            self._keep(chunk[begin:])

    def end(self) -> Iterator[Unreadable]:
        """What is wrong with the end of the document, if anything."""
        if self.open or self.in_string:
            rows = 1 if len(self.open) > self.floor else 0
            yield Unreadable(self.items + 1, "the file is cut off here", rows)

    def _hold_items(self) -> bool:
        """Whether the innermost bracket is that of an array of items."""
        if self.open[-1] != ord("["):
            return False
        return len(self.open) == 1 or (
            len(self.open) == 2
            and self.open[0] == ord("{")
            and (self.string in self.wrappers or (self.floor == 1 and self.string in self.beside))
        )

    def _passed(self, part: bytes) -> Iterator[Unreadable]:
        """What stood in the object before its items, and would have been items after them."""
        said = b"".join([*self.parts, part])
        for name in self.beside if not self.floor else ():
            if name in said or self.size > LONGEST_ITEM:
                yield Unreadable(self.items + 1, f"{name.decode()} stands before the array of items: not taken")

    def _leave_string(self, chunk: bytes, at: int) -> int:
        """Go on to the string's end, or the chunk's."""
        begin = at
        if self.escaped:
            at, self.escaped = at + 1, False
        end = _END_OF_STRING.match(chunk, at)
        if end is not None:
            self.in_string = False
            at = end.end()
        else:
            rest = chunk[at:]
            self.escaped = (len(rest) - len(rest.rstrip(b"\\"))) % 2 == 1
            at = len(chunk)
        if len(self.string) < LONGEST_NAME:
            self.string += chunk[begin : min(at, begin + LONGEST_NAME)]
        return at

    def _keep(self, part: bytes) -> None:
        self.size += len(part)
        if self.size <= LONGEST_ITEM:
            self.parts.append(part)
        else:
            self.parts.clear()

    def _drop(self) -> None:
        self.parts.clear()
        self.size = 0

    def _item(self) -> Iterator[Item | Unreadable]:
        if self.floor and self.open[-1] == ord("{"):
            self._drop()  # something else in the object that holds the items
            return
        self.items += 1
        raw, size = b"".join(self.parts), self.size
        self._drop()
        if size > LONGEST_ITEM:
            yield Unreadable(self.items, f"longer than {LONGEST_ITEM} bytes")
        else:
            yield from parse(self.items, raw)
