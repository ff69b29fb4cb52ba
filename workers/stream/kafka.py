"""The source that reads a Kafka topic. Its places are kept in our database, never in Kafka."""

import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from workers.stream.address import Kafka
from workers.stream.answering import ANSWER_S, BOOTSTRAP_S, answering, opened
from workers.stream.ledger import behind, checkpoint
from workers.stream.log import LOG
from workers.stream.message import NOT_OURS, Message, text_headers
from workers.stream.source import BATCH, Away, Place, Standing, Waiter

RELAY = "relay"
"""The follower that fills the topic."""

_SLICE_S = 0.25
_NEWS_S = 15.0  # in which we surely hear of new partitions: they are asked for every two seconds


@dataclass(frozen=True)
class KafkaSource:
    """All partitions of the topic, also those that are added later."""

    kafka: Kafka

    @property
    def name(self) -> str:
        return f"kafka:{self.kafka.topic}"

    @contextmanager
    def open(self, waiter: Waiter, places: Mapping[int, Place]) -> Iterator["KafkaFeed"]:
        """See Source."""
        with answering(self.kafka):
            consumer = opened(
                KafkaConsumer,
                **self.kafka.options(BOOTSTRAP_S),
                group_id=None,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                allow_auto_create_topics=False,
                fetch_max_wait_ms=int(_SLICE_S * 1000),
                fetch_min_bytes=1,
                max_poll_records=BATCH,
                request_timeout_ms=10_000,
                metrics_enabled=False,
            )
        try:
            yield KafkaFeed(self.kafka, consumer, waiter, places)
        finally:
            with suppress(KafkaError, OSError):
                consumer.close(autocommit=False, timeout_ms=500)


class KafkaFeed:
    """The topic's messages. The library fetches in a thread of its own while this waits or works."""

    def __init__(self, kafka: Kafka, consumer: KafkaConsumer, waiter: Waiter, places: Mapping[int, Place]) -> None:
        self._kafka = kafka
        self._consumer = consumer
        self._waiter = waiter
        self._places = places
        self._assigned: set[int] = set()
        self._seen: deque[tuple[float, int]] = deque()

    def take(self, at_most_s: float) -> Sequence[Message]:
        """See Feed."""
        if not self._assigned:
            self._waiter.wait(at_most_s)
            return []
        self._waiter.wait(0)
        with answering(self._kafka):
            polled = self._consumer.poll(timeout_ms=int(min(at_most_s, _SLICE_S) * 1000))
        return self._checked([_message(record) for records in polled.values() for record in records])

    def _checked(self, messages: list[Message]) -> list[Message]:
        """The messages, with a mark on those that the ledger has no entry for: anybody may write to a topic, and
        after a restored backup it holds what the ledger does not."""
        positions = [message.position for message in messages if message.position is not None]
        if not positions:
            return messages
        rows = self._waiter.connection.execute(_THERE, (positions,), prepare=True).fetchall()
        there = {position: (stream.encode(), str(version), state) for position, stream, version, state in rows}
        return [message if _is_there(message, there) else _not_ours(message) for message in messages]

    def standing(self, places: Mapping[int, Place]) -> Standing:
        """See Feed. What the relay has published is asked for first, so that Kafka's ends cannot lie before it."""
        relayed = checkpoint(self._waiter.connection, RELAY, LOG)
        with answering(self._kafka):
            self._assign()
            topic_partitions = [TopicPartition(self._kafka.topic, partition) for partition in self._assigned]
            ends = self._consumer.end_offsets(topic_partitions, timeout_ms=int(ANSWER_S * 1000))
        lag = {at.partition: end - _next(places, at.partition) for at, end in ends.items()}
        lagging = [places[p].position if p in places else 0 for p, left in lag.items() if left > 0]
        reached = min([relayed, *lagging])
        unread = sum(left for left in lag.values() if left > 0) + behind(self._waiter.connection, relayed).entries
        return Standing(reached, self._settled(reached), unread)

    def _settled(self, reached: int) -> int:
        """What was reached a while ago: entries might be in a partition that we had not heard of yet."""
        now = time.monotonic()
        self._seen.append((now, reached))
        while len(self._seen) > 1 and self._seen[1][0] <= now - _NEWS_S:
            self._seen.popleft()
        since, settled = self._seen[0]
        return settled if since <= now - _NEWS_S else 0

    def _assign(self) -> None:
        """Read all partitions that the topic has by now. Raises Away while there is no topic."""
        known = self._consumer.partitions_for_topic(self._kafka.topic)
        if not known and not self._assigned:
            raise Away(f"Kafka has no topic {self._kafka.topic} yet: the relay makes it")
        added = known - self._assigned
        if not added:
            return
        self._seen.clear()
        self._assigned |= added
        self._consumer.assign([TopicPartition(self._kafka.topic, partition) for partition in self._assigned])
        for partition in added:
            at = TopicPartition(self._kafka.topic, partition)
            if partition in self._places:
                self._consumer.seek(at, self._places[partition].next)
            else:
                self._consumer.seek_to_beginning(at)


_THERE = """
    select notification_id, originator_id::text, originator_version, state from ledger.events
     where notification_id = any (%s)"""


def _is_there(message: Message, there: Mapping[int, tuple[bytes, str, bytes]]) -> bool:
    """Whether it is that entry of the ledger, to the byte; what names no position is not believed anyhow."""
    position = message.position
    if position is None:
        return True
    return there.get(position) == (message.key, message.headers.get("version"), message.body)


def _not_ours(message: Message) -> Message:
    return message._replace(headers={**message.headers, NOT_OURS: "1"})


def _next(places: Mapping[int, Place], partition: int) -> int:
    return places[partition].next if partition in places else 0


def _message(record: Any) -> Message:
    return Message(
        record.partition, record.offset, record.key or b"", text_headers(record.headers), record.value or b""
    )
