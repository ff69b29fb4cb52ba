"""What it means that Kafka does not answer."""

from collections.abc import Iterator
from contextlib import contextmanager

from kafka.errors import KafkaError

from workers.stream.address import Kafka
from workers.stream.source import Away

ANSWER_S = 1.5
"""How long Kafka may take to answer a small question before it counts as away."""

BOOTSTRAP_S = 2.5
"""How long a client may look for a broker. A role that is told to stop then still stops within three seconds."""


@contextmanager
def answering(kafka: Kafka) -> Iterator[None]:
    """What the library raises in here means that Kafka is away."""
    try:
        yield
    except (KafkaError, OSError) as problem:
        raise Away(f"Kafka at {kafka.bootstrap} does not answer: {type(problem).__name__}: {problem}") from problem
