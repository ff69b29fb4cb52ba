"""The iCalendar feed, to the letter of RFC 5545: lines, folding, escapes, times, and UIDs that stay."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.icalendar import Entry, calendar, feed_span
from domain.oncall import Schedule
from domain.shifts import Shift, shifts

ORG, A, B = UUID(int=1), UUID(int=0xA), UUID(int=0xB)
T = datetime(2024, 2, 29, 23, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def unfolded(text: str) -> list[str]:
    return text.replace("\r\n ", "").split("\r\n")[:-1]


def feed(name: str, shifts: Sequence[Shift], names: Mapping[UUID, str]) -> str:
    """Of one schedule, which was defined an hour before T."""
    return calendar(name, ORG, [Entry(name, shift) for shift in shifts], names, T - HOUR)


def uids(entries: Sequence[Entry]) -> list[str]:
    return [line for line in unfolded(calendar("On call", ORG, entries, {}, T)) if line.startswith("UID:")]


def test_a_feed() -> None:
    text = feed("Shop; EU", [Shift(T, T + HOUR, A), Shift(T + HOUR, T + 3 * HOUR, None)], {A: "Ann, B"})
    first, second = (line for line in unfolded(text) if line.startswith("UID:"))
    assert UUID(first[4:]) != UUID(second[4:])
    assert unfolded(text) == [
        "BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//FanDesk//Incidents//EN", "CALSCALE:GREGORIAN",
        "NAME:Shop\\; EU", "X-WR-CALNAME:Shop\\; EU",
        "BEGIN:VEVENT", first,
        "DTSTAMP:20240229T220000Z", "DTSTART:20240229T230000Z", "DTEND:20240301T000000Z",
        "SUMMARY:Ann\\, B on call: Shop\\; EU", "TRANSP:OPAQUE", "END:VEVENT",
        "BEGIN:VEVENT", second,
        "DTSTAMP:20240229T220000Z", "DTSTART:20240301T000000Z", "DTEND:20240301T020000Z",
        "SUMMARY:Nobody on call: Shop\\; EU", "TRANSP:TRANSPARENT", "END:VEVENT",
        "END:VCALENDAR",
    ]  # fmt: skip


def test_somebody_without_a_name() -> None:
    assert "\r\nSUMMARY:Somebody on call: S\r\n" in feed("S", [Shift(T, T + HOUR, B)], {A: "Ann"})


def test_no_two_shifts_have_the_same_uid_and_each_keeps_its_own() -> None:
    shift = Shift(T, T + HOUR, A)
    alike = [
        Entry("S", shift), Entry("P", shift), Entry("S", shift._replace(person=B)),
        Entry("S", shift._replace(person=None)), Entry("S", shift._replace(start=T - HOUR)),
    ]  # fmt: skip
    assert len(set(uids(alike))) == len(alike)
    assert uids([Entry("S", shift._replace(end=T + 9 * HOUR))]) == uids(alike[:1])


def test_times_are_whole_seconds_in_utc_and_what_is_shorter_is_left_out() -> None:
    part = timedelta(microseconds=400_000)
    text = feed("S", [Shift(T, T + part, A), Shift(T + part, T + HOUR + part, B)], {})
    assert text.count("BEGIN:VEVENT") == 1
    assert "\r\nDTSTART:20240229T230000Z\r\nDTEND:20240301T000000Z\r\n" in text


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("a\\n,b;c", "a\\\\n\\,b\\;c"),
        ("one\ntwo\r\nthree\rfour", "one\\ntwo\\nthree\\nfour"),
        ("bell\x07 nul\x00 tab\t", "bell nul tab\t"),
        ("END:VEVENT\r\nBEGIN:VALARM", "END:VEVENT\\nBEGIN:VALARM"),
    ],
)
def test_a_name_cannot_leave_its_line(name: str, written: str) -> None:
    assert f"SUMMARY:{written} on call: S" in unfolded(feed("S", [Shift(T, T + HOUR, A)], {A: name}))


@given(st.text(min_size=1, max_size=300), st.text(max_size=300))
def test_lines_are_at_most_75_octets_and_no_character_is_cut(name: str, person: str) -> None:
    text = feed(name, [Shift(T, T + HOUR, A)], {A: person})
    octets = text.encode("utf-8", "surrogatepass")
    assert octets.endswith(b"\r\n")
    for line in octets.split(b"\r\n"):
        assert len(line) <= 75
        line.decode("utf-8", "surrogatepass")
    assert b"\n" not in octets.replace(b"\r\n", b"") and b"\r" not in octets.replace(b"\r\n", b"")
    assert [line.partition(":")[0] for line in unfolded(text)].count("SUMMARY") == 1


def test_a_shift_keeps_its_uid_from_day_to_day() -> None:
    rota = {"name": "L", "people": [A, B], "rotation": {"kind": "weekly", "weekday": "monday",
     "handover": "09:00"},
            "starts_on": "2024-01-01"}  # fmt: skip
    of = Schedule.model_validate({"name": "S", "time_zone": "Europe/Berlin", "layers": [rota]})
    known: dict[str, str] = {}
    for day in range(10):
        span = feed_span(datetime(2024, 3, 10, 17, 31, tzinfo=UTC) + timedelta(days=day))
        assert span == (datetime(2024, 2, 1, tzinfo=UTC), datetime(2024, 5, 1, tzinfo=UTC))
        lines = unfolded(feed("S", shifts(of, *span), {}))
        for uid, start in zip(lines, lines[2:], strict=False):
            if uid.startswith("UID:"):
                assert known.setdefault(uid, start) == start
    assert len(known) == 14


@pytest.mark.parametrize(
    ("at", "start", "end"),
    [
        ("2024-01-31", "2023-12-01", "2024-04-01"),
        ("2024-02-29", "2024-01-01", "2024-04-01"),
        ("2023-12-01", "2023-11-01", "2024-01-01"),
        ("2023-12-02", "2023-11-01", "2024-02-01"),
    ],
)
def test_the_span_of_a_feed(at: str, start: str, end: str) -> None:
    days = [datetime.fromisoformat(day).replace(tzinfo=UTC) for day in (at, start, end)]
    assert feed_span(days[0]) == (days[1], days[2])
