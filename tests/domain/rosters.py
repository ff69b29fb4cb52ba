"""Who is on call, by brute force: minute by minute, from the definition and `zoneinfo`, sharing no code.

The one idea: through every change of a clock, a local time has come once the clock has shown it or a later one. So
of each minute is written down how far the local clock has come until then, and everything else is read off that.
"""

import os
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

EXAMPLES = int(os.environ.get("FANDESK_TEST_ROSTERS", "25"))
"""Schedules tried per time zone and property."""

FIRST = datetime(2023, 12, 1, tzinfo=UTC)
YEAR = datetime(2024, 1, 1, tzinfo=UTC)
NEXT_YEAR = datetime(2025, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
MINUTES = int((NEXT_YEAR - FIRST) / MINUTE)

CHANGING = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe")
STEADY = ("Asia/Kolkata", "UTC")
DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

PEOPLE = [UUID(int=n) for n in range(1, 6)]


@lru_cache
def clocks(zone: str) -> "array[int]":
    """For each minute from FIRST on, how far the local clock has come: in minutes, 1440 to a date."""
    where, first, furthest = ZoneInfo(zone), int(FIRST.timestamp()), 0
    reached = array("l")
    for n in range(MINUTES):
        shown = datetime.fromtimestamp(first + 60 * n, where)
        furthest = max(furthest, shown.toordinal() * 1440 + shown.hour * 60 + shown.minute)
        reached.append(furthest)
    return reached


@lru_cache
def jumps(zone: str) -> list[int]:
    """The minutes at which the local clock of that year changed."""
    where, first = ZoneInfo(zone), int(FIRST.timestamp())
    offsets = [datetime.fromtimestamp(first + 60 * n, where).utcoffset() for n in range(MINUTES)]
    return [n for n in range(1, MINUTES) if offsets[n] != offsets[n - 1]]


def minute_of(at: datetime) -> int:
    return int((at - FIRST) // MINUTE)


def on_call(schedule: Mapping[str, Any], n: int) -> UUID | None:
    """Who is on call in that minute by the schedule, which is plain data as it would come as JSON."""
    at = FIRST + n * MINUTE
    for override in reversed(schedule.get("overrides", ())):
        if override["start"] <= at < override["end"]:
            return override["person"]
    reached = clocks(schedule["time_zone"])
    for layer in reversed(schedule["layers"]):
        turn = _turn(layer, reached, n)
        hours = layer.get("restrictions", ())
        if turn is not None and (not hours or any(within(window, reached[n]) for window in hours)):
            person = layer["people"][turn % len(layer["people"])]
            if person is not None:
                return person
    return None


def _turn(layer: Mapping[str, Any], reached: "array[int]", n: int) -> int | None:
    rotation, now = layer["rotation"], reached[n]
    handover = _clock(rotation["handover"])
    start = date.fromisoformat(layer["starts_on"]).toordinal() * 1440 + handover
    end = layer.get("ends_on")
    if now < start or (end and now >= date.fromisoformat(end).toordinal() * 1440 + handover):
        return None
    match rotation["kind"]:
        case "daily":
            return (now - start) // 1440
        case "days":
            return (now - start) // (1440 * rotation["days"])
        case "weekly":
            return bisect_right(_handovers(start, rotation["weekday"]), now)
        case "hours":
            return (n - bisect_left(reached, start)) // (60 * rotation["hours"])
    raise AssertionError(rotation)


def within(window: Mapping[str, Any], now: int) -> bool:
    """Whether the local clock, come as far as that, is in the window."""
    days, until = tuple(window.get("days", DAYS)), window.get("until")
    week = _week(days, _clock(window["start"]), until, _clock(window["end"]))
    return bool(week[now // 1440 % 7 * 1440 + now % 1440])


@lru_cache(maxsize=1000)
def _handovers(start: int, weekday: str) -> list[int]:
    """The weekly handovers after the day of the start, as the local clock shows them."""
    days = range(start // 1440 + 1, NEXT_YEAR.toordinal() + 2)
    return [day * 1440 + start % 1440 for day in days if DAYS[(day - 1) % 7] == weekday]


@lru_cache(maxsize=1000)
def _week(days: tuple[str, ...], start: int, until: str | None, end: int) -> bytearray:
    """Each minute of a week, 1 where the window is open; it begins on the day with an ordinal divisible by 7."""
    week = bytearray(7 * 1440)
    for ordinal in range(7, 14):
        day = ordinal
        if DAYS[(day - 1) % 7] not in days:
            continue
        opens, closes = day * 1440 + start, day * 1440 + end
        if until is None:
            closes += 1440 if closes < opens else 0
        else:
            while DAYS[(day - 1) % 7] != until or closes < opens:
                day, closes = day + 1, closes + 1440
        for minute in range(opens, closes):
            week[minute % (7 * 1440)] = 1
    return week


def _clock(text: str) -> int:
    hours, minutes = text.split(":")
    return int(hours) * 60 + int(minutes)


CLOCK = st.one_of(
    st.sampled_from(["00:00", "01:30", "02:00", "02:15", "02:30", "03:00", "09:00", "23:45"]),
    st.builds("{:02}:{:02}".format, st.integers(0, 23), st.integers(0, 59)),
)
"""More often than not in the hours that change."""


@st.composite
def windows(draw: st.DrawFn) -> dict[str, Any]:
    window: dict[str, Any] = {"start": draw(CLOCK), "end": draw(st.one_of(CLOCK, st.just("24:00")))}
    if draw(st.booleans()):
        window["days"] = draw(st.lists(st.sampled_from(DAYS), min_size=1, max_size=3, unique=True))
        window["until"] = draw(st.one_of(st.none(), st.sampled_from(DAYS)))
    if window["start"] == window["end"]:
        window["end"] = "24:00"
    return window


ROTATIONS = st.one_of(
    st.fixed_dictionaries({"kind": st.just("daily"), "handover": CLOCK}),
    st.fixed_dictionaries({"kind": st.just("weekly"), "weekday": st.sampled_from(DAYS), "handover": CLOCK}),
    st.fixed_dictionaries({"kind": st.just("days"), "days": st.integers(1, 40), "handover": CLOCK}),
    st.fixed_dictionaries({"kind": st.just("hours"), "hours": st.integers(1, 100), "handover": CLOCK}),
)


@st.composite
def layers(draw: st.DrawFn) -> dict[str, Any]:
    starts = draw(st.dates(date(2023, 12, 5), date(2024, 11, 30)))
    lasts = draw(st.one_of(st.none(), st.integers(1, 300)))
    layer: dict[str, Any] = {
        "people": draw(st.lists(st.sampled_from([*PEOPLE, None]), min_size=1, max_size=4)),
        "rotation": draw(ROTATIONS),
        "starts_on": starts.isoformat(),
        "ends_on": lasts and (starts + timedelta(days=lasts)).isoformat(),
    }
    if draw(st.booleans()):
        layer["restrictions"] = draw(st.lists(windows(), max_size=2))
    return layer


@st.composite
def overrides(draw: st.DrawFn) -> dict[str, Any]:
    start = YEAR + draw(st.integers(0, MINUTES - 50_000)) * MINUTE
    length = draw(st.one_of(st.integers(1, 600), st.integers(1, 40_000))) * MINUTE
    return {"start": start, "end": start + length, "person": draw(st.sampled_from([None, *PEOPLE]))}


@st.composite
def schedules(draw: st.DrawFn, zone: str) -> dict[str, Any]:
    """A schedule as plain data."""
    made = draw(st.lists(layers(), min_size=1, max_size=3))
    return {
        "name": "S",
        "time_zone": zone,
        "layers": [{"name": f"L{n}", **layer} for n, layer in enumerate(made)],
        "overrides": draw(st.lists(overrides(), max_size=3)),
    }
