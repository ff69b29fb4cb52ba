"""The relay: publishes the ledger to Kafka, entry by entry in order, from its first one on."""

import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from kafka import KafkaAdminClient, KafkaProducer
from kafka.errors import KafkaError, MessageSizeTooLargeError, TopicAlreadyExistsError
from psycopg import Cursor

from workers.stream.address import Kafka
from workers.stream.answering import ANSWER_S, BOOTSTRAP_S, answering, opened
from workers.stream.follower import Follower
from workers.stream.kafka import RELAY
from workers.stream.log import LogSource
from workers.stream.message import Message
from workers.stream.severity import severities
from workers.stream.source import Away

PARTITIONS = 6

LARGEST = 8 * 2**20
"""The largest entry, in bytes, that is published; Kafka's own limit of a topic made by hand may be smaller."""

_ACKNOWLEDGED_S = 2.5
_FOR_EVER_MS = 2**31 - 1


class TooLarge(Exception):
    """An entry that is larger than what Kafka takes."""


class Relay:
    """Follows the ledger as `relay`. Its checkpoint moves when Kafka has acknowledged the whole batch."""

    def __init__(self, dsn: str, kafka: Kafka) -> None:
        self._publisher = Publisher(kafka)
        self._follower = Follower(dsn, RELAY, LogSource(), self._publisher.publish, check=self._publisher.check)

    def run(self, stop: threading.Event) -> None:
        """Publish until `stop` is set. See Follower.run."""
        try:
            self._follower.run(stop)
        finally:
            self._publisher.close()


class Publisher:
    """Publishes messages in order, each with its incident's severity. Made anew after each outage.

    What one producer of the library has taken it sends in order, without end, and with idempotence without
    repeating; when it has to be given up, the next one begins at the checkpoint. So whatever the topic holds
    of an incident, the first copies of its events are in order and complete.
    """

    def __init__(self, kafka: Kafka) -> None:
        self._kafka = kafka
        self._admin: KafkaAdminClient | None = None
        self._producer: KafkaProducer | None = None

    def check(self) -> None:
        """Ask Kafka for the topic, and make it if it is missing. Raises Away."""
        try:
            with answering(self._kafka):
                if self._admin is None:
                    self._admin = opened(
                        KafkaAdminClient,
                        **self._kafka.options(BOOTSTRAP_S),
                        request_timeout_ms=int(ANSWER_S * 1000),
                    )
                if not self._has_topic(self._admin):
                    self._make_topic(self._admin)
        except Away:
            self.close()
            raise

    def publish(self, cursor: Cursor[Any], messages: Sequence[Message]) -> None:
        """Return when Kafka has acknowledged all of them. Raises Away, and TooLarge for what it never takes."""
        try:
            with answering(self._kafka):
                producer = self._opened()
                sent = []
                too_large: TooLarge | None = None
                for message, severity in zip(messages, severities(cursor, messages), strict=True):
                    headers = message.headers if severity is None else {**message.headers, "severity": severity}
                    try:
                        sent.append(
                            producer.send(
                                self._kafka.topic,
                                key=message.key,
                                value=message.body,
                                headers=[(name, text.encode()) for name, text in headers.items()],
                            )
                        )
                    except MessageSizeTooLargeError as problem:
                        too_large = TooLarge(str(problem))
                        break  # nothing after it may be published before it
                producer.flush(_ACKNOWLEDGED_S)
                for future in sent:
                    try:
                        future.get(0)
                    except MessageSizeTooLargeError as problem:
                        too_large = TooLarge(str(problem))
                if too_large is not None:
                    raise too_large
        except (Away, TooLarge):
            self.close()
            raise

    def close(self) -> None:
        """Give up what has not been acknowledged."""
        producer, self._producer = self._producer, None
        if producer is not None:
            # `close` alone would wait for what is not acknowledged, and leave its thread sending it.
            producer._sender.force_close()
            with suppress(KafkaError, OSError):
                producer.close(0.5)
        admin, self._admin = self._admin, None
        if admin is not None:
            with suppress(KafkaError, OSError):
                admin.close()

    def _opened(self) -> KafkaProducer:
        if self._producer is None:
            self._producer = opened(
                KafkaProducer,
                **self._kafka.options(BOOTSTRAP_S),
                enable_idempotence=True,
                acks="all",
                linger_ms=0,
                request_timeout_ms=10_000,
                delivery_timeout_ms=_FOR_EVER_MS,
                max_block_ms=int(_ACKNOWLEDGED_S * 1000),
                max_request_size=LARGEST,
                allow_auto_create_topics=False,
                metrics_enabled=False,
            )
            if not self._producer.config["enable_idempotence"]:
                raise RuntimeError("the Kafka library has switched idempotence off")
        return self._producer

    def _has_topic(self, admin: KafkaAdminClient) -> bool:
        (found,) = admin.describe_topics([self._kafka.topic])
        return bool(found["partitions"])

    def _make_topic(self, admin: KafkaAdminClient) -> None:
        with suppress(TopicAlreadyExistsError):
            admin.create_topics(
                {self._kafka.topic: {"num_partitions": PARTITIONS, "configs": {"max.message.bytes": str(LARGEST)}}}
            )
