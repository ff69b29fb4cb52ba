"""Works through an iterator in a process of its own, so that reading and writing have a processor each."""

import os
import pickle
import signal
from collections.abc import Generator, Iterable
from contextlib import suppress
from multiprocessing.connection import Connection, Pipe
from typing import TypeVar

T = TypeVar("T")


class ReaderDied(Exception):
    """The process that read the file was killed. What came before is good."""


def apart(items: Iterable[T]) -> Generator[T, None, None]:
    """The same items, made in a forked child, which is never further ahead than a pipe holds. They and what is
    raised cross over by pickle. The child ends with the iterator, and also where this process is killed.
    Raises what `items` raises, and ReaderDied."""
    mine, its = Pipe(duplex=False)
    child = os.fork()
    if child == 0:
        mine.close()
        _work(items, its)
    its.close()
    try:
        while True:
            try:
                item, problem, done = pickle.loads(mine.recv_bytes())  # noqa: S301 - our own child wrote it
            except EOFError:
                raise ReaderDied("The process that reads the file has died.") from None
            if problem is not None:
                raise problem
            if done:
                return
            yield item
    finally:
        mine.close()
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _work(items: Iterable[T], pipe: Connection) -> None:
    """The child's life. It leaves without cleaning up: all that it has open is its parent's."""
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then ends this one
        try:
            for item in items:
                pipe.send_bytes(pickle.dumps((item, None, False)))
            last: tuple[None, Exception | None, bool] = (None, None, True)
        except BrokenPipeError:
            raise
        except Exception as problem:
            last = (None, problem, True)
        pipe.send_bytes(pickle.dumps(last))
    finally:
        os._exit(0)
