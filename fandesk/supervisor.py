"""The supervisor of `fandesk up`: PostgreSQL and the roles as children, restarted when they die.

One thread, no polling: it sleeps in `select` until a signal comes (SIGCHLD too) or the next restart is due.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import select
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from types import FrameType
from typing import Any, NoReturn

from fandesk.account import EmbeddedPostgresError, die_with_parent
from fandesk.embedded import EmbeddedPostgres

POSTGRES = "postgres"
FIRST_BACKOFF_S = 0.1
LONGEST_BACKOFF_S = 5.0
STEADY_AFTER_S = 30.0  # a child that has lived so long is tried again after the first backoff

_ROLES_SHARE = 5 / 9  # of the time to stop; then the roles that are left are killed, PostgreSQL has the rest
_SAME_CTRL_C_S = 0.5  # wrappers such as `uv run` pass on the Ctrl-C that the terminal has sent already
_ORPHAN_GRACE_S = 5.0
_READY_AGAIN_S = 0.05


class _StopAsked(BaseException):
    """A stop signal came during something long; not an Exception, so that nothing in between swallows it."""


@dataclass(frozen=True)
class Role:
    """A part of the product that runs in a process of its own.

    `run` is called in the forked child, with SIGTERM at its default action, and works until SIGTERM.
    Returning ends the child with exit status 0, SystemExit with its code, other exceptions with 1.
    """

    name: str
    run: Callable[[], None]


@dataclass
class _Child:
    """One child: its process while it lives, else when (time.monotonic) it is to be tried again."""

    name: str
    start: Callable[[], int]
    pid: int | None = None
    started: float = 0.0
    due: float | None = None
    backoff_s: float = FIRST_BACKOFF_S


class Supervisor:
    """Runs PostgreSQL (if given) and the roles until it is told to stop. Use it once, from the main thread.

    `say` gets one plain line per restart. `prepare` (migrations) is called once, when PostgreSQL is ready and
    before the first role is forked. Stopping takes about `stop_within_s` seconds at most.
    """

    def __init__(
        self,
        roles: Sequence[Role],
        *,
        postgres: EmbeddedPostgres | None,
        say: Callable[[str], None],
        prepare: Callable[[], None] | None = None,
        stop_within_s: float = 9.0,
    ) -> None:
        names = [POSTGRES, *(role.name for role in roles)]
        if len(set(names)) < len(names):
            raise ValueError(f"roles need names of their own, none of them {POSTGRES!r}: {names[1:]}")
        self._postgres = postgres
        self._process: subprocess.Popen[bytes] | None = None
        self._say_line = say
        self._prepare = prepare
        self._stop_within_s = stop_within_s
        self._server = _Child(POSTGRES, self._spawn_postgres)
        self._roles = [_Child(role.name, partial(self._fork, role)) for role in roles]
        self._asked_at: float | None = None
        self._hurry = False
        self._interruptible = False
        self._wakeup = (-1, -1)
        self._lifeline = (-1, -1)

    def pids(self) -> dict[str, int]:
        """The process ids of the children that live now, by name: "postgres" and the roles'."""
        return {child.name: child.pid for child in (self._server, *self._roles) if child.pid is not None}

    def run(self, ready: Callable[[], bool | None] | None = None) -> int:
        """Start everything, call `ready`, keep it alive until SIGTERM, SIGINT or SIGHUP, and stop everything.

        `ready` is called again, a little later, for as long as it returns False; it must not take long.

        Returns the exit status: 0, or 1 if PostgreSQL would not stop. What goes wrong in the first start
        (EmbeddedPostgresError, OSError, what `prepare` or `ready` raises) is raised after everything stopped.
        """
        self._lifeline = os.pipe()
        before = self._take_signals()
        status = 1
        try:
            self._start_all()
            self._watch(ready)
        except _StopAsked:
            pass
        finally:
            try:
                status = self._stop_all()
            finally:
                self._give_signals_back(before)
                _close(self._lifeline)
        return status

    def _start_all(self) -> None:
        if self._postgres is not None:
            self._interruptibly(self._postgres.prepare)
            self._start(self._server)
            self._interruptibly(self._postgres.wait_ready)
        if self._prepare is not None:
            self._interruptibly(self._prepare)
        gc.collect()
        gc.freeze()  # else a collection in a child would write to, and so copy, the pages it shares with us
        for child in self._roles:
            if self._asked_at is not None:
                raise _StopAsked
            self._start(child)

    def _start(self, child: _Child) -> None:
        child.started = time.monotonic()
        child.due = None
        child.pid = child.start()
        self._write_pids()

    def _spawn_postgres(self) -> int:
        assert self._postgres is not None
        self._process = self._postgres.spawn()
        return self._process.pid

    def _fork(self, role: Role) -> int:
        sys.stdout.flush()
        sys.stderr.flush()
        parent = os.getpid()
        # Our handlers must not run in the child: what comes before it has reset them stays pending.
        ours = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD}
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, ours)
        try:
            pid = os.fork()
            if pid == 0:
                self._become(role, parent, mask)
            return pid
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def _become(self, role: Role, parent: int, mask: Iterable[int]) -> NoReturn:
        """Run the role, in the child, which never comes back from here."""
        status = 1
        try:
            # The terminal sends Ctrl-C to its whole session; in which order to stop is the parent's business.
            os.setsid()
            signal.set_wakeup_fd(-1)
            for signum in (signal.SIGTERM, signal.SIGCHLD):
                signal.signal(signum, signal.SIG_DFL)
            for signum in (signal.SIGINT, signal.SIGHUP):
                signal.signal(signum, signal.SIG_IGN)
            _close((*self._wakeup, self._lifeline[1]))
            if self._postgres is not None:
                self._postgres.disown()
            die_with_parent(signal.SIGTERM, parent)
            threading.Thread(target=_end_with, args=(self._lifeline[0],), daemon=True, name="lifeline").start()
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            role.run()
            status = 0
        except SystemExit as left:
            status = left.code if isinstance(left.code, int) else int(left.code is not None)
        except BaseException:
            traceback.print_exc()
        finally:
            with suppress(BaseException):
                logging.shutdown()
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(status & 0xFF)

    def _watch(self, ready: Callable[[], bool | None] | None) -> None:
        while self._asked_at is None:
            for child, how in self._reap():
                self._plan(child, how)
            now = time.monotonic()
            for child in (self._server, *self._roles):
                if child.due is not None and child.due <= now and self._asked_at is None:
                    self._restart(child)
            dues = [child.due for child in (self._server, *self._roles) if child.due is not None]
            if ready is not None and self._asked_at is None:
                if ready() is False:
                    dues.append(time.monotonic() + _READY_AGAIN_S)
                else:
                    ready = None
            self._sleep_until(min(dues, default=None))

    def _restart(self, child: _Child) -> None:
        try:
            if child is self._server and self._postgres is not None:
                self._interruptibly(self._postgres.prepare)
            self._start(child)
        except (EmbeddedPostgresError, OSError) as error:
            self._plan(child, f"could not be started ({error})")

    def _plan(self, child: _Child, how: str) -> None:
        now = time.monotonic()
        if now - child.started >= STEADY_AFTER_S:
            child.backoff_s = FIRST_BACKOFF_S
        child.due = now + child.backoff_s
        self._say(f"{child.name} {how}; trying again in {child.backoff_s:.1f} s")
        child.backoff_s = min(child.backoff_s * 2, LONGEST_BACKOFF_S)

    def _reap(self) -> list[tuple[_Child, str]]:
        """Collect every dead child (strangers too, if we are process 1); ours, with how they ended."""
        codes: dict[int, int] = {}
        with suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG))[0] != 0:
                codes[found[0]] = os.waitstatus_to_exitcode(found[1])
        if self._process is not None and self._server.pid is not None:
            code = self._process.poll()  # it may have been collected by EmbeddedPostgres already
            if code is not None:
                codes.setdefault(self._server.pid, code)
        ended = []
        for child in (self._server, *self._roles):
            if child.pid in codes:
                ended.append((child, _how(codes[child.pid])))
                child.pid = None
        if ended:
            self._write_pids()
        return ended

    def _stop_all(self) -> int:
        begun = time.monotonic()
        for child in reversed(self._roles):
            _send(child, signal.SIGTERM)
        grace_ends = begun + self._stop_within_s * _ROLES_SHARE
        killed = False
        while True:
            self._reap()
            left = [child for child in self._roles if child.pid is not None]
            now = time.monotonic()
            if not left or (killed and now >= begun + self._stop_within_s):
                break
            if not killed and (self._hurry or now >= grace_ends):
                killed = True
                for child in left:
                    _send(child, signal.SIGKILL)
                self._say(f"{', '.join(child.name for child in left)}: not stopped in time, killed")
            self._sleep_until(begun + self._stop_within_s if killed else grace_ends)
        status = 0
        if self._postgres is not None and self._postgres.owned:
            try:
                left_s = begun + self._stop_within_s - time.monotonic()
                self._postgres.stop(timeout_s=max(left_s, 1.0))
            except EmbeddedPostgresError as error:
                self._say(str(error))
                status = 1
            self._server.pid = None
            with suppress(OSError):
                (self._postgres.data / "pids.json").unlink(missing_ok=True)
        return status

    def _take_signals(self) -> dict[signal.Signals, Any]:
        self._wakeup = os.pipe()
        for end in self._wakeup:
            os.set_blocking(end, False)
        before = {}
        for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            if signum != signal.SIGHUP or signal.getsignal(signum) != signal.SIG_IGN:  # started with `nohup`
                before[signum] = signal.signal(signum, self._on_signal)
        signal.set_wakeup_fd(self._wakeup[1], warn_on_full_buffer=False)
        return before

    def _give_signals_back(self, before: dict[signal.Signals, Any]) -> None:
        signal.set_wakeup_fd(-1)
        for signum, handler in before.items():
            signal.signal(signum, handler)
        _close(self._wakeup)

    def _on_signal(self, signum: int, frame: FrameType | None) -> None:
        if signum == signal.SIGCHLD:
            return  # it has woken the loop: that is all it is for
        now = time.monotonic()
        if self._asked_at is None:
            self._asked_at = now
        elif now - self._asked_at > _SAME_CTRL_C_S:
            self._hurry = True
        if self._interruptible:
            self._interruptible = False
            raise _StopAsked

    def _interruptibly(self, work: Callable[[], None]) -> None:
        """Do something that may take long; a stop signal ends it with _StopAsked."""
        try:
            self._interruptible = True
            if self._asked_at is not None:
                raise _StopAsked
            work()
        finally:
            self._interruptible = False

    def _sleep_until(self, moment: float | None) -> None:
        """Sleep until a signal comes, or until `moment` (time.monotonic) if that is earlier."""
        timeout = None if moment is None else max(0.0, moment - time.monotonic())
        if select.select([self._wakeup[0]], [], [], timeout)[0]:
            with suppress(BlockingIOError):
                while os.read(self._wakeup[0], 4096):
                    pass

    def _say(self, line: str) -> None:
        with suppress(OSError, ValueError):  # a closed terminal is no reason to fall
            self._say_line(line)

    def _write_pids(self) -> None:
        if self._postgres is None:
            return
        file = self._postgres.data / "pids.json"
        try:
            file.with_suffix(".new").write_text(json.dumps(self.pids()) + "\n")
            file.with_suffix(".new").replace(file)
        except OSError as error:
            self._say(f"{file} could not be written ({error})")


def _send(child: _Child, signum: signal.Signals) -> None:
    if child.pid is not None:
        with suppress(ProcessLookupError):
            os.kill(child.pid, signum)


def _how(code: int) -> str:
    """How a child ended, in words, from its exit code (negative: the signal)."""
    if code >= 0:
        return f"ended with exit status {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"


def _close(files: Iterable[int]) -> None:
    for file in files:
        os.close(file)


def _end_with(lifeline: int) -> None:
    """End this process when its parent has: the parent alone holds the other end of the pipe `lifeline`.

    SIGTERM first (on Linux the kernel has sent it as well), then the hard way for a role that hangs.
    """
    os.read(lifeline, 1)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_ORPHAN_GRACE_S)
    os._exit(1)
