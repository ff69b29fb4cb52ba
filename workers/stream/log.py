"""The source that reads the ledger itself."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from psycopg.rows import tuple_row

from commands.event_store import CHANNEL
from workers.stream.message import Message, printable
from workers.stream.source import BATCH, Place, Standing, Waiter

LOG = "log"

_NEXT = """
    select notification_id, originator_id::text, originator_version, organization_id::text, topic,
           to_char(recorded_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), state
      from ledger.events where notification_id > %s order by notification_id limit %s"""


@dataclass(frozen=True)
class LogSource:
    """The ledger, read after a position. It has one partition, 0; the place in it is the position."""

    batch: int = BATCH

    @property
    def name(self) -> str:
        return LOG

    @contextmanager
    def open(self, waiter: Waiter, places: Mapping[int, Place]) -> Iterator["LogFeed"]:
        """See Source. It reads by the follower's own connection."""
        waiter.connection.execute(f"listen {CHANNEL}".encode())
        yield LogFeed(waiter, places[0].next if 0 in places else 0, self.batch)


class LogFeed:
    """The ledger's entries, from a notification to the messages in one SELECT."""

    def __init__(self, waiter: Waiter, after: int, batch: int) -> None:
        self._waiter = waiter
        self._after = after
        self._batch = batch
        self._wait = False

    def take(self, at_most_s: float) -> Sequence[Message]:
        """See Feed."""
        if self._wait:
            self._waiter.wait(at_most_s)
        with self._waiter.connection.cursor(row_factory=tuple_row) as cursor:
            rows = cursor.execute(_NEXT, (self._after, self._batch), prepare=True, binary=True).fetchall()
        self._wait = len(rows) < self._batch
        messages = [_message(*row) for row in rows]
        if messages:
            self._after = messages[-1].place
        return messages

    def standing(self, places: Mapping[int, Place]) -> Standing:
        """See Feed."""
        reached = places[0].next if 0 in places else 0
        return Standing(reached, reached)


def _message(
    position: int,
    incident: str,
    version: int,
    organization: str,
    topic: str,
    recorded_at: str | None,
    state: bytes,
) -> Message:
    kind, _, schema = topic.partition("/")
    headers = {
        "event-id": f"{incident}:{version}",
        "type": printable(kind),
        "schema-version": printable(schema),
        "organization": organization,
        "position": str(position),
        "version": str(version),
        "recorded-at": recorded_at or "",
    }
    return Message(0, position, incident.encode(), headers, state)
