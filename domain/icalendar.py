"""Shifts as an iCalendar feed (RFC 5545): UTC times, so that no time zone has to be described in it."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID, uuid5

from domain.shifts import Shift

LINE_OCTETS: Final = 75
"""A content line is folded after so many octets, its line break not counted (RFC 5545, 3.1)."""

NOBODY: Final = "Nobody"
UNNAMED: Final = "Somebody"
"""What a person is called who has no name (any more)."""

PRODUCT: Final = "-//FanDesk//Incidents//EN"


class Entry(NamedTuple):
    """A shift, and the schedule that it is of."""

    schedule: str
    shift: Shift


def calendar(
    name: str,
    organization_id: UUID,
    entries: Iterable[Entry],
    names: Mapping[UUID, str],
    changed_at: datetime,
) -> str:
    """The feed: an event for each shift; gaps are events of Nobody, which leave the time free.

    An event's UID is made of organisation, schedule, start and person, so that a client knows it again: ask for
    shifts from a start that does not move with every request (`feed_span`). changed_at: when the definitions last
    changed, the events' DTSTAMP. Shifts of less than a second are left out.
    """
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", f"PRODID:{PRODUCT}", "CALSCALE:GREGORIAN"]
    lines += [f"NAME:{_text(name)}", f"X-WR-CALNAME:{_text(name)}"]
    for schedule, shift in entries:
        if _time(shift.start) < _time(shift.end):
            lines += _event(organization_id, schedule, shift, names, changed_at)
    lines.append("END:VCALENDAR")
    return "".join(f"{folded}\r\n" for line in lines for folded in _folded(line))


def feed_span(at: datetime, days: int = 30) -> tuple[datetime, datetime]:
    """From the start of last month (UTC) to the end of the month that `days` after `at` lies in.

    The ends move once a month, and the shifts that they cut with them; all others keep their UIDs.
    """
    last_month = _month(_month(at.astimezone(UTC)) - timedelta(days=1))
    return last_month, _month(_month(at.astimezone(UTC) + timedelta(days=days)) + timedelta(days=31))


def _event(
    organization_id: UUID, schedule: str, shift: Shift, names: Mapping[UUID, str], stamp: datetime
) -> list[str]:
    who = NOBODY if shift.person is None else names.get(shift.person) or UNNAMED
    return [
        "BEGIN:VEVENT",
        f"UID:{uuid5(organization_id, f'{_time(shift.start)} {shift.person} {schedule}')}",
        f"DTSTAMP:{_time(stamp)}",
        f"DTSTART:{_time(shift.start)}",
        f"DTEND:{_time(shift.end)}",
        f"SUMMARY:{_text(f'{who} on call: {schedule}')}",
        "TRANSP:TRANSPARENT" if shift.person is None else "TRANSP:OPAQUE",
        "END:VEVENT",
    ]


def _month(at: datetime) -> datetime:
    return at.replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def _time(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")


def _text(value: str) -> str:
    """A TEXT value: separators escaped, every kind of line break one `\\n`, other control characters left out."""
    value = value.replace("\\", "\\\\").replace(";", "\\;").replace(",", "\\,")
    value = value.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\\n")
    return "".join(c for c in value if c == "\t" or (c >= " " and c != "\x7f"))


def _folded(line: str) -> Iterator[str]:
    """Lines of at most 75 octets of UTF-8, all but the first begun by a space; no character is cut in two."""
    part, size = "", 0
    for character in line:
        octets = len(character.encode("utf-8"))
        if size + octets > LINE_OCTETS:
            yield part
            part, size = " ", 1
        part, size = part + character, size + octets
    yield part
