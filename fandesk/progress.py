"""How long work shows itself: a bar on a terminal, plain lines elsewhere, nothing beside machine output."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

PLAIN_EVERY_S = 5.0


class Say:
    """Tells an operator one thing per line, at once."""

    def __call__(self, line: str) -> None:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


@contextmanager
def progress(what: str, *, quiet: bool = False) -> Iterator[Callable[[int, int], None]]:
    """Yields what is to be told how far the work has come, and how far it has to go."""
    console = Console(stderr=True)
    if quiet:
        yield lambda at, of: None
    elif console.is_terminal:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console) as bar:
            task = bar.add_task(what, total=None)
            yield lambda at, of: bar.update(task, completed=at, total=of)
    else:
        last = time.monotonic()

        def plain(at: int, of: int) -> None:
            nonlocal last
            if time.monotonic() - last >= PLAIN_EVERY_S or at >= of:
                last = time.monotonic()
                sys.stderr.write(f"{what}: {at} of {of}\n")

        yield plain
