"""The shifts of a schedule over a span of time, in as many steps as there are turns and windows in it."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from heapq import heappop, heappush
from itertools import pairwise
from typing import Final, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from domain.errors import InvalidField
from domain.localtime import moment
from domain.oncall import Layer, Schedule
from domain.rotation import turns
from domain.windows import Spell, spells

LONGEST_LOOK_DAYS: Final = 366
"""How far ahead anybody may ask at once."""


class Shift(NamedTuple):
    """One person is on call from `start` (included) to `end` (not included), UTC. Person None is a gap."""

    start: datetime
    end: datetime
    person: UUID | None


class _Claim(NamedTuple):
    """What one layer or override says; the highest rank counts."""

    start: datetime
    end: datetime
    rank: int
    person: UUID | None


def shifts(schedule: Schedule, start: datetime, end: datetime) -> list[Shift]:
    """Who is on call when, gaps included: they cover [start, end) exactly, and no two neighbours are the same.

    Raises InvalidField where a time has no zone, or nothing lies between them.
    """
    start, end = moment("start", start), moment("end", end)
    if end <= start:
        raise InvalidField("end", "is not after start")
    return _flatten(_claims(schedule, start, end), start, end)


def on_call_until(schedule: Schedule, at: datetime) -> Shift:
    """Who is on call at that instant, and until when, as a shift that starts then; it ends a year later where it
    lasts longer. Raises InvalidField where `at` has no zone."""
    at = moment("at", at)
    shift = Shift(at, at, None)
    for days in (1, 8, 64, LONGEST_LOOK_DAYS):  # most shifts end soon, and a year of hourly turns takes a while
        end = at + timedelta(days=days)
        shift = _flatten(_claims(schedule, at, end), at, end)[0]
        if shift.end < end:
            break
    return shift


def _claims(schedule: Schedule, start: datetime, end: datetime) -> Iterator[_Claim]:
    zone = schedule.zone
    for rank, layer in enumerate(schedule.layers):
        yield from _cut(_turns(layer, zone, rank, start, end), _hours(layer, zone, start, end))
    for rank, override in enumerate(schedule.overrides, len(schedule.layers)):
        if override.start < end and start < override.end:
            yield _Claim(max(override.start, start), min(override.end, end), rank, override.person)


def _turns(layer: Layer, zone: ZoneInfo, rank: int, start: datetime, end: datetime) -> Iterator[_Claim]:
    """Each turn of the layer in the span, cut to it, its hours not yet looked at."""
    end = min(end, layer.ends_at(zone) or end)
    if end <= start:
        return
    those = turns(layer.rotation, layer.starts_on, zone)
    if len(set(layer.people)) == 1:
        begins = max(start, those.begins(0))
        if begins < end and layer.people[0] is not None:
            yield _Claim(begins, end, rank, layer.people[0])
        return
    number = max(those.number_at(start), 0)
    begins = max(start, those.begins(number))
    while begins < end:
        number += 1
        ends = min(end, those.begins(number))
        person = layer.people[(number - 1) % len(layer.people)]
        if begins < ends and person is not None:  # in nobody's turn the layers below count
            yield _Claim(begins, ends, rank, person)
        begins = ends


def _hours(layer: Layer, zone: ZoneInfo, start: datetime, end: datetime) -> list[Spell]:
    return spells(layer.restrictions, zone, start, end) if layer.restrictions else [(start, end)]


def _cut(claims: Iterable[_Claim], hours: list[Spell]) -> Iterator[_Claim]:
    """What of the claims lies in the hours; both in order."""
    n = 0
    for claim in claims:
        while n < len(hours) and hours[n][1] <= claim.start:
            n += 1
        m = n
        while m < len(hours) and hours[m][0] < claim.end:
            yield claim._replace(start=max(claim.start, hours[m][0]), end=min(claim.end, hours[m][1]))
            m += 1


def _flatten(claims: Iterable[_Claim], start: datetime, end: datetime) -> list[Shift]:
    """The highest claim at every instant, neighbours of the same person made one."""
    waiting = sorted(claims, key=lambda claim: claim.start, reverse=True)
    edges = sorted({start, end}.union(*((claim.start, claim.end) for claim in waiting)))
    open_now: list[tuple[int, datetime, UUID | None]] = []
    found: list[Shift] = []
    for begins, ends in pairwise(edges):
        while waiting and waiting[-1].start <= begins:
            claim = waiting.pop()
            heappush(open_now, (-claim.rank, claim.end, claim.person))
        while open_now and open_now[0][1] <= begins:
            heappop(open_now)
        person = open_now[0][2] if open_now else None
        if found and found[-1].person == person:
            found[-1] = found[-1]._replace(end=ends)
        else:
            found.append(Shift(begins, ends, person))
    return found
