"""What incidents cost the people who respond: alerts, those out of hours, and the time they were engaged."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection, sql
from psycopg.rows import dict_row

from projections.cohort import Cohort, Schema, in_sql, where


async def load(
    connection: AsyncConnection[Any],
    cohort: Cohort,
    zones: Mapping[UUID, str],
    *,
    now: datetime,
    schema: Schema = "read",
) -> list[dict[str, Any]]:
    """Per person, the most engaged first: what the incidents of the cohort meant for them.

    responder: a person's id, or a recipient's that is no person's. alerts: sent about these incidents, by whatever
    channel, each attempt counted; out_of_hours_alerts: those not sent from 9 to 18 o'clock, Monday to Friday, in
    the person's zone (`zones`; the cohort's where none is known). alerted, engaged: about or with how many
    incidents. engaged_s: seconds with at least one in hand (see `domain.engagement`), what lasts still counted
    until `now`.
    """
    condition, values = where(cohort)
    query = sql.SQL(_LOAD).format(
        facts=sql.Identifier(schema, "facts"), timeline=sql.Identifier(schema, "timeline"), condition=condition
    )
    values |= {"people": list(zones), "zones": [in_sql(zone) for zone in zones.values()], "now": now}
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(query, values)
        return await cursor.fetchall()


_LOAD = """
    with cohort as materialized (
        select incident_id, organization_id, engaged, engaged_from, engaged_until from {facts} where {condition}
    ), sent as (
        select coalesce(r.person_id, t.person_id) as responder, t.incident_id, t.occurred_at
          from cohort c join {timeline} t using (incident_id)
          left join notify.recipients r on r.id = t.person_id and r.organization_id = c.organization_id
         where t.type = 'AlertSent'
    ), there as (
        select responder, incident_id, occurred_at at time zone coalesce(zone, %(zone)s) as clock
          from sent left join unnest(%(people)s::uuid[], %(zones)s::text[]) as known (responder, zone)
         using (responder)
    ), alerts as (
        select responder, count(*) as alerts, count(distinct incident_id) as alerted,
               count(*) filter (where extract(isodow from clock) > 5
                                   or extract(hour from clock) not between 9 and 17) as out_of_hours_alerts
          from there group by responder
    ), spans as (
        select span.responder, incident_id, since, coalesce(until, %(now)s) as until
          from cohort, unnest(engaged, engaged_from, engaged_until) as span (responder, since, until)
    ), hours as (
        select responder, sum(extract(epoch from upper(stretch) - lower(stretch))) as engaged_s
          from (select responder, unnest(range_agg(tstzrange(since, until))) as stretch
                  from spans where since < until group by responder) united
         group by responder
    ), engaged as (
        select responder, count(distinct incident_id) as engaged from spans group by responder
    )
    select responder, coalesce(alerts, 0) as alerts, coalesce(out_of_hours_alerts, 0) as out_of_hours_alerts,
           coalesce(alerted, 0) as alerted, coalesce(engaged, 0) as engaged,
           coalesce(engaged_s, 0)::double precision as engaged_s
      from engaged full join hours using (responder) full join alerts using (responder)
     order by engaged_s desc, alerts desc, responder"""
