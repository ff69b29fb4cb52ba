"""The port: where a follower gets the ledger's entries from, in order."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

from psycopg import Connection

from workers.stream.message import Message

BATCH = 500
"""At most so many messages at once."""


class Away(Exception):
    """What is needed does not answer at the moment: Kafka. Its words are for operators; trying again helps."""


class Place(NamedTuple):
    """How far a partition is handled.

    next: log: the last position handled; Kafka: the next offset to read.
    position: the highest position handled in it; what comes at or below it is a repetition, since positions
    rise within a partition.
    """

    next: int
    position: int


class Waiter(Protocol):
    """What a feed waits on: the follower's own connection to the database."""

    connection: Connection[Any]

    def wait(self, at_most_s: float) -> None:
        """Return when the database notifies of anything, or after `at_most_s`."""


class Standing(NamedTuple):
    """How far a feed's reader has come, given its places.

    reached: every entry of the ledger up to this position has been handled, as far as it can see.
    settled: the same, but beyond doubt: good enough to pass over for ever what lies at or below it.
    unread: how many it has still to read; None: all after `reached`.
    """

    reached: int
    settled: int
    unread: int | None = None


class Feed(Protocol):
    """A source, open, read from given places on."""

    def take(self, at_most_s: float) -> Sequence[Message]:
        """The next messages, at most BATCH, those of an incident in order; none when none come in time."""

    def standing(self, places: Mapping[int, Place]) -> Standing:
        """How far it is. Raises Away when that cannot be learnt, which is then true of new entries too."""


class Source(Protocol):
    """Gives entries in order.

    name: `log`, or `kafka:` and the topic; the checkpoints are kept under it.
    """

    @property
    def name(self) -> str: ...

    def open(self, waiter: Waiter, places: Mapping[int, Place]) -> AbstractContextManager[Feed]:
        """Read on from `places`; a partition without one is read from its beginning. Raises Away."""
