"""Days, weeks and months of a zone, and the equal period before, by hand."""

from datetime import UTC, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.periods import Interval, Period, before, boundaries, whole

BERLIN, HAVANA, BEIRUT = ZoneInfo("Europe/Berlin"), ZoneInfo("America/Havana"), ZoneInfo("Asia/Beirut")


def local(text: str, zone: ZoneInfo = BERLIN) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone).astimezone(UTC)


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        (BERLIN, "2026-03-29", 23), (BERLIN, "2026-10-25", 25), (BERLIN, "2026-10-26", 24),
        (HAVANA, "2026-11-01", 25),  # the clock strikes twelve twice
        (HAVANA, "2026-03-08", 23), (BEIRUT, "2026-03-29", 23),  # and not at all
    ],
)  # fmt: skip
def test_a_day_is_as_long_as_it_is_there(zone: ZoneInfo, day: str, hours: int) -> None:
    found = whole(local(f"{day}T12:00", zone), "day", zone)
    assert (found.end - found.start).total_seconds() == hours * 3600


def test_weeks_begin_on_monday_and_the_ends_are_cut() -> None:
    period = Period(local("2026-03-25T10:00"), local("2026-04-06T00:00"))
    weeks = ["2026-03-25T10:00", "2026-03-30T00:00", "2026-04-06T00:00"]
    assert boundaries(period, "week", BERLIN) == [local(at) for at in weeks]
    months = ["2026-03-25T10:00", "2026-04-01T00:00", "2026-04-06T00:00"]
    assert boundaries(period, "month", BERLIN) == [local(at) for at in months]


@pytest.mark.parametrize(
    ("period", "expected"),
    [
        (("2026-03-01", "2026-04-01"), ("2026-02-01", "2026-03-01")),  # a month, though shorter
        (("2026-01-01", "2026-04-01"), ("2025-10-01", "2026-01-01")),
        (("2026-03-29", "2026-03-30"), ("2026-03-28", "2026-03-29")),  # a day, though longer
        (("2026-03-23", "2026-03-30"), ("2026-03-16", "2026-03-23")),
        (("2026-03-29T12:00", "2026-03-30T12:00"), ("2026-03-28T11:00", "2026-03-29T12:00")),  # exactly as long
    ],
)
def test_the_equal_period_before(period: tuple[str, str], expected: tuple[str, str]) -> None:
    assert before(Period(*map(local, period)), BERLIN) == tuple(map(local, expected))


def test_what_has_no_period_before() -> None:
    at = local("2026-01-01T00:00")
    assert before(Period(at, at), BERLIN) is None
    assert before(Period(datetime(2, 1, 1, tzinfo=UTC), at), ZoneInfo("UTC")) is None


@given(
    start=st.datetimes(datetime(1990, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC)),
    days=st.floats(0.001, 200),
    interval=st.sampled_from(["day", "week", "month"]),
    zone=st.sampled_from([BERLIN, HAVANA, BEIRUT, ZoneInfo("Australia/Lord_Howe"), ZoneInfo("Asia/Kathmandu")]),
)
def test_boundaries_rise_and_each_moment_is_in_the_bucket_of_its_own_day(
    start: datetime, days: float, interval: Interval, zone: ZoneInfo
) -> None:
    end = datetime.fromtimestamp(start.timestamp() + days * 86400, UTC)
    bounds = boundaries(Period(start, end), interval, zone)
    assert bounds == sorted(set(bounds)) and (bounds[0], bounds[-1]) == (start, end)
    for first, last in pairwise(bounds):
        around = whole(first, interval, zone)
        assert around.start <= first < last <= around.end
