"""A sandbox on loopback with a clock that tests turn, and a callback that hears its webhooks."""

from collections.abc import Iterator

import pytest
from metarunning import answering, hearing
from metatools import Callback, Running


@pytest.fixture
def callback() -> Iterator[Callback]:
    """A callback that checks nothing and keeps everything."""
    with hearing() as heard:
        yield heard


@pytest.fixture
def sandbox(callback: Callback) -> Iterator[Running]:
    """A sandbox in a thread of its own, quick with its statuses, talking to the callback."""
    with answering(callback) as running:
        yield running


@pytest.fixture(scope="module")
def _shared() -> Iterator[Running]:
    with hearing() as heard, answering(heard) as running:
        yield running


@pytest.fixture
def strict(_shared: Running) -> Running:
    """A sandbox for this module's tests that send nothing it takes; empty."""
    _shared.http.delete("/_sandbox/messages").raise_for_status()
    return _shared
