"""What is away and comes back: told once, tried again and again, a little later each time."""

import logging

import psycopg

log = logging.getLogger(__name__)

FIRST_S = 0.1
LONGEST_S = 1.0

_CLASSES = ("08", "40", "53", "57", "58")
"""SQL states of a lost connection, a conflict with others, want of resources, an operator, the system around."""
_READ_ONLY = "25006"
"""A server that has become a standby, or was told to take no changes."""


def is_outage(problem: BaseException) -> bool:
    """Whether it will pass: a lost connection, or a database that cannot work at the moment."""
    if not isinstance(problem, psycopg.Error):
        return False
    state = problem.sqlstate
    if state is None:
        return isinstance(problem, psycopg.OperationalError | psycopg.InterfaceError)
    return state.startswith(_CLASSES) or state == _READ_ONLY


class Outage:
    """One thing that may be away. words: what the log says of it, before the problem's own words."""

    def __init__(self, words: str) -> None:
        self._words = words
        self._pause_s = 0.0

    def goes_on(self, problem: BaseException) -> float:
        """It is away (still): log that once; how many seconds to wait before the next try."""
        if not self._pause_s:
            log.warning("%s, trying again until it is back: %s", self._words, str(problem).strip())
        self._pause_s = min(self._pause_s * 2 or FIRST_S, LONGEST_S)
        return self._pause_s

    def over(self) -> None:
        """It works."""
        self._pause_s = 0.0
