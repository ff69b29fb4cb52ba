"""Rotations: when one person's turn ends and the next one's begins."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Annotated, Literal, TypeAlias, assert_never
from zoneinfo import ZoneInfo

from pydantic import Field

from domain.events import Value
from domain.localtime import WEEKDAYS, ClockTime, Weekday, comes, local_date, minutes
from domain.values import Whole


class Daily(Value):
    """Hands over at the same local time every day, be the day 23, 24 or 25 hours long."""

    kind: Literal["daily"] = "daily"
    handover: ClockTime


class Weekly(Value):
    """Hands over once a week. Where the layer starts on another weekday, its first turn is a shorter one."""

    kind: Literal["weekly"] = "weekly"
    weekday: Weekday
    handover: ClockTime


class EveryDays(Value):
    """Hands over at the same local time every so many days of the calendar, counted from the layer's start."""

    kind: Literal["days"] = "days"
    days: Whole = Field(ge=1, le=366)
    handover: ClockTime


class EveryHours(Value):
    """Hands over every so many hours that really passed since the layer's start, whatever the clocks showed."""

    kind: Literal["hours"] = "hours"
    hours: Whole = Field(ge=1, le=366 * 24)
    handover: ClockTime


Rotation: TypeAlias = Annotated[Daily | Weekly | EveryDays | EveryHours, Field(discriminator="kind")]
"""`handover` is also the local time at which the layer starts, on the date it starts on."""


@dataclass(frozen=True, slots=True)
class CalendarTurns:
    """Turns that begin at a local time: the first on the date `first`, then on `second` and every `days` after."""

    first: date
    second: date
    days: int
    minute: int
    zone: ZoneInfo

    def begins(self, number: int) -> datetime:
        """When the turn begins, which is when the one before ends. Turns count from 0."""
        day = self.second + timedelta(days=(number - 1) * self.days) if number else self.first
        return comes(day, self.minute, self.zone)

    def number_at(self, at: datetime) -> int:
        """The turn that holds at that instant; -1 before the first."""
        number = max((local_date(at, self.zone) - self.second).days // self.days + 1, 0)
        while number >= 0 and self.begins(number) > at:
            number -= 1
        while self.begins(number + 1) <= at:
            number += 1
        return number


@dataclass(frozen=True, slots=True)
class ElapsedTurns:
    """Turns of equal length in elapsed time."""

    start: datetime
    length: timedelta

    def begins(self, number: int) -> datetime:
        """When the turn begins, which is when the one before ends. Turns count from 0."""
        return self.start + number * self.length

    def number_at(self, at: datetime) -> int:
        """The turn that holds at that instant; -1 before the first."""
        return max((at - self.start) // self.length, -1)


Turns: TypeAlias = CalendarTurns | ElapsedTurns


def turns(rotation: Rotation, starts_on: date, zone: ZoneInfo) -> Turns:
    """The turns of a rotation that starts on that local date."""
    minute = minutes(rotation.handover)
    match rotation:
        case Daily():
            return CalendarTurns(starts_on, starts_on + timedelta(days=1), 1, minute, zone)
        case EveryDays(days=days):
            return CalendarTurns(starts_on, starts_on + timedelta(days=days), days, minute, zone)
        case Weekly(weekday=weekday):
            ahead = (WEEKDAYS.index(weekday) - starts_on.weekday()) % 7 or 7
            return CalendarTurns(starts_on, starts_on + timedelta(days=ahead), 7, minute, zone)
        case EveryHours(hours=hours):
            return ElapsedTurns(comes(starts_on, minute, zone), timedelta(hours=hours))
        case _:
            assert_never(rotation)
