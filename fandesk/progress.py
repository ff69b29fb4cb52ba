"""How long work shows itself: a bar on a terminal, plain lines elsewhere, nothing beside machine output."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.text import Text

PLAIN_EVERY_S = 5.0


class Say:
    """Tells an operator one thing per line, at once."""

    def __call__(self, line: str) -> None:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


class EndColumn(ProgressColumn):
    """The time of day at which it will be done, as far as can be told."""

    def render(self, task: Task) -> Text:
        left = task.time_remaining
        return Text("" if left is None else f"done at {_end(left)}")


def _end(left_s: float) -> str:
    return (datetime.now().astimezone() + timedelta(seconds=left_s)).strftime("%H:%M:%S")


@contextmanager
def progress(what: str, *, unit: str = "", quiet: bool = False) -> Iterator[Callable[[int, int], None]]:
    """Yields what is to be told how far the work has come, and how far it has to go (0: that is not known).

    unit: `bytes`, where that is what is counted.
    """
    console = Console(stderr=True)
    if quiet:
        yield lambda at, of: None
    elif console.is_terminal:
        counted = (DownloadColumn(), TransferSpeedColumn()) if unit == "bytes" else (MofNCompleteColumn(),)
        columns = (TextColumn("{task.description}"), BarColumn(), *counted, TimeRemainingColumn(), EndColumn())
        with Progress(*columns, console=console) as bar:
            task = bar.add_task(what, total=None)
            yield lambda at, of: bar.update(task, completed=at, total=of or None)
    else:
        began = last = time.monotonic()

        def plain(at: int, of: int) -> None:
            nonlocal last
            if time.monotonic() - last >= PLAIN_EVERY_S or 0 < of <= at:
                last = time.monotonic()
                rate = at / (last - began) if last > began else 0.0
                left = f", done at {_end((of - at) / rate)}" if rate and of > at else ""
                sys.stderr.write(f"{what}: {at} of {of or 'unknown'} {unit}".rstrip() + f", {rate:.0f}/s{left}\n")

        yield plain
