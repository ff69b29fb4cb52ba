"""How much noise alerts make, and when in the week incidents begin."""

from typing import Any

from psycopg import AsyncConnection, sql
from psycopg.rows import dict_row

from projections.cohort import COUNTED, HOUR_OF_WEEK, Cohort, Schema, where


async def noise(
    connection: AsyncConnection[Any], cohort: Cohort, *, schema: Schema = "read"
) -> list[dict[str, Any]]:
    """Per source, the noisiest first, and before them (source null) all together: how many incidents it opened,
    how many alerts they received, and how many were never acknowledged."""
    condition, values = where(cohort)
    query = sql.SQL(_NOISE).format(facts=sql.Identifier(schema, "facts"), condition=condition)
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(query, values)
        return await cursor.fetchall()


async def hours(connection: AsyncConnection[Any], cohort: Cohort, *, schema: Schema = "read") -> list[int]:
    """How many incidents were triggered in each of the 168 hours of the week in the cohort's zone, from Monday 0
    to 1 o'clock on."""
    condition, values = where(cohort)
    query = sql.SQL("select {hour}, count(*) from {facts} where {condition} group by 1").format(
        hour=sql.SQL(HOUR_OF_WEEK), facts=sql.Identifier(schema, "facts"), condition=condition
    )
    counts = [0] * 168
    for hour, count in await (await connection.execute(query, values)).fetchall():
        counts[hour] = count
    return counts


_NOISE = f"""
    select source, count(*) as incidents, coalesce(sum(alert_count), 0)::bigint as alerts,
           (sum(alert_count) / nullif(count(*), 0))::double precision as alerts_per_incident,
           count(*) filter (where {COUNTED["unacknowledged"]}) as unacknowledged,
           count(*) filter (where {COUNTED["unacknowledged"]})::double precision / nullif(count(*), 0)
               as unacknowledged_share
      from {{facts}}
     where {{condition}}
     group by grouping sets ((), (source))
     order by source is not null, alerts desc, source"""
