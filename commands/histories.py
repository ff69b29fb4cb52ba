"""Hands whole histories to the database: thousands of events in one call of `ledger.append_histories`.

Arrays go in PostgreSQL's own binary form: writing them as text, and having them read again, takes several times as
long as all else that the call does.
"""

import struct
from collections.abc import Iterable, Sequence
from typing import NamedTuple
from uuid import UUID

from psycopg.adapt import Dumper
from psycopg.pq import Format

APPEND_HISTORIES = (
    "select * from ledger.append_histories"
    "(%s, %s::uuid[], %s::bigint[], %s::int[], %s::int[], %s::text[], %s::bytea[])"
)
"""The call, for the values that `parameters` gives."""

NUMBER = b'"number":0'
"""What stands for the number in the event that opens an incident."""

_OIDS = {"uuid": 2950, "int8": 20, "int4": 23, "text": 25, "bytea": 17}


class History(NamedTuple):
    """What is to follow the first `after` events of a stream (0: it opens an incident under number 0); topics and
    states as the codec writes them."""

    stream_id: UUID
    after: int
    events: Sequence[tuple[str, bytes]]


class Written(NamedTuple):
    """What became of a History: `appended`, or `version`, where the stream is not at the version `after`. version:
    the one that it is at now."""

    outcome: str
    version: int


class BinaryArray(bytes):
    """A PostgreSQL array in binary form; its type is named by the cast in the statement."""


class BinaryArrayDumper(Dumper):
    """Sends it as it is."""

    format = Format.BINARY

    def dump(self, obj: BinaryArray) -> bytes:
        return obj


def parameters(organization_id: UUID, histories: Sequence[History]) -> list[object]:
    """The values of APPEND_HISTORIES' placeholders."""
    events = [(n, *event) for n, history in enumerate(histories, start=1) for event in history.events]
    places = [0 if h.after else h.events[0][1].index(NUMBER) + len(NUMBER) for h in histories]
    return [
        organization_id,
        _array("uuid", (history.stream_id.bytes for history in histories)),
        _array("int8", (history.after.to_bytes(8, "big") for history in histories)),
        _array("int4", (place.to_bytes(4, "big") for place in places)),
        _array("int4", (n.to_bytes(4, "big") for n, _, _ in events)),
        _array("text", (topic.encode() for _, topic, _ in events)),
        _array("bytea", (state for _, _, state in events)),
    ]


def _array(kind: str, values: Iterable[bytes]) -> BinaryArray:
    parts = []
    for value in values:
        parts.append(len(value).to_bytes(4, "big"))
        parts.append(value)
    size = len(parts) // 2
    head = struct.pack("!iiIii", 1, 0, _OIDS[kind], size, 1) if size else struct.pack("!iiI", 0, 0, _OIDS[kind])
    return BinaryArray(head + b"".join(parts))
