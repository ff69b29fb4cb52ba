"""What the stream's tests share: a ledger of their own, read directly or by way of a real Kafka."""

import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

sys.path.append(str(Path(__file__).parents[1] / "domain"))  # `given`, also when only this folder is run
sys.path.append(str(Path(__file__).parent))


logging.getLogger("kafka").setLevel(logging.CRITICAL)  # as the product does


def _world(database: Any, kafka: Any) -> Iterator[Any]:
    from streamworld import World

    from workers.stream.address import Kafka

    made = World(
        database.dsn,
        database.owner_dsn,
        None if kafka is None else Kafka(kafka.bootstrap, f"incident-events-{uuid4().hex[:8]}"),
    )
    yield made
    made.close()


@pytest.fixture(params=["log", "kafka"])
def world(request: pytest.FixtureRequest, empty_database: Any) -> Iterator[Any]:
    """The same test over both ways."""
    yield from _world(empty_database, request.getfixturevalue("kafka") if request.param == "kafka" else None)


@pytest.fixture
def kafka_world(empty_database: Any, kafka: Any) -> Iterator[Any]:
    """By way of Kafka."""
    yield from _world(empty_database, kafka)


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """What our own parts have logged as a warning or worse."""
    return lambda: [r.getMessage() for r in caplog.records if r.name.startswith("workers") and r.levelno >= 30]
