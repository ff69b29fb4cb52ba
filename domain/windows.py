"""Windows of the local week: which hours of which weekdays, and the instants at which they are open."""

from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import Field, ValidationInfo, field_validator

from domain.events import Value
from domain.localtime import (
    DAY_MIN,
    WEEK_MIN,
    WEEKDAYS,
    ClockTime,
    EndTime,
    Weekday,
    comes,
    local_date,
    minutes,
)
from domain.values import SOME

Spell = tuple[datetime, datetime]
"""From the first instant (included) to the second (not included), UTC."""

LONGEST = timedelta(days=9)
"""No window is open longer than a week, and no change of a clock makes it two days more."""


class Window(Value):
    """Open on each of `days` from `start` until `end`, local times.

    Without `until`, an `end` that is not after `start` is the next day's: 22:00 to 06:00 crosses midnight. With
    `until`, `end` is on the next such weekday, which may lie in the next week: friday 18:00 until monday 08:00. A
    whole day is 00:00 to 24:00. Both ends come as local times come (see `domain.localtime`), the end is not in it.
    """

    days: Annotated[tuple[Weekday, ...], SOME] = Field(default=WEEKDAYS, max_length=7)
    start: ClockTime
    until: Weekday | None = None
    end: EndTime

    @field_validator("end")
    @classmethod
    def _lasts(cls, end: str, info: ValidationInfo) -> str:
        if not info.data.keys() >= {"days", "start", "until"}:
            return end  # those are refused by themselves
        days, start, until = info.data["days"], info.data["start"], info.data["until"]
        if any(_length(day, start, until, end) == 0 for day in days):
            raise ValueError("is when the window starts: nothing is in it (a whole day is 00:00 to 24:00)")
        return end

    def length(self, day: Weekday) -> int:
        """Minutes on the wall from its start on that weekday to its end."""
        return _length(day, self.start, self.until, self.end)

    def spells(self, day: Weekday, zone: ZoneInfo, start: datetime, end: datetime) -> Iterator[Spell]:
        """When it is open from that weekday on, as far as that touches [start, end); in order, uncut."""
        opens, length = minutes(self.start), self.length(day)
        on = _next(day, local_date(start - LONGEST, zone))
        while (begins := comes(on, opens, zone)) < end:
            ends = comes(on, opens + length, zone)
            if start < ends and begins < ends:
                yield begins, ends
            on += timedelta(days=7)


def spells(windows: Sequence[Window], zone: ZoneInfo, start: datetime, end: datetime) -> list[Spell]:
    """When any of them is open, as far as that touches [start, end); in order, apart from each other, uncut."""
    found: list[Spell] = []
    for begins, ends in sorted(s for w in windows for day in set(w.days) for s in w.spells(day, zone, start, end)):
        if found and begins <= found[-1][1]:
            found[-1] = (found[-1][0], max(ends, found[-1][1]))
        else:
            found.append((begins, ends))
    return found


def closes_at(windows: Sequence[Window], zone: ZoneInfo, at: datetime) -> datetime | None:
    """Until when they stay open from `at` on, windows that meet taken as one; None where none is open then.

    At windows that leave no minute of the week free (`always_open`) it would never come back: do not ask.
    """
    closes = at
    while open_now := spells(windows, zone, closes, closes + timedelta.resolution):
        closes = open_now[-1][1]
    return None if closes == at else closes


def is_open(windows: Sequence[Window], zone: ZoneInfo, at: datetime) -> bool:
    """Whether any of them is open at that instant."""
    return bool(spells(windows, zone, at, at + timedelta.resolution))


def always_open(windows: Sequence[Window]) -> bool:
    """Whether they leave no minute of the local week free."""
    taken = sorted(
        (begins, begins + window.length(day))
        for window in windows
        for day in window.days
        for turn in (-1, 0)
        for begins in (WEEKDAYS.index(day) * DAY_MIN + minutes(window.start) + turn * WEEK_MIN,)
    )
    free_from = 0
    for begins, ends in taken:
        if begins > free_from:
            return False
        free_from = max(free_from, ends)
    return free_from >= WEEK_MIN


def _length(day: Weekday, start: str, until: Weekday | None, end: str) -> int:
    """Minutes on the wall; 0 is a window that holds nothing."""
    length = minutes(end) - minutes(start)
    if until is None:
        return length if length >= 0 else length + DAY_MIN
    length += (WEEKDAYS.index(until) - WEEKDAYS.index(day)) % 7 * DAY_MIN
    return length if length >= 0 else length + WEEK_MIN


def _next(day: Weekday, since: date) -> date:
    """The first date with that weekday, `since` or later."""
    return since + timedelta(days=(WEEKDAYS.index(day) - since.weekday()) % 7)
