"""The supervisor: order, restarts, stopping in time, and no process left behind, whatever is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

import psycopg
import pytest

from fandesk.embedded import EmbeddedPostgres
from fandesk.supervisor import Role, Supervisor

T = TypeVar("T")
ROOT = Path(__file__).resolve().parents[2]

# What every program under test begins with. It tells each thing that happens in one line on its stdout.
PREAMBLE = """
import os, signal, sys, time
from pathlib import Path
from fandesk.embedded import EmbeddedPostgres
from fandesk.supervisor import Role, Supervisor

def tell(line):
    os.write(1, (line + "\\n").encode())

def wait():
    signal.pause()

def on_term(name, then):
    def run():
        signal.signal(signal.SIGTERM, lambda *_: then(name))
        tell(f"{name} is {os.getpid()}")
        while True:
            signal.pause()
    return Role(name, run)

def leave(name):
    tell(f"{name} leaves")
    raise SystemExit(0)

def stay(name):
    tell(f"{name} stays")

def supervise(*roles, **more):
    more.setdefault("postgres", None)
    supervisor = Supervisor(roles, say=lambda line: tell("say " + line), **more)
    status = supervisor.run(lambda: tell("ready"))
    tell(f"end {status} {supervisor.pids()}")
    sys.exit(status)
"""


class Program:
    """A supervisor in a process of its own; what it told is read line by line."""

    def __init__(self, text: str, *arguments: str, new_session: bool = False) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", PREAMBLE + text, *arguments],
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            start_new_session=new_session,
        )
        assert self.process.stdout is not None
        self.out = self.process.stdout
        self.seen: list[str] = []
        os.set_blocking(self.out.fileno(), False)
        self._rest = b""

    def until(self, wanted: str, within_s: float = 15, nth: int = 1) -> str:
        """The nth line so far that begins with `wanted`, awaited."""

        def look() -> str | None:
            self._read()
            found = [line for line in self.seen if line.startswith(wanted)]
            return found[nth - 1] if len(found) >= nth else None

        return eventually(look, within_s, lambda: f"{wanted!r} not in {self.seen}")

    def pid(self, name: str, nth: int = 1) -> int:
        return int(self.until(f"{name} is ", nth=nth).rsplit(" ", 1)[1])

    def send(self, signum: int) -> None:
        self.process.send_signal(signum)

    def end(self, within_s: float = 12) -> int:
        status: int = self.process.wait(within_s)
        self._read()
        return status

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.out.close()

    def _read(self) -> None:
        while chunk := self.out.read(65536):
            *lines, self._rest = (self._rest + chunk).split(b"\n")
            self.seen += [line.decode() for line in lines]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a program, and ends it with the test."""
    with ExitStack() as ends:

        def started(text: str, *arguments: str, new_session: bool = False) -> Program:
            program = Program(text, *arguments, new_session=new_session)
            ends.callback(program.close)
            return program

        yield started


def eventually(look: Callable[[], T | None], within_s: float, why: Callable[[], str]) -> T:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError(why())


Start = Callable[..., "Program"]


def gone(pid: int) -> bool:
    """Whether the process has ended (one that waits to be collected by its parent has)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


def children_of(pid: int) -> str:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text()


linux_only = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


def test_roles_are_stopped_together_on_sigterm(start: Start) -> None:
    program = start('supervise(on_term("a", leave), on_term("b", leave))')
    program.until("ready")
    program.pid("a"), program.pid("b")
    program.send(signal.SIGTERM)
    assert program.end() == 0
    assert {"a leaves", "b leaves", "end 0 {}"} <= set(program.seen)
    assert not [line for line in program.seen if line.startswith("say")]


@linux_only
def test_a_killed_role_comes_back_and_leaves_no_zombie(start: Start) -> None:
    program = start('supervise(on_term("a", leave), on_term("b", leave))')
    first = program.pid("a")
    program.pid("b")
    os.kill(first, signal.SIGKILL)
    assert program.until("say a ") == "say a was killed by SIGKILL; trying again in 0.1 s"
    second = program.pid("a", nth=2)
    assert len(children_of(program.process.pid).split()) == 2
    assert str(second) in children_of(program.process.pid)
    program.send(signal.SIGTERM)
    assert program.end() == 0


def test_a_role_that_fails_is_tried_again_ever_later(start: Start) -> None:
    program = start("""
def fail():
    sys.stderr = open(os.devnull, "w")
    raise ValueError("as it does")
supervise(Role("quick", lambda: None), Role("bad", fail), Role("leaver", lambda: sys.exit(3)))
""")
    assert program.until("say quick", nth=1).endswith("ended with exit status 0; trying again in 0.1 s")
    assert program.until("say bad", nth=2).endswith("ended with exit status 1; trying again in 0.2 s")
    assert program.until("say leaver", nth=3).endswith("ended with exit status 3; trying again in 0.4 s")
    program.send(signal.SIGTERM)
    assert program.end(within_s=2) == 0


@linux_only
def test_a_role_that_does_not_stop_is_killed_in_time(start: Start) -> None:
    program = start('supervise(on_term("stubborn", stay), on_term("good", leave), stop_within_s=1.8)')
    stubborn = program.pid("stubborn")
    program.pid("good")
    begun = time.monotonic()
    program.send(signal.SIGTERM)
    assert program.end() == 0
    assert 0.9 < time.monotonic() - begun < 1.8
    assert gone(stubborn)
    assert {"stubborn stays", "good leaves", "say stubborn: not stopped in time, killed"} <= set(program.seen)


@linux_only
def test_a_second_ctrl_c_hurries_but_leaves_no_orphan(start: Start) -> None:
    program = start('supervise(on_term("stubborn", stay))', new_session=True)
    stubborn = program.pid("stubborn")
    begun = time.monotonic()
    os.killpg(program.process.pid, signal.SIGINT)
    program.until("stubborn stays")
    time.sleep(0.55)  # sooner, it would count as the same Ctrl-C
    os.killpg(program.process.pid, signal.SIGINT)
    assert program.end() == 0
    assert time.monotonic() - begun < 3
    assert gone(stubborn)


def test_ctrl_c_reaches_no_role_even_one_that_listens_for_it(start: Start) -> None:
    program = start(
        """
def listen():
    signal.signal(signal.SIGINT, lambda *_: tell("role got SIGINT"))
    signal.signal(signal.SIGTERM, lambda *_: leave("a"))
    tell("listening")
    while True:
        wait()
supervise(Role("a", listen))
""",
        new_session=True,
    )
    program.until("listening")
    os.killpg(program.process.pid, signal.SIGINT)
    assert program.end() == 0
    assert "a leaves" in program.seen
    assert "role got SIGINT" not in program.seen


@linux_only
@pytest.mark.parametrize("then", ["leave", "stay"])
def test_no_role_outlives_a_killed_supervisor(then: str, start: Start) -> None:
    program = start(
        f'from fandesk import supervisor as s; s._ORPHAN_GRACE_S = 0.5; supervise(on_term("a", {then}))'
    )
    role = program.pid("a")
    program.process.kill()
    program.process.wait()
    eventually(lambda: gone(role), 5, lambda: "the role lives on")


def test_a_stop_during_a_long_start_is_obeyed(start: Start) -> None:
    program = start("""
def migrate():
    tell("migrating")
    try:
        time.sleep(60)
    except Exception:
        tell("swallowed")
supervise(on_term("a", leave), prepare=migrate)
""")
    program.until("migrating")
    program.send(signal.SIGTERM)
    assert program.end(within_s=2) == 0
    assert program.seen == ["migrating", "end 0 {}"]


def test_what_fails_in_the_first_start_is_raised_when_all_has_stopped() -> None:
    def fail() -> None:
        raise RuntimeError("no")

    handlers = [signal.getsignal(signum) for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)]
    supervisor = Supervisor([Role("a", signal.pause)], postgres=None, say=print)
    with pytest.raises(RuntimeError, match="no"):
        supervisor.run(fail)
    assert supervisor.pids() == {}
    assert handlers == [signal.getsignal(signum) for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)]
    with pytest.raises(ValueError, match="names of their own"):
        Supervisor([Role("a", fail), Role("a", fail)], postgres=None, say=print)


@linux_only
def test_it_sleeps_when_nothing_happens(start: Start) -> None:
    program = start('supervise(on_term("a", leave))')
    program.pid("a")
    program.until("ready")

    def switches() -> int:
        status = Path(f"/proc/{program.process.pid}/status").read_text()
        return int(status.split("voluntary_ctxt_switches:", 1)[1].split()[0])

    eventually(lambda: Path(f"/proc/{program.process.pid}/stat").read_text().split()[2] == "S", 5, str)
    before = switches()
    time.sleep(0.5)
    assert switches() - before <= 2
    program.send(signal.SIGTERM)
    assert program.end() == 0


@linux_only
def test_postgres_is_first_to_start_last_to_stop_and_comes_back(tmp_path: Path, start: Start) -> None:
    program = start(
        """
import psycopg
data = Path(sys.argv[1])
server = EmbeddedPostgres(data)
def query(what):
    def then(name="a"):
        with psycopg.connect(server.dsn()) as c:
            tell(f"{what} {c.execute('SELECT 1').fetchone()[0]}")
        if what == "stop":
            sys.exit()
    return then
supervise(on_term("a", query("stop")), on_term("b", leave), postgres=server, prepare=query("prepare"))
""",
        str(tmp_path),
    )
    server = EmbeddedPostgres(tmp_path)
    file = tmp_path / "pids.json"
    pids = {"a": program.pid("a"), "b": program.pid("b")}
    assert program.seen[0] == "prepare 1"
    told = json.loads(file.read_text())
    assert list(told) == ["postgres", "a", "b"]
    assert told | pids == told

    os.kill(told["postgres"], signal.SIGKILL)
    assert program.until("say postgres") == "say postgres was killed by SIGKILL; trying again in 0.1 s"
    eventually(server.running, 10, server.log_tail)
    assert json.loads(file.read_text())["postgres"] != told["postgres"]
    assert not gone(pids["a"])
    with psycopg.connect(server.dsn(), autocommit=True) as held_open:
        held_open.execute("SELECT 1")
        program.send(signal.SIGTERM)
        assert program.end() == 0
    assert "stop 1" in program.seen
    assert "received fast shutdown request" in server.log_tail()
    assert not file.exists()
    assert not server._alive()


@linux_only
def test_a_killed_supervisor_takes_postgres_along_and_the_next_one_starts_at_once(
    tmp_path: Path, start: Start
) -> None:
    text = 'supervise(on_term("a", leave), postgres=EmbeddedPostgres(Path(sys.argv[1])))'
    first = start(text, str(tmp_path))
    first.until("ready")
    role = first.pid("a")
    first.process.kill()
    first.process.wait()
    second = start(text, str(tmp_path))
    second.until("ready")
    assert gone(role)
    second.send(signal.SIGTERM)
    assert second.end() == 0
    assert not EmbeddedPostgres(tmp_path)._alive()
