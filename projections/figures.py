"""The figures: summaries of the facts, by severity, category, team, responder or a label.

Durations are in seconds with the microseconds that times have, percentiles by linear interpolation, nothing is
clamped.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection, sql
from psycopg.rows import dict_row

GROUPS = {"severity": "severity", "category": "category", "team": "team", "responder": "assignee::text"}
"""What figures can be grouped by, besides `none` and `label:NAME`."""

DURATIONS = {"tta": "tta_s", "ttr": "ttr_s", "ttr_first": "ttr_first_s"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cohort:
    """Incidents triggered in [start, end), merged ones left out; what else is given must hold.

    `None` among categories or teams stands for incidents without one.
    """

    organization_id: UUID
    start: datetime | None = None
    end: datetime | None = None
    severities: Sequence[str] = ()
    categories: Sequence[str | None] = ()
    teams: Sequence[str | None] = ()


async def summary(
    connection: AsyncConnection[Any], cohort: Cohort, *, group_by: str, now: datetime
) -> list[dict[str, Any]]:
    """One group of figures per value of `group_by` (a key of GROUPS, `label:NAME` or `none`), by that value.

    key: the value, null for incidents without one. open: not resolved. acknowledged, unacknowledged: ever
    acknowledged or not. met, breached: acknowledged within the response target; not, and its time is over
    at `now`.
    """
    values: dict[str, Any] = {"organization": cohort.organization_id, "now": now}
    if group_by == "none":
        key: sql.Composable = sql.SQL("null::text")
    elif group_by in GROUPS:
        key = sql.SQL(GROUPS[group_by])
    else:
        key = sql.SQL("labels ->> %(label)s")
        values["label"] = group_by.removeprefix("label:")
    conditions: list[sql.Composable] = [sql.SQL("organization_id = %(organization)s and merged_into is null")]
    for name, condition, moment in (
        ("start", "triggered_at >= %(start)s", cohort.start),
        ("end", "triggered_at < %(end)s", cohort.end),
    ):
        if moment is not None:
            conditions.append(sql.SQL(condition))
            values[name] = moment
    for name, wanted in (("severity", cohort.severities), ("category", cohort.categories), ("team", cohort.teams)):
        if wanted:
            without = sql.SQL(" or {} is null").format(sql.Identifier(name)) if None in wanted else sql.SQL("")
            some = sql.SQL("({} = any ({}){})")
            conditions.append(some.format(sql.Identifier(name), sql.Placeholder(name), without))
            values[name] = [value for value in wanted if value is not None]
    query = sql.SQL(_SUMMARY).format(
        key=key,
        conditions=sql.SQL(" and ").join(conditions),
        durations=sql.SQL(", ").join(
            sql.SQL(_DURATION).format(column=sql.Identifier(column), name=sql.Identifier(name))
            for name, column in DURATIONS.items()
        ),
        group=sql.SQL("group by 1") if group_by != "none" else sql.SQL(""),
    )
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(query, values)
        return await cursor.fetchall()


_SUMMARY = """
    select {key} as key,
           count(*) as incidents,
           count(*) filter (where status in ('triggered', 'acknowledged', 'investigating')) as open,
           count(acknowledged_at) as acknowledged,
           count(*) - count(acknowledged_at) as unacknowledged,
           count(resolved_at) as resolved,
           count(*) filter (where reopen_count > 0) as reopened_incidents,
           coalesce(sum(reopen_count), 0) as reopenings,
           {durations},
           json_build_object(
               'met', count(*) filter (where tta_s <= response_target_s),
               'breached', count(*) filter (where
                   extract(epoch from coalesce(acknowledged_at, resolved_at, %(now)s) - triggered_at)
                   > response_target_s)) as response_target
      from read.facts
     where {conditions}
     {group}
     order by 1 nulls last"""

_PERCENTILE = "round((percentile_cont({}) within group (order by {{column}}))::numeric, 6)::double precision"

_DURATION = f"""
           json_build_object(
               'n', count({{column}}),
               'mean_s', round(avg({{column}})::numeric, 6)::double precision,
               'p50_s', {_PERCENTILE.format(0.5)},
               'p90_s', {_PERCENTILE.format(0.9)},
               'p95_s', {_PERCENTILE.format(0.95)},
               'negative', count(*) filter (where {{column}} < 0)) as {{name}}"""
