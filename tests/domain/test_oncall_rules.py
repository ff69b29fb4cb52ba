"""The rules of on-call schedules, one table each; and what can never be a schedule."""

import sys
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError

from domain.errors import InvalidField
from domain.localtime import comes
from domain.oncall import Layer, Override, Schedule, Standing, layers_at, on_call_at
from domain.shifts import Shift, shifts

A, B, C, D = (UUID(int=n) for n in range(0xA, 0xE))
DAILY = {"kind": "daily", "handover": "09:00"}


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def layer(**more: Any) -> dict[str, Any]:
    return {"name": "base", "people": [A, B], "rotation": DAILY, "starts_on": "2024-01-01"} | more


def schedule(*layers: dict[str, Any], zone: str = "Europe/Berlin", overrides: Any = ()) -> Schedule:
    return Schedule.model_validate({"name": "Shop", "time_zone": zone, "layers": layers, "overrides": overrides})


def seen(of: Schedule, start: str, end: str) -> list[tuple[str, UUID | None]]:
    """Each shift's start, as `MM-DD HH:MM` in UTC, and its person; asked about its ends alone, it is so too."""
    found = shifts(of, utc(start), utc(end))
    for shift in found:
        assert on_call_at(of, shift.start) == on_call_at(of, shift.end - timedelta.resolution) == shift.person
    return [(f"{s.start:%m-%d %H:%M}", s.person) for s in found]


@pytest.mark.parametrize(
    ("zone", "day", "minute", "wanted"),
    [
        ("Europe/Berlin", "2024-03-31", 119, "2024-03-31 00:59"),
        ("Europe/Berlin", "2024-03-31", 120, "2024-03-31 01:00"),
        ("Europe/Berlin", "2024-03-31", 150, "2024-03-31 01:00"),
        ("Europe/Berlin", "2024-03-31", 180, "2024-03-31 01:00"),
        ("Europe/Berlin", "2024-03-31", 181, "2024-03-31 01:01"),
        ("Europe/Berlin", "2024-10-27", 120, "2024-10-27 00:00"),
        ("Europe/Berlin", "2024-10-27", 179, "2024-10-27 00:59"),
        ("Europe/Berlin", "2024-10-27", 180, "2024-10-27 02:00"),
        ("America/New_York", "2024-03-10", 150, "2024-03-10 07:00"),
        ("America/New_York", "2024-11-03", 90, "2024-11-03 05:30"),
        ("Australia/Lord_Howe", "2024-10-06", 135, "2024-10-05 15:30"),
        ("Australia/Lord_Howe", "2024-10-06", 150, "2024-10-05 15:30"),
        ("Australia/Lord_Howe", "2024-04-07", 105, "2024-04-06 14:45"),
        ("Australia/Lord_Howe", "2024-04-07", 120, "2024-04-06 15:30"),
        ("Europe/Berlin", "2024-03-30", 26 * 60, "2024-03-31 01:00"),
        ("Pacific/Apia", "2011-12-30", 9 * 60, "2011-12-30 10:00"),
        ("Asia/Kathmandu", "2024-02-29", 0, "2024-02-28 18:15"),
        ("Asia/Kolkata", "2024-02-29", 1440, "2024-02-29 18:30"),
    ],
)
def test_when_a_local_time_comes(zone: str, day: str, minute: int, wanted: str) -> None:
    assert comes(date.fromisoformat(day), minute, ZoneInfo(zone)) == utc(wanted)


ROTATIONS: list[tuple[str, dict[str, Any], str, str, list[tuple[str, UUID | None]]]] = [
    ("a daily one over a short day", layer(starts_on="2024-03-30"), "2024-03-30", "2024-04-02",
     [("03-30 00:00", None), ("03-30 08:00", A), ("03-31 07:00", B), ("04-01 07:00", A)]),
    ("a daily one over a long day", layer(starts_on="2024-10-26"), "2024-10-26T12:00", "2024-10-28T12:00",
     [("10-26 12:00", A), ("10-27 08:00", B), ("10-28 08:00", A)]),
    ("a daily one at an hour that is skipped",
     layer(starts_on="2024-03-30", rotation={"kind": "daily", "handover": "02:30"}), "2024-03-30T12:00",
      "2024-04-02",
     [("03-30 12:00", A), ("03-31 01:00", B), ("04-01 00:30", A)]),
    ("a daily one at an hour that comes twice",
     layer(starts_on="2024-10-26", rotation={"kind": "daily", "handover": "02:30"}), "2024-10-26T12:00",
      "2024-10-29",
     [("10-26 12:00", A), ("10-27 00:30", B), ("10-28 01:30", A)]),
    ("the leap day is a day", layer(starts_on="2024-02-28"), "2024-02-28T08:00", "2024-03-02",
     [("02-28 08:00", A), ("02-29 08:00", B), ("03-01 08:00", A)]),
    ("a weekly one begins with a short week",
     layer(rotation={"kind": "weekly", "weekday": "friday", "handover": "18:00"}, people=[A, B, C]),
     "2024-01-01", "2024-01-18",
     [("01-01 00:00", None), ("01-01 17:00", A), ("01-05 17:00", B), ("01-12 17:00", C)]),
    ("a weekly one that starts on its weekday has a whole first week",
     layer(rotation={"kind": "weekly", "weekday": "monday", "handover": "09:00"}), "2024-01-01T08:00",
      "2024-01-16",
     [("01-01 08:00", A), ("01-08 08:00", B), ("01-15 08:00", A)]),
    ("days of the calendar", layer(starts_on="2024-03-29", rotation={"kind": "days", "days": 3,
     "handover": "09:00"}),
     "2024-03-29T08:00", "2024-04-05", [("03-29 08:00", A), ("04-01 07:00", B), ("04-04 07:00", A)]),
    ("hours that really passed",
     layer(starts_on="2024-03-30", rotation={"kind": "hours", "hours": 24, "handover": "09:00"}),
     "2024-03-30T08:00", "2024-04-02", [("03-30 08:00", A), ("03-31 08:00", B), ("04-01 08:00", A)]),
    ("it ends at the handover of the day it ends on", layer(ends_on="2024-01-03"), "2024-01-01T08:00",
     "2024-01-05",
     [("01-01 08:00", A), ("01-02 08:00", B), ("01-03 08:00", None)]),
    ("a person may come twice", layer(people=[A, A, B]), "2024-01-01T08:00", "2024-01-05",
     [("01-01 08:00", A), ("01-03 08:00", B), ("01-04 08:00", A)]),
    ("one person is one shift", layer(people=[A, A]), "2023-12-31", "2026-01-01",
     [("12-31 00:00", None), ("01-01 08:00", A)]),
    ("hours over midnight", layer(people=[A], restrictions=[{"start": "22:00", "end": "06:00"}]),
     "2024-03-30T12:00", "2024-04-01",
     [("03-30 12:00", None), ("03-30 21:00", A), ("03-31 04:00", None), ("03-31 20:00", A)]),
    ("hours over the end of the week",
     layer(people=[A], restrictions=[{"days": ["friday"], "start": "18:00", "until": "monday", "end": "08:00"}]),
     "2024-01-03", "2024-01-13", [("01-03 00:00", None), ("01-05 17:00", A), ("01-08 07:00", None),
                                  ("01-12 17:00", A)]),
    ("the turns go on outside the hours",
     layer(restrictions=[{"days": ["tuesday", "thursday"], "start": "00:00", "end": "24:00"}], people=[A, B, C]),
     "2024-01-01T08:00", "2024-01-05",
     [("01-01 08:00", None), ("01-01 23:00", A), ("01-02 08:00", B), ("01-02 23:00", None), ("01-03 23:00", C),
      ("01-04 08:00", A), ("01-04 23:00", None)]),
    ("windows that meet leave no gap",
     layer(people=[A], restrictions=[{"start": "08:00", "end": "12:00"}, {"start": "12:00", "end": "24:00"}]),
     "2024-01-02T12:00", "2024-01-03T12:00", [("01-02 12:00", A), ("01-02 23:00", None), ("01-03 07:00", A)]),
    ("until the same weekday, earlier, is the whole week round",
     layer(people=[A], restrictions=[{"days": ["monday"], "start": "08:00", "until": "monday", "end": "07:00"}]),
     "2024-01-09", "2024-01-17", [("01-09 00:00", A), ("01-15 06:00", None), ("01-15 07:00", A)]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("of", "start", "end", "wanted"), [r[1:] for r in ROTATIONS], ids=[r[0] for r in ROTATIONS]
)
def test_a_layer(of: dict[str, Any], start: str, end: str, wanted: list[tuple[str, UUID | None]]) -> None:
    assert seen(schedule(of), start, end) == wanted


def test_a_date_that_a_zone_skipped_hands_its_turn_on_at_once() -> None:
    samoa = schedule(layer(people=[A, B, C], starts_on="2011-12-29"), zone="Pacific/Apia")
    assert seen(samoa, "2011-12-29T19:00", "2012-01-02") == [
        ("12-29 19:00", A), ("12-30 10:00", B), ("12-30 19:00", C), ("12-31 19:00", A), ("01-01 19:00", B),
    ]  # fmt: skip


def test_a_date_that_comes_back_does_not_bring_its_turn_back() -> None:
    """In St. John's the clock went from 00:01 to 23:01 of the day before: 00:00 had come, and came again."""
    of = schedule(
        layer(starts_on="2010-11-05", rotation={"kind": "daily", "handover": "00:00"}), zone="America/St_Johns"
    )
    assert on_call_at(of, utc("2010-11-07 03:00")) == A
    assert seen(of, "2010-11-06T12:00", "2010-11-08T12:00") == [
        ("11-06 12:00", B), ("11-07 02:30", A), ("11-08 03:30", B),
    ]  # fmt: skip


def forced(start: str, end: str, person: UUID | None) -> dict[str, Any]:
    return {"start": f"2024-{start}Z", "end": f"2024-{end}Z", "person": person}


def test_a_higher_layer_wins_where_it_has_somebody_and_an_override_over_all() -> None:
    of = schedule(
        layer(people=[A]),
        layer(name="nights", people=[B], restrictions=[{"start": "20:00", "end": "08:00"}]),
        overrides=[forced("01-02T18:00", "01-02T22:00", C), forced("01-02T21:00", "01-02T23:00", None)],
    )
    assert seen(of, "2024-01-02T12:00", "2024-01-03T12:00") == [
        ("01-02 12:00", A), ("01-02 18:00", C), ("01-02 21:00", None), ("01-02 23:00", B), ("01-03 07:00", A),
    ]  # fmt: skip
    assert layers_at(of, utc("2024-01-02 20:00")) == [
        Standing("layer", "base", A, False), Standing("layer", "nights", B, False), Standing("override", "", C,
         True),
    ]  # fmt: skip
    assert layers_at(of, utc("2024-01-02 21:30"))[2:] == [
        Standing("override", "", C, False), Standing("override", "", None, True),
    ]  # fmt: skip
    assert [s.decides for s in layers_at(of, utc("2024-01-03 06:59"))] == [False, True]
    assert [s.decides for s in layers_at(of, utc("2024-01-03 07:00"))] == [True, False]


def test_without_layers_there_is_one_gap() -> None:
    assert shifts(schedule(), utc("2024-01-01"), utc("2024-02-01")) == [
        Shift(utc("2024-01-01"), utc("2024-02-01"), None)
    ]
    assert on_call_at(schedule(), utc("2024-01-01")) is None
    assert layers_at(schedule(), utc("2024-01-01")) == []


IMPOSSIBLE: list[tuple[dict[str, Any], tuple[str | int, ...]]] = [
    ({"time_zone": "Mars/Olympus"}, ("time_zone",)),
    ({"time_zone": "../etc/passwd"}, ("time_zone",)),
    ({"time_zone": "Europe"}, ("time_zone",)),
    ({"time_zone": "localtime"}, ("time_zone",)),
    ({"time_zone": ""}, ("time_zone",)),
    ({"name": " "}, ("name",)),
    ({"layers": [layer(), layer()]}, ("layers",)),
    ({"layers": [layer(name=str(n)) for n in range(21)]}, ("layers",)),
    ({"layers": [layer(restrictions=[{"start": "09:00", "end": "10:00"}] * 21)]}, ("layers", 0, "restrictions")),
    ({"layers": [layer(people=[])]}, ("layers", 0, "people")),
    ({"layers": [layer(starts_on="2023-02-29")]}, ("layers", 0, "starts_on")),
    ({"layers": [layer(starts_on="0001-01-01")]}, ("layers", 0, "starts_on")),
    ({"layers": [layer(ends_on="2024-01-01")]}, ("layers", 0, "ends_on")),
    ({"layers": [layer(rotation={"kind": "yearly", "handover": "09:00"})]}, ("layers", 0, "rotation")),
    ({"layers": [layer(rotation={"kind": "daily", "handover": "24:00"})]},
     ("layers", 0, "rotation", "daily", "handover")),
    ({"layers": [layer(rotation={"kind": "weekly", "handover": "09:00"})]},
     ("layers", 0, "rotation", "weekly", "weekday")),
    ({"layers": [layer(rotation={"kind": "days", "days": 0, "handover": "09:00"})]},
     ("layers", 0, "rotation", "days", "days")),
    ({"layers": [layer(rotation={"kind": "hours", "hours": 0, "handover": "09:00"})]},
     ("layers", 0, "rotation", "hours", "hours")),
    ({"layers": [layer(restrictions=[{"start": "09:00", "end": "09:00"}])]}, ("layers", 0, "restrictions", 0,
     "end")),
    ({"layers": [layer(restrictions=[{"days": ["monday"], "start": "09:00", "until": "monday", "end": "09:00"}])]},
     ("layers", 0, "restrictions", 0, "end")),
    ({"layers": [layer(restrictions=[{"days": ["monday"], "start": "00:00", "until": "sunday", "end": "24:00"},
                                     {"days": ["sunday"], "start": "00:00", "until": "monday", "end": "00:00"},
                                     {"days": [], "start": "09:00", "end": "10:00"}])]},
     ("layers", 0, "restrictions", 2, "days")),
    ({"layers": [layer(restrictions=[{"start": "9:00", "end": "10:00"}])]}, ("layers", 0, "restrictions", 0,
     "start")),
    ({"overrides": [forced("01-02T18:00", "01-02T18:00", A)]}, ("overrides", 0, "end")),
    ({"overrides": [forced("01-02T18:00", "01-02T17:00", A)]}, ("overrides", 0, "end")),
    ({"overrides": [{"start": "2024-01-01T00:00", "end": "2024-01-02T00:00Z", "person": None}]},
     ("overrides", 0, "start")),
    ({"overrides": [{"start": "2024-01-01T00:00Z", "end": "2024-01-02T00:00Z"}]}, ("overrides", 0, "person")),
]  # fmt: skip


@pytest.mark.parametrize(("what", "field"), IMPOSSIBLE)
def test_what_is_impossible_is_refused_by_its_field(what: dict[str, Any], field: tuple[str | int, ...]) -> None:
    with pytest.raises(ValidationError) as refused:
        Schedule.model_validate({"name": "Shop", "time_zone": "UTC", "layers": [], "overrides": []} | what)
    assert [error["loc"] for error in refused.value.errors()] == [field]


def test_a_schedule_is_the_same_after_a_stay_in_the_ledger() -> None:
    of = schedule(
        layer(restrictions=[{"start": "22:00", "end": "24:00"}]),
        overrides=[forced("01-02T18:00", "01-02T22:00", None)],
    )
    assert Schedule.model_validate_json(of.model_dump_json()) == of
    there = Override.model_validate(
        {"start": "2024-01-02T20:00+02:00", "end": of.overrides[0].end, "person": None}
    )
    assert there == of.overrides[0]


@pytest.mark.parametrize(
    ("ask", "field"),
    [
        (lambda of: on_call_at(of, datetime(2024, 1, 1)), "at"),
        (lambda of: layers_at(of, datetime(2024, 1, 1)), "at"),
        (lambda of: on_call_at(of, datetime.max.replace(tzinfo=UTC)), "at"),
        (lambda of: shifts(of, datetime(2024, 1, 1), utc("2024-01-02")), "start"),
        (lambda of: shifts(of, utc("2024-01-01"), datetime(2024, 1, 2)), "end"),
        (lambda of: shifts(of, utc("2024-01-01"), utc("2024-01-01")), "end"),
        (lambda of: shifts(of, datetime.min.replace(tzinfo=UTC), utc("2024-01-01")), "start"),
    ],
)
def test_what_cannot_be_asked(ask: Callable[[Schedule], object], field: str) -> None:
    with pytest.raises(InvalidField) as refused:
        ask(schedule(layer()))
    assert refused.value.field == field


def test_the_ends_of_the_years_served_have_answers() -> None:
    of = schedule(layer(starts_on="1970-01-01"), zone="Pacific/Kiritimati")
    assert on_call_at(of, utc("2999-12-31T23:59")) in (A, B)
    assert on_call_at(of, utc("1970-01-01")) is None  # there it is still 1969


def steps(work: Callable[[], object]) -> int:
    """How many calls of functions the work takes, built-in ones included."""
    count = 0

    def called(frame: object, event: str, argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(called)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


def test_ten_years_take_ten_times_the_steps_of_one_and_a_far_start_none() -> None:
    night = {"name": "nights", "restrictions": [{"start": "22:00", "end": "06:00"}]}
    of = [
        schedule(layer(starts_on=f"{year}-01-01"), layer(starts_on=f"{year}-01-01", **night))
        for year in (1970, 2019)
    ]
    year, ten = timedelta(days=365), timedelta(days=3650)
    start = utc("2020-01-01")
    shifts(of[0], start, start + ten)  # so that the days are known
    near, far = (steps(lambda s=s: shifts(s, start, start + year)) for s in of)  # type: ignore[misc]
    assert abs(near - far) < near / 100
    assert steps(lambda: shifts(of[0], start, start + ten)) < 10.2 * near
    assert near < 100 * 365 * 3
    once = [steps(lambda at=at: on_call_at(of[0], at)) for at in (utc("1971-01-01"), utc("2970-01-01"))]  # type: ignore[misc]
    assert max(once) < 600
    alone = schedule(layer(people=[A], rotation={"kind": "hours", "hours": 1, "handover": "09:00"}))
    assert steps(lambda: shifts(alone, start, start + ten)) < 200


def test_a_layer_stands_alone_as_a_value() -> None:
    one = Layer.model_validate(layer())
    assert one == Layer.model_validate(layer())
    with pytest.raises(ValidationError):
        one.name = "other"  # type: ignore[misc]
