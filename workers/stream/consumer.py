"""A consumer: handles the ledger's entries, in order and at least once, whichever way they come."""

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from psycopg import Cursor

from commands.codec import OfAnOrganization
from domain.recorded import Recorded
from workers.stream.follower import Follower
from workers.stream.message import Message, recorded
from workers.stream.source import Source

Handle = Callable[[Cursor[Any], Sequence[Recorded]], None]
"""Does what entries call for, in the transaction of the cursor, which also keeps how far the consumer has come."""


class Consumer:
    """Hands each entry to `handle` once in effect: its rows and the checkpoint are one transaction.

    name: of its checkpoints, dead letters and row in stream.followers; one process of a name works at a time.
    handle: may be called again with the same entries after it was rolled back. An entry for which it raises
    anything but a database that is away becomes a dead letter, and the others go on.
    after_commit: called when rows have become visible; not again after a crash between the two.
    """

    def __init__(
        self, dsn: str, name: str, source: Source, handle: Handle, after_commit: Callable[[], None] = lambda: None
    ) -> None:
        self._handle = handle
        self._follower = Follower(dsn, name, source, self._decoded, after_commit)

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set. See Follower.run."""
        self._follower.run(stop)

    def _decoded(self, cursor: Cursor[Any], messages: Sequence[Message]) -> None:
        entries = []
        for message in messages:
            with suppress(OfAnOrganization):
                entries.append(recorded(message))
        self._handle(cursor, entries)
