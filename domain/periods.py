"""Days, weeks and months of a time zone, and the period before a period."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Final, Literal, NamedTuple

Interval = Literal["day", "week", "month"]

SHORTEST: Final[dict[Interval, timedelta]] = {
    "day": timedelta(hours=23),
    "week": timedelta(days=6, hours=23),
    "month": timedelta(days=27, hours=23),
}


class Period(NamedTuple):
    """The time in [start, end), in UTC."""

    start: datetime
    end: datetime


def midnight(day: date, zone: tzinfo) -> datetime:
    """When that day begins there, in UTC. Where the clock strikes twelve twice: the first time."""
    return datetime.combine(day, time(), zone).astimezone(UTC)


def beginning(at: datetime, interval: Interval, zone: tzinfo) -> date:
    """The first day of the day, the week (from Monday) or the month that `at` is in, there."""
    day = at.astimezone(zone).date()
    match interval:
        case "day":
            return day
        case "week":
            return day - timedelta(days=day.weekday())
        case "month":
            return day.replace(day=1)


def following(day: date, interval: Interval) -> date:
    """The first day of the next one."""
    match interval:
        case "day":
            return day + timedelta(days=1)
        case "week":
            return day + timedelta(days=7)
        case "month":
            return _months_after(day, 1)


def boundaries(period: Period, interval: Interval, zone: tzinfo) -> list[datetime]:
    """Where the days, weeks or months within the period begin and end: its start, all between, its end. The first
    and the last are shorter than others where the period begins or ends within one."""
    return [period.start, *_between(period, interval, zone), period.end]


def whole(at: datetime, interval: Interval, zone: tzinfo) -> Period:
    """The day, week or month there that `at` is in."""
    first = beginning(at, interval, zone)
    return Period(midnight(first, zone), midnight(following(first, interval), zone))


def before(period: Period, zone: tzinfo) -> Period | None:
    """The equal period right before: as many months where it is whole months there, as many days where it is whole
    days, else exactly as long. None where it is empty, or would begin before the year 2."""
    if period.end <= period.start:
        return None
    try:
        first, last = (at.astimezone(zone).date() for at in period)
        if (midnight(first, zone), midnight(last, zone)) != period:
            start = period.start - (period.end - period.start)
        elif first.day == last.day == 1:
            months = (last.year - first.year) * 12 + last.month - first.month
            start = midnight(_months_after(first, -months), zone)
        else:
            start = midnight(first - (last - first), zone)
    except (OverflowError, ValueError):
        return None
    return Period(start, period.start) if start.year > 1 else None


def _between(period: Period, interval: Interval, zone: tzinfo) -> Iterator[datetime]:
    day = beginning(period.start, interval, zone)
    while (at := midnight(day, zone)) < period.end:
        if at > period.start:
            yield at
        day = following(day, interval)


def _months_after(first: date, months: int) -> date:
    year, month = divmod(first.year * 12 + first.month - 1 + months, 12)
    return date(year, month + 1, 1)
