"""What is read in a process of its own comes over whole, and so does what is raised there."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from running import until

from commands.importers import NotThisFormat
from commands.importers.apart import ReaderDied, apart


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_everything_in_order_from_another_process() -> None:
    found = list(apart((n, os.getpid(), "x" * 100_000) for n in range(50)))
    assert [n for n, _, _ in found] == list(range(50))
    (child,) = {pid for _, pid, _ in found}
    assert child != os.getpid() and not is_there(child)


def test_what_is_raised_there_is_raised_here_after_what_came_before() -> None:
    def some() -> Iterator[int]:
        yield 1
        raise NotThisFormat("no such log")

    items = apart(some())
    assert next(items) == 1
    with pytest.raises(NotThisFormat, match="no such log"):
        next(items)


def test_it_ends_with_the_iterator_and_its_own_end_is_told() -> None:
    def endless() -> Iterator[int]:
        while True:
            yield os.getpid()

    items = apart(endless())
    child = next(items)
    items.close()
    assert not is_there(child)

    items = apart(endless())
    os.kill(next(items), signal.SIGKILL)
    with pytest.raises(ReaderDied):
        for _ in items:
            pass


def test_it_ends_where_its_parent_is_killed() -> None:
    reads, writes = os.pipe()
    parent = os.fork()
    if parent == 0:

        def endless() -> Iterator[bytes]:
            while True:
                yield os.getpid().to_bytes(8, "big")

        items = apart(endless())
        os.write(writes, next(items))
        signal.pause()
    os.close(writes)
    child = int.from_bytes(os.read(reads, 8), "big")
    os.close(reads)
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    until(lambda: not is_there(child) or " Z " in Path(f"/proc/{child}/stat").read_text(), what="its end")
