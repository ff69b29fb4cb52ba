"""What it means that Kafka does not answer."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from kafka.errors import KafkaError
from kafka.net.compat import KafkaNetClient

from workers.stream.address import Kafka
from workers.stream.source import Away

log = logging.getLogger(__name__)

ANSWER_S = 1.5
"""How long Kafka may take to answer a small question before it counts as away."""

BOOTSTRAP_S = 2.5
"""How long a client may look for a broker. A role that is told to stop then still stops within three seconds."""


Client = TypeVar("Client")


def opened(make: Callable[..., Client], **options: Any) -> Client:
    """A client of the library. Where making one fails, what it had begun is ended: the library would leave a
    thread and its sockets behind, with each try more of them."""
    begun: list[Any] = []

    def connections(**configs: Any) -> Any:
        begun.append(KafkaNetClient(**configs))
        return begun[-1]

    try:
        return make(kafka_client=connections, **options)
    except BaseException:
        for client in begun:
            client.close()
        raise


@contextmanager
def answering(kafka: Kafka) -> Iterator[None]:
    """What the library raises in here means that Kafka is away."""
    try:
        yield
    except (KafkaError, OSError) as problem:
        log.debug("Kafka at %s: %s", kafka.bootstrap, problem)  # not in words that anybody may read in /readyz
        raise Away(f"Kafka does not answer ({type(problem).__name__})") from problem
