"""What is away and comes back: told once, tried again and again, a little later each time."""

import logging

import psycopg

log = logging.getLogger(__name__)

FIRST_S = 0.1
LONGEST_S = 1.0

_CLASSES = ("08", "40", "53", "57", "58")
"""SQL states of a lost connection, a conflict with others, want of resources, an operator, the system around."""
_TOO_SLOW = "57014"
"""A statement that was cancelled, as by a timeout: it would be so again."""
_READ_ONLY = "25006"
"""A server that has become a standby, or was told to take no changes."""


def is_passing(problem: BaseException) -> bool:
    """Whether the database says that it cannot do now what it could at another time."""
    state = (problem.sqlstate if isinstance(problem, psycopg.Error) else None) or ""
    return (state.startswith(_CLASSES) and state != _TOO_SLOW) or state == _READ_ONLY


def is_outage(problem: psycopg.Error) -> bool:
    """Whether a follower's own connection is lost, or of no use at the moment."""
    lost = problem.sqlstate is None and isinstance(problem, psycopg.OperationalError | psycopg.InterfaceError)
    return lost or is_passing(problem)


class Outage:
    """One thing that may be away. words: what the log says of it, before the problem's own words."""

    def __init__(self, words: str) -> None:
        self._words = words
        self._pause_s = 0.0
        self.problem: str | None = None
        """What it says at the moment; None: it works."""

    def goes_on(self, problem: BaseException) -> float:
        """It is away (still): log that once; how many seconds to wait before the next try."""
        known, self.problem = self.problem, " ".join(str(problem).split())
        if known is None:
            log.warning("%s: %s; trying again until it is back", self._words, self.problem)
        self._pause_s = min(self._pause_s * 2 or FIRST_S, LONGEST_S)
        return self._pause_s

    def over(self) -> bool:
        """It works; whether it did not before."""
        known, self.problem = self.problem, None
        self._pause_s = 0.0
        return known is not None
