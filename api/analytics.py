"""The figures over HTTP."""

from collections.abc import Awaitable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any, TypeVar
from uuid import UUID

import psycopg
from fastapi import APIRouter, Depends, Query

from api import schemas
from api.analytics_shapes import Hours, Load, Noise, Summary, Trend
from api.cohorts import LABEL, Asked, asked, link, narrowed
from api.shapes import PROBLEMS, shows
from api.standing import standing
from api.views import Answer, time_or_null
from domain import periods
from domain.errors import InvalidField
from domain.periods import Period
from projections import figures, noise
from projections.cohort import COUNTED, Cohort, Schema
from projections.load import load

router = APIRouter(prefix="/api/v1/analytics", tags=["analytics"], responses=PROBLEMS)

MOST_BUCKETS = 4000
MOST_GROUPS = 40_000
"""Buckets times groups in one answer."""

A = Annotated[Asked, Depends(asked)]
GroupBy = Annotated[schemas.Text, Query(max_length=220)]
T = TypeVar("T")


@router.get("/summary", responses=shows(Summary))
async def summary(asked: A, group_by: GroupBy = "none") -> Answer:
    """Figures of the incidents triggered in [from, to), by group and overall, with those of the equal period
    before.

    `from` and `to` are RFC 3339 times, or dates, which begin at midnight in `tz`. group_by: severity, category,
    team, responder, label:NAME or none. Filters: severity, category, team, responder, source, `label:NAME=value`
    and unlabelled=NAME; several values of one are alternatives, `none` stands for no category, team or responder.
    as_of: what this would have said then, by what was recorded until then.

    links: where the incidents are listed that each figure counts.
    """
    _known_group(group_by)
    start, end = asked.cohort.start, asked.cohort.end or asked.now
    before = None if start is None else periods.before(Period(start, end), asked.zone)
    answer = {**_about(asked), "group_by": group_by}
    async with standing(asked.read, asked.as_of, "facts") as at:
        answer |= await _report(asked, *at, asked.cohort, group_by)
        if before is not None:
            earlier = replace(asked.cohort, start=before.start, end=before.end)
            then = await _report(asked, *at, earlier, group_by)
            was = {group["key"]: group for group in then["groups"]}
            for group in answer["groups"]:
                key = group["key"]
                group["previous"] = was.pop(key, None) or _linked(asked, earlier, group_by, figures.none(key))
            answer["overall"]["previous"] = then["overall"]
            answer["previous"] = {**_period(before), "gone": list(was.values())}
    return asked.read.answer(answer)


@router.get("/trend", responses=shows(Trend))
async def trend(asked: A, interval: periods.Interval = "day", group_by: GroupBy = "none") -> Answer:
    """The figures of `summary` for each day, week (from Monday) or month of `tz` in [from, to), by group and
    overall, and so for the equal period before. Buckets and groups without incidents are there, with n 0.

    Without `from` it begins with the first incident's bucket, without `to` it ends with the present one.
    """
    _known_group(group_by)
    async with standing(asked.read, asked.as_of, "facts") as (connection, schema):
        period = await _whole(asked, connection, schema, interval)
        answer = {**_about(asked), "interval": interval, "group_by": group_by, "buckets": []}
        if period is not None:
            buckets = await _buckets(asked, connection, schema, period, interval, group_by)
            answer |= {**_period(period), "buckets": buckets}
            before = periods.before(period, asked.zone) if asked.cohort.start is not None else None
            if before is not None:
                buckets = await _buckets(asked, connection, schema, before, interval, group_by)
                answer["previous"] = {**_period(before), "buckets": buckets}
    return asked.read.answer(answer)


@router.get("/load", responses=shows(Load))
async def get_load(asked: A) -> Answer:
    """What the incidents triggered in [from, to) meant for each responder: alerts sent to them, those out of hours
    (not from 9 to 18 o'clock, Monday to Friday, in the person's own time zone, else in `tz`), and the time
    engaged: from acknowledging, beginning work or being assigned until the resolve, or until another is assigned;
    incidents at the same time count once. Filters and as_of as in the summary; who a recipient is, and in which
    zone, as now."""
    organization = asked.cohort.organization_id
    async with asked.read.services.pool.connection() as connection:
        zones = dict(await (await connection.execute(_ZONES, (organization,))).fetchall())
    async with standing(asked.read, asked.as_of, "facts", once=True) as (connection, schema):
        rows = await _in_zone(load(connection, asked.cohort, zones, now=asked.now, schema=schema))
    names = await asked.read.services.directory.names({row["responder"] for row in rows})
    for row in rows:
        id: UUID = row["responder"]
        row |= {
            "name": names.get(id),
            "tz": zones.get(id, asked.tz),
            "links": {name: link(asked.cohort, asked.as_of, more=[(name, id)]) for name in ("engaged", "alerted")},
        }
    return asked.read.answer({**_about(asked), "responders": rows})


@router.get("/hours", responses=shows(Hours))
async def get_hours(asked: A) -> Answer:
    """How many incidents were triggered in each hour of the week in `tz`: seven days from Monday, 24 hours each.
    Filters and as_of as in the summary; link: put the hour's number, 0 to 167, at its end."""
    async with standing(asked.read, asked.as_of, "facts", once=True) as (connection, schema):
        counts = await _in_zone(noise.hours(connection, asked.cohort, schema=schema))
    days = [counts[n : n + 24] for n in range(0, len(counts), 24)]
    of_hour = link(asked.cohort, asked.as_of, more=[("tz", asked.tz)]) + "&hour_of_week="
    return asked.read.answer({**_about(asked), "incidents": sum(counts), "days": days, "link": of_hour})


@router.get("/noise", responses=shows(Noise))
async def get_noise(asked: A) -> Answer:
    """How many alerts the incidents triggered in [from, to) received, and how many were never acknowledged:
    overall and by source, the noisiest first. Filters and as_of as in the summary."""
    async with standing(asked.read, asked.as_of, "facts", once=True) as (connection, schema):
        overall, *sources = await noise.noise(connection, asked.cohort, schema=schema)
    for row in (overall, *sources):
        cohort = replace(asked.cohort, sources=[row["source"]]) if row is not overall else asked.cohort
        row["links"] = {name: link(cohort, asked.as_of, counted=name) for name in ("incidents", "unacknowledged")}
    return asked.read.answer({**_about(asked), "overall": overall, "sources": sources})


async def _report(
    asked: Asked, connection: psycopg.AsyncConnection[Any], schema: Schema, cohort: Cohort, group_by: str
) -> dict[str, Any]:
    groups, overall = await figures.summary(connection, cohort, group_by=group_by, now=asked.now, schema=schema)
    if group_by == "none":
        groups = [dict(overall)]
    _linked(asked, cohort, "none", overall)
    for group in groups:
        _linked(asked, cohort, group_by, group)
    return {"groups": groups, "overall": overall}


def _linked(asked: Asked, cohort: Cohort, group_by: str, group: dict[str, Any]) -> dict[str, Any]:
    """The group's figures, and where the incidents are that each of them counts."""
    within = narrowed(cohort, group_by, group["key"])
    group["links"] = {name: link(within, asked.as_of, counted=name) for name in COUNTED}
    return group


async def _buckets(
    asked: Asked,
    connection: psycopg.AsyncConnection[Any],
    schema: Schema,
    period: Period,
    interval: periods.Interval,
    group_by: str,
) -> list[dict[str, Any]]:
    if (period.end - period.start) / periods.SHORTEST[interval] > MOST_BUCKETS:
        raise InvalidField(
            "interval", f"Would make more than {MOST_BUCKETS} buckets: ask for longer ones, or less."
        )
    bounds = periods.boundaries(period, interval, asked.zone)
    cohort = replace(asked.cohort, start=period.start, end=period.end)
    buckets = await figures.trend(connection, cohort, bounds, group_by=group_by, now=asked.now, schema=schema)
    found: set[str | None] = {group["key"] for bucket in buckets for group in bucket.groups}
    keys = sorted(found, key=lambda key: (key is None, key)) if group_by != "none" else [None]
    if len(keys) * len(buckets) > MOST_GROUPS:
        raise InvalidField("group_by", f"Would make more than {MOST_GROUPS} groups in all buckets.")

    def shown(figures: dict[str, Any], within: Cohort) -> dict[str, Any]:
        return {**figures, "link": link(within, asked.as_of)}

    answer = []
    for stretch, bucket in zip(map(Period, bounds, bounds[1:]), buckets, strict=True):
        within = replace(cohort, start=stretch.start, end=stretch.end)
        groups = {group["key"]: group for group in bucket.groups}
        answer.append(
            {
                **_period(stretch),
                "groups": [
                    shown(groups.get(key) or figures.none(key), narrowed(within, group_by, key)) for key in keys
                ],
                "overall": shown(bucket.overall, within),
            }
        )
    return answer


async def _whole(
    asked: Asked, connection: psycopg.AsyncConnection[Any], schema: Schema, interval: periods.Interval
) -> Period | None:
    """The period asked for, its open ends closed; None where there is nothing in it."""
    start, end = asked.cohort.start, asked.cohort.end
    if start is None:
        extent = await figures.extent(connection, asked.cohort, schema=schema)
        if extent is None:
            return None
        start = periods.whole(extent[0], interval, asked.zone).start
        end = end or periods.whole(max(extent[1], asked.now), interval, asked.zone).end
    end = end or periods.whole(asked.now, interval, asked.zone).end
    return Period(start, end) if start < end else None


def _known_group(group_by: str) -> None:
    if group_by not in ("none", *figures.GROUPS) and not group_by.startswith(LABEL):
        allowed = ", ".join((*figures.GROUPS, "label:NAME", "none"))
        raise InvalidField("group_by", f"Must be one of {allowed}.")


def _about(asked: Asked) -> dict[str, Any]:
    period: tuple[datetime | None, datetime | None] = (asked.cohort.start, asked.cohort.end)
    return {**_period(period), "tz": asked.tz, "as_of": time_or_null(asked.as_of)}


def _period(period: Sequence[datetime | None]) -> dict[str, str | None]:
    return {"from": time_or_null(period[0]), "to": time_or_null(period[1])}


async def _in_zone(answer: Awaitable[T]) -> T:
    """Raises InvalidField where the database does not know the time zone that Python knows."""
    try:
        return await answer
    except psycopg.errors.InvalidParameterValue as unknown:
        raise InvalidField("tz", "The database does not know this time zone.") from unknown


_ZONES = """
    select id, time_zone from access.people where organization_id = %s and time_zone is not null"""
