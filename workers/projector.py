"""The role `project`: keeps the read models up to date until it is told to stop."""

import signal
import threading

from projections.runner import Runner


def until_told_to_stop() -> threading.Event:
    """An event that SIGTERM and SIGINT set. From the main thread only."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


def project(runner: Runner, wake: str) -> None:
    """Run until SIGTERM or SIGINT, and finish the batch at work. wake: the channel that tells of appends."""
    runner.run(until_told_to_stop(), wake)
