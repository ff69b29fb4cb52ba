"""The figures: summaries of the facts, by severity, category, team, responder or a label, and by time.

Durations are in seconds with the microseconds that times have, percentiles by linear interpolation, nothing is
clamped.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from psycopg import AsyncConnection, sql
from psycopg.rows import dict_row

from projections.cohort import COUNTED, Cohort, Schema, where

GROUPS = {"severity": "severity", "category": "category", "team": "team", "responder": "assignee::text"}
"""What figures can be grouped by, besides `none` and `label:NAME`."""

DURATIONS = {"tta": "tta_s", "ttr": "ttr_s", "ttr_first": "ttr_first_s"}

COUNTS: Final = (
    "incidents", "open", "acknowledged", "unacknowledged", "resolved", "reopened_incidents",
)  # fmt: skip


async def summary(
    connection: AsyncConnection[Any], cohort: Cohort, *, group_by: str, now: datetime, schema: Schema = "read"
) -> list[dict[str, Any]]:
    """One group of figures per value of `group_by` (a key of GROUPS, `label:NAME` or `none`), by that value.

    key: the value, null for incidents without one. open: not resolved. acknowledged, unacknowledged: ever
    acknowledged or not. met, breached: acknowledged within the response target; not, and its time is over
    at `now`.
    """
    by = [] if group_by == "none" else [sql.SQL("1")]
    return await _ask(
        connection, cohort, sql.SQL("{} as key").format(_key(group_by)), by, group_by, now, schema, {}
    )


async def trend(
    connection: AsyncConnection[Any],
    cohort: Cohort,
    bounds: Sequence[datetime],
    *,
    group_by: str,
    now: datetime,
    schema: Schema = "read",
) -> list[dict[str, Any]]:
    """As `summary`, per stretch of time between two `bounds` as well, `bucket` counting them from 0; only for
    those in which there are incidents. The cohort must lie within the bounds."""
    bucket = sql.SQL("width_bucket(triggered_at, %(bounds)s::timestamptz[]) - 1 as bucket, {} as key")
    by = [sql.SQL("1"), sql.SQL("2")]
    return await _ask(
        connection, cohort, bucket.format(_key(group_by)), by, group_by, now, schema, {"bounds": list(bounds)}
    )


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
    nothing = {"n": 0, "mean_s": None, "p50_s": None, "p90_s": None, "p95_s": None, "negative": 0}
    return {
        "key": key,
        **dict.fromkeys((*COUNTS, "reopenings"), 0),
        **{name: dict(nothing) for name in DURATIONS},
        "response_target": {"met": 0, "breached": 0},
    }


def _key(group_by: str) -> sql.Composable:
    if group_by == "none":
        return sql.SQL("null::text")
    return sql.SQL(GROUPS[group_by]) if group_by in GROUPS else sql.SQL("labels ->> %(label)s")


async def _ask(
    connection: AsyncConnection[Any],
    cohort: Cohort,
    columns: sql.Composable,
    by: Sequence[sql.Composable],
    group_by: str,
    now: datetime,
    schema: Schema,
    more: dict[str, Any],
) -> list[dict[str, Any]]:
    condition, values = where(cohort)
    grouping = sql.SQL("group by {0} order by {1}").format(
        sql.SQL(", ").join(by), sql.SQL(", ").join(sql.SQL("{} nulls last").format(each) for each in by)
    )
    query = sql.SQL(_FIGURES).format(
        columns=columns,
        facts=sql.Identifier(schema, "facts"),
        condition=condition,
        grouping=grouping if by else sql.SQL(""),
    )
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(query, {**values, "now": now, "label": group_by.removeprefix("label:"), **more})
        return [_read(row) for row in await cursor.fetchall()]


def _read(row: dict[str, Any]) -> dict[str, Any]:
    """The figures of a row, its durations and their percentiles put together."""
    for name in DURATIONS:
        at = row.pop(f"{name}_at") or (None, None, None)
        n, mean, negative = (row.pop(f"{name}_{what}") for what in ("n", "mean", "negative"))
        p50, p90, p95 = (None if value is None else round(value, 6) for value in at)
        mean = None if mean is None else round(mean, 6)
        row[name] = {"n": n, "mean_s": mean, "p50_s": p50, "p90_s": p90, "p95_s": p95, "negative": negative}
    row["response_target"] = {name: row.pop(name) for name in ("met", "breached")}
    return row


_DURATION = """
           count({column}) as {name}_n,
           avg({column}) as {name}_mean,
           count(*) filter (where {column} < 0) as {name}_negative,
           percentile_cont(array[0.5, 0.9, 0.95]) within group (order by {column}) as {name}_at"""

_FIGURES = f"""
    select {{columns}},
           {", ".join(f"count(*) filter (where {COUNTED[name]}) as {name}" for name in COUNTS)},
           coalesce(sum(reopen_count), 0) as reopenings,
           {", ".join(_DURATION.format(name=name, column=column) for name, column in DURATIONS.items())},
           count(*) filter (where {COUNTED["met"]}) as met,
           count(*) filter (where {COUNTED["breached"]}) as breached
      from {{facts}}
     where {{condition}}
     {{grouping}}"""
