"""On-call answers equal an independent calculation, minute by minute, in zones that change their clocks."""

from bisect import bisect_right
from datetime import datetime, timedelta
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rosters import (
    CHANGING,
    EXAMPLES,
    FIRST,
    MINUTE,
    MINUTES,
    NEXT_YEAR,
    PEOPLE,
    STEADY,
    YEAR,
    jumps,
    minute_of,
    on_call,
    schedules,
)

from domain.oncall import Schedule, layers_at, on_call_at
from domain.shifts import shifts

TICK = timedelta.resolution

RICH: dict[str, Any] = {
    "name": "Shop",
    "layers": [
        {
            "name": "base",
            "people": PEOPLE[:3],
            "rotation": {"kind": "weekly", "weekday": "sunday", "handover": "02:30"},
            "starts_on": "2023-12-13",
        },
        {
            "name": "nights",
            "people": PEOPLE[2:],
            "rotation": {"kind": "hours", "hours": 36, "handover": "02:15"},
            "starts_on": "2023-12-20",
            "restrictions": [{"start": "22:00", "end": "02:30"}],
        },
        {
            "name": "weekends",
            "people": PEOPLE[::-1],
            "rotation": {"kind": "daily", "handover": "02:00"},
            "starts_on": "2024-02-01",
            "ends_on": "2024-11-10",
            "restrictions": [{"days": ["saturday"], "start": "12:00", "until": "monday", "end": "02:15"}],
        },
    ],
    "overrides": [
        {"start": datetime.fromisoformat("2024-02-28T23:10Z"), "end": datetime.fromisoformat("2024-03-01T00:05Z"),
         "person": PEOPLE[4]},
        {"start": datetime.fromisoformat("2024-02-29T11:59Z"), "end": datetime.fromisoformat("2024-02-29T12:01Z"),
         "person": None},
    ],
}  # fmt: skip


def check(plain: dict[str, Any], minutes: list[int]) -> None:
    """`on_call_at`, `layers_at` and `shifts` say of those minutes of the year what the brute force says."""
    schedule = Schedule.model_validate(plain)
    found = shifts(schedule, YEAR, NEXT_YEAR)
    assert found[0].start == YEAR
    assert found[-1].end == NEXT_YEAR
    for before, after in pairwise(found):
        assert before.end == after.start
        assert before.person != after.person
    for before, after in [*pairwise(found)][:: len(found) // 200 + 1]:
        for edge in (after.start - TICK, after.start, after.start + TICK):
            assert on_call_at(schedule, edge) == (before if edge < after.start else after).person, edge
    starts = [shift.start for shift in found]
    edges = {minute_of(start) + beside for start in starts[:: len(starts) // 200 + 1] for beside in (-1, 0, 1)}
    for n in {*minutes, *edges}:
        at = FIRST + n * MINUTE
        if not YEAR <= at < NEXT_YEAR:
            continue
        wanted = on_call(plain, n)
        assert found[bisect_right(starts, at) - 1].person == wanted, at
        assert on_call_at(schedule, at) == wanted, at
        assert next((s.person for s in layers_at(schedule, at) if s.decides), None) == wanted, at


@pytest.mark.parametrize("zone", CHANGING + STEADY)
@settings(max_examples=EXAMPLES, deadline=None)
@given(data=st.data())
def test_any_schedule_over_a_year(zone: str, data: st.DataObject) -> None:
    plain = data.draw(schedules(zone))
    dice = Random(data.draw(st.integers(0, 10_000)))
    around = [change + dice.randrange(-200, 200) for change in jumps(zone) for _ in range(40)]
    check(plain, around + [dice.randrange(MINUTES) for _ in range(100)])


@pytest.mark.parametrize("zone", CHANGING)
def test_every_minute_of_a_leap_year(zone: str) -> None:
    plain = RICH | {"time_zone": zone}
    found = shifts(Schedule.model_validate(plain), YEAR, NEXT_YEAR)
    for shift in found:
        for n in range(minute_of(shift.start), minute_of(shift.end)):
            assert on_call(plain, n) == shift.person, FIRST + n * MINUTE
    assert {shift.person for shift in found} >= {None, *PEOPLE} - {None}
    check(plain, [change + n for change in jumps(zone) for n in range(-200, 200)])


def test_the_zones_change_as_they_are_meant_to() -> None:
    """The brute force itself: were the clocks it is tried on steady, it would say nothing of changes."""
    assert [len(jumps(zone)) for zone in CHANGING] == [2, 2, 2]
    assert [len(jumps(zone)) for zone in STEADY] == [0, 0]
