"""Local time, and the instants at which it comes: the one rule for every change of a clock.

A local time comes at the first instant at which the zone's clock shows it or a later one. So a time that the
clock skips comes with the change, a time that is shown twice comes the first time, and of two local times the
later never comes first. A date that a zone skipped (Pacific/Apia, 30 December 2011) comes with the one after it.
"""

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Annotated, Final, Literal, get_args
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, AwareDatetime, PlainSerializer, StringConstraints

from domain.errors import InvalidField
from domain.words import rfc3339

Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]

WEEKDAYS: Final[tuple[Weekday, ...]] = get_args(Weekday)
"""In the order of `date.weekday()`."""

DAY_MIN: Final = 24 * 60
WEEK_MIN: Final = 7 * DAY_MIN

FIRST_YEAR: Final = 1970
LAST_YEAR: Final = 2999
"""No schedule is asked about, or begins, outside these years."""

NOT_ZONES: Final = frozenset(("localtime", "Factory"))
"""Names that some machines know, and that mean another place on each, or none."""


def moment(field: str, at: datetime) -> datetime:
    """`at` in UTC. Raises InvalidField, naming `field`, without a time zone or outside the years served."""
    try:
        return _moment(at)
    except ValueError as error:
        raise InvalidField(field, str(error)) from None


def zone_of(name: str) -> ZoneInfo:
    """The zone of an IANA name, such as Europe/Berlin. Raises ValueError where nobody knows it."""
    if name not in _known_zones():
        raise ValueError("is not an IANA time zone, such as Europe/Berlin")
    return ZoneInfo(name)


def minutes(clock: str) -> int:
    """Minutes from midnight to the clock's HH:MM; 24:00 is 1440."""
    return int(clock[:2]) * 60 + int(clock[3:])


def comes(day: date, minute: int, zone: ZoneInfo) -> datetime:
    """The instant (UTC) at which the local time so many minutes after the day's midnight comes.

    `minute` is read off the wall, not elapsed: 26 * 60 is 02:00 of the next day, however long the night was.
    """
    days, minute = divmod(minute, DAY_MIN)
    day += timedelta(days=days)
    midnight = _steady_midnight(day, zone)
    if midnight is not None:
        return midnight + timedelta(minutes=minute)
    local = _on_the_wall(day) + timedelta(minutes=minute)
    at = local.replace(tzinfo=zone).astimezone(UTC)
    if _shown(at, zone) == local:
        return at
    before = local.replace(tzinfo=zone, fold=1).astimezone(UTC)
    return _change(before, at, local, zone)


def local_date(at: datetime, zone: ZoneInfo) -> date:
    """The date on the zone's calendar at that instant."""
    return at.astimezone(zone).date()


@lru_cache(maxsize=4096)
def _steady_midnight(day: date, zone: ZoneInfo) -> datetime | None:
    """When (UTC) the day begins, if no clock changes from its midnight to the next; None on all other days.

    Schedules ask for thousands of times on each of few days. No clock ever changed and changed back within a day:
    the two midnights tell, each in both of its readings, which differ where it is repeated or skipped.
    """
    first, next = (_on_the_wall(day + timedelta(days=n)).replace(tzinfo=zone) for n in (0, 1))
    offsets = {at.replace(fold=fold).utcoffset() for at in (first, next) for fold in (0, 1)}
    return first.astimezone(UTC) if len(offsets) == 1 else None


def _on_the_wall(day: date) -> datetime:
    return datetime(day.year, day.month, day.day)  # noqa: DTZ001 (what a wall's clock shows is in no zone)


def _shown(at: datetime, zone: ZoneInfo) -> datetime:
    return at.astimezone(zone).replace(tzinfo=None)


def _change(before: datetime, after: datetime, skipped: datetime, zone: ZoneInfo) -> datetime:
    """The instant between the two at which the clock skipped that time; clocks change at whole seconds."""
    low, high = 0, int((after - before).total_seconds())
    while high - low > 1:
        middle = (low + high) // 2
        if _shown(before + timedelta(seconds=middle), zone) > skipped:
            high = middle
        else:
            low = middle
    return before + timedelta(seconds=high)


@lru_cache(maxsize=1)
def _known_zones() -> frozenset[str]:
    return frozenset(available_timezones()) - NOT_ZONES


def _zone_name(name: str) -> str:
    zone_of(name)
    return name


def _served(day: date) -> date:
    if not FIRST_YEAR <= day.year <= LAST_YEAR:
        raise ValueError(f"lies outside the years {FIRST_YEAR} to {LAST_YEAR}")
    return day


def _moment(at: datetime) -> datetime:
    if at.utcoffset() is None:
        raise ValueError("has no time zone")
    _served(at)
    return at.astimezone(UTC)


ClockTime = Annotated[str, StringConstraints(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]
"""HH:MM on a local clock, 00:00 to 23:59."""

EndTime = Annotated[str, StringConstraints(pattern=r"^(([01]\d|2[0-3]):[0-5]\d|24:00)$")]
"""HH:MM on a local clock; 24:00 is the end of the day."""

ZoneName = Annotated[str, AfterValidator(_zone_name)]
"""An IANA time zone, such as Europe/Berlin."""

LocalDate = Annotated[date, AfterValidator(_served)]
"""A date on the calendar of some zone."""

Moment = Annotated[
    AwareDatetime, AfterValidator(_moment), PlainSerializer(rfc3339, return_type=str, when_used="json")
]
"""A point in time that somebody set: refused without a time zone, kept in UTC, written as RFC 3339."""
