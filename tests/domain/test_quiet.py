"""Maintenance windows and quiet hours: what wakes nobody, and until when."""

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from rosters import CHANGING, EXAMPLES, FIRST, MINUTE, MINUTES, clocks, jumps, windows, within

from domain.conditions import Facts
from domain.errors import InvalidField
from domain.quiet import Maintenance, QuietHours, held_until, under_maintenance
from domain.windows import Window, always_open, closes_at
from domain.words import SEVERITIES

NIGHT = {"start": "22:00", "end": "06:00"}
WEEKEND = {"days": ["saturday"], "start": "00:00", "until": "monday", "end": "00:00"}


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def quiet(*of: dict[str, Any], zone: str = "Europe/Berlin") -> QuietHours:
    return QuietHours.model_validate({"time_zone": zone, "windows": of})


@pytest.mark.parametrize(
    ("of", "at", "until"),
    [
        (quiet(NIGHT), "2024-01-02 20:59", None),
        (quiet(NIGHT), "2024-01-02 21:00", "2024-01-03 05:00"),
        (quiet(NIGHT), "2024-01-03 04:59:59.999999", "2024-01-03 05:00"),
        (quiet(NIGHT), "2024-01-03 05:00", None),
        (quiet(NIGHT), "2024-03-30 21:00", "2024-03-31 04:00"),
        (quiet(NIGHT), "2024-10-26 20:00", "2024-10-27 05:00"),
        (quiet(NIGHT, WEEKEND), "2024-01-05 22:00", "2024-01-08 05:00"),
        (quiet(WEEKEND), "2024-03-31 00:00", "2024-03-31 22:00"),
        (quiet({"start": "22:00", "end": "24:00"}, {"start": "00:00", "end": "07:00"}), "2024-01-01 21:30",
         "2024-01-02 06:00"),
        (quiet({"start": "01:00", "end": "02:30"}), "2024-03-31 00:30", "2024-03-31 01:00"),
        (quiet({"start": "02:15", "end": "02:45"}), "2024-03-31 01:00", None),
        (quiet({"start": "01:00", "end": "02:30"}), "2024-10-27 00:29", "2024-10-27 00:30"),
        (quiet({"start": "01:00", "end": "02:30"}), "2024-10-27 01:10", None),
    ],
)  # fmt: skip
def test_quiet_hours_hold_back_everything_but_critical(of: QuietHours, at: str, until: str | None) -> None:
    for severity in SEVERITIES:
        wanted = utc(until) if until and severity != "critical" else None
        assert held_until(of, severity, utc(at)) == wanted


@pytest.mark.parametrize("zone", [*CHANGING, "Asia/Kolkata"])
@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(windows(), min_size=1, max_size=3), st.integers(0, 10_000))
def test_quiet_hours_equal_brute_force(zone: str, of: list[dict[str, Any]], seed: int) -> None:
    assume(not always_open([Window.model_validate(window) for window in of]))
    hours, dice, reached = quiet(*of, zone=zone), Random(seed), clocks(zone)
    near = [change + dice.randrange(-200, 200) for change in jumps(zone) for _ in range(5)]
    for n in [dice.randrange(20_000, MINUTES - 30_000) for _ in range(5)] + near:
        end = n
        while any(within(window, reached[end]) for window in of):
            end += 1
        wanted = FIRST + end * MINUTE if end > n else None
        assert held_until(hours, "high", FIRST + n * MINUTE) == wanted


@settings(max_examples=200)
@given(st.lists(windows(), min_size=1, max_size=6))
def test_windows_that_never_end_are_known(of: list[dict[str, Any]]) -> None:
    free = [n for n in range(7 * 1440) if not any(within(window, n) for window in of)]
    assert always_open([Window.model_validate(window) for window in of]) == (not free)


@pytest.mark.parametrize(
    "of",
    [
        [{"start": "00:00", "end": "24:00"}],
        [{"start": "08:00", "end": "20:00"}, {"start": "20:00", "end": "08:00"}],
        [
            {"days": ["tuesday"], "start": "07:00", "until": "tuesday", "end": "06:00"},
            {"start": "05:00", "end": "08:00"},
        ],
        [],
    ],
)
def test_quiet_hours_that_never_end_are_refused(of: list[dict[str, Any]]) -> None:
    with pytest.raises(ValidationError) as refused:
        quiet(*of)
    assert [error["loc"] for error in refused.value.errors()] == [("windows",)]


def test_windows_without_an_opening_never_close() -> None:
    assert closes_at([], quiet(NIGHT).zone, utc("2024-01-01")) is None


def maintenance(number: int = 1, start: str = "2024-01-01T00:00Z", **conditions: Any) -> Maintenance:
    return Maintenance.model_validate(
        {"id": UUID(int=number), "name": f"M{number}", "start": start, "end": "2024-01-01T04:00Z",
         "conditions": conditions}
    )  # fmt: skip


OUTAGE = Facts("critical", "outage", "grafana", {"service": "db-1"})
ALL = maintenance()
DB = maintenance(2, labels=[{"label": "service", "matches": "db-*"}])
WEB = maintenance(3, labels=[{"label": "service", "equals": "web"}])
DATA = maintenance(4, categories=["data"])
API = maintenance(5, sources=["api"])
LATE = maintenance(6, start="2024-01-01T03:00Z")


@pytest.mark.parametrize(
    ("of", "at", "wanted"),
    [
        ([], "2024-01-01 01:00", None),
        ([ALL], "2023-12-31 23:59:59.999999", None),
        ([ALL], "2024-01-01 00:00", ALL),
        ([ALL], "2024-01-01 03:59:59.999999", ALL),
        ([ALL], "2024-01-01 04:00", None),
        ([WEB, DATA, API], "2024-01-01 01:00", None),
        ([WEB, DB, ALL], "2024-01-01 01:00", DB),
        ([LATE, ALL], "2024-01-01 02:59", ALL),
        ([LATE, ALL], "2024-01-01 03:00", LATE),
    ],
)
def test_maintenance(of: list[Maintenance], at: str, wanted: Maintenance | None) -> None:
    assert under_maintenance(of, OUTAGE, utc(at)) == wanted


def test_times_without_a_zone_and_windows_without_length_are_refused() -> None:
    with pytest.raises(InvalidField):
        under_maintenance([ALL], OUTAGE, datetime(2024, 1, 1))
    with pytest.raises(InvalidField):
        held_until(quiet(NIGHT), "low", datetime(2024, 1, 1))
    for start in ("2024-01-01T04:00Z", "2024-01-01T05:00Z"):
        with pytest.raises(ValidationError) as refused:
            maintenance(start=start)
        assert [error["loc"] for error in refused.value.errors()] == [("end",)]
    assert Maintenance.model_validate_json(DB.model_dump_json()) == DB
    assert ALL.end - ALL.start == timedelta(hours=4)
