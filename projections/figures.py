"""The figures: summaries of the facts, by severity, category, team, responder or a label, and by time.

Durations are in seconds with the microseconds that times have, percentiles by linear interpolation, nothing is
clamped. The database counts, and strings each group's durations together; percentiles, and what all groups have in
common, are found here (see `spread`).
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from psycopg import AsyncConnection, sql
from psycopg.rows import dict_row

from projections.cohort import COUNTED, Cohort, Schema, where
from projections.spread import spread, values

GROUPS = {"severity": "severity", "category": "category", "team": "team", "responder": "assignee::text"}
"""What figures can be grouped by, besides `none` and `label:NAME`."""

DURATIONS = {"tta": "tta_s", "ttr": "ttr_s", "ttr_first": "ttr_first_s"}

COUNTS: Final = ("incidents", "open", "reopened_incidents", "reopenings", "met", "breached")
"""Counted by the database; the others are numbers of durations."""


class Figures(NamedTuple):
    """The figures of each group, and of all together. Without grouping there is one group, which is all."""

    groups: list[dict[str, Any]]
    overall: dict[str, Any]


async def summary(
    connection: AsyncConnection[Any], cohort: Cohort, *, group_by: str, now: datetime, schema: Schema = "read"
) -> Figures:
    """One group of figures per value of `group_by` (a key of GROUPS, `label:NAME` or `none`), by that value.

    key: the value, null for incidents without one. open: not resolved. acknowledged, unacknowledged: ever
    acknowledged or not. met, breached: acknowledged within the response target; not, and its time is over
    at `now`.
    """
    rows = await _ask(connection, cohort, sql.SQL("0"), group_by, now, schema, {})
    return await asyncio.to_thread(_figures, rows)


async def trend(
    connection: AsyncConnection[Any],
    cohort: Cohort,
    bounds: Sequence[datetime],
    *,
    group_by: str,
    now: datetime,
    schema: Schema = "read",
) -> list[Figures]:
    """As `summary`, for each stretch of time between two `bounds`, each with the groups that it has incidents
    of."""
    bucket = sql.SQL("width_bucket(triggered_at, %(bounds)s::timestamptz[]) - 1")
    rows = await _ask(connection, cohort, bucket, group_by, now, schema, {"bounds": list(bounds)})
    buckets: list[list[dict[str, Any]]] = [[] for _ in bounds[1:]]
    for row in rows:
        buckets[row["bucket"]].append(row)
    return await asyncio.to_thread(lambda: list(map(_figures, buckets)))


async def extent(
    connection: AsyncConnection[Any], cohort: Cohort, *, schema: Schema = "read"
) -> tuple[datetime, datetime] | None:
    """When the first and the last of the cohort was triggered; None where there is none."""
    condition, values = where(cohort)
    query = sql.SQL("select min(triggered_at), max(triggered_at) from {}.facts where {}")
    row = await (await connection.execute(query.format(sql.Identifier(schema), condition), values)).fetchone()
    return None if row is None or row[0] is None else (row[0], row[1])


def none(key: str | None = None) -> dict[str, Any]:
    """The figures of no incidents."""
    return _put_together(key, [])


def _figures(rows: Sequence[dict[str, Any]]) -> Figures:
    for row in rows:
        row |= {name: values(row[name]) for name in DURATIONS}
    return Figures([_put_together(row["key"], [row]) for row in rows], _put_together(None, rows))


def _put_together(key: str | None, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    counts: Counter[str] = Counter()
    for row in rows:
        counts.update({name: row[name] for name in COUNTS})
    durations = {name: spread([row[name] for row in rows]) for name in DURATIONS}
    acknowledged = durations["tta"]["n"]
    return {
        "key": key,
        "incidents": counts["incidents"],
        "open": counts["open"],
        "acknowledged": acknowledged,
        "unacknowledged": counts["incidents"] - acknowledged,
        "resolved": durations["ttr"]["n"],
        "reopened_incidents": counts["reopened_incidents"],
        "reopenings": counts["reopenings"],
        **durations,
        "response_target": {"met": counts["met"], "breached": counts["breached"]},
    }


async def _ask(
    connection: AsyncConnection[Any],
    cohort: Cohort,
    bucket: sql.Composable,
    group_by: str,
    now: datetime,
    schema: Schema,
    more: dict[str, Any],
) -> list[dict[str, Any]]:
    condition, known = where(cohort)
    key = "null::text" if group_by == "none" else GROUPS.get(group_by, "labels ->> %(label)s")
    query = sql.SQL(_FIGURES).format(
        bucket=bucket, key=sql.SQL(key), facts=sql.Identifier(schema, "facts"), condition=condition
    )
    async with connection.cursor(row_factory=dict_row, binary=True) as cursor:
        await cursor.execute(query, {**known, "now": now, "label": group_by.removeprefix("label:"), **more})
        return await cursor.fetchall()


def _columns() -> Iterable[str]:
    for name in COUNTS:
        yield (
            "sum(reopen_count)" if name == "reopenings" else f"count(*) filter (where {COUNTED[name]})"
        ) + f" as {name}"
    for name, column in DURATIONS.items():
        yield f"string_agg(float8send({column}), ''::bytea) as {name}"


_FIGURES = f"""
    select {{bucket}} as bucket, {{key}} as key,
           {", ".join(_columns())}
      from {{facts}}
     where {{condition}}
     group by 1, 2
     order by 1, 2 nulls last"""
