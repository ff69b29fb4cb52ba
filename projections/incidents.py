"""Read model: the incidents as they stand, to list, search and show."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

from psycopg import AsyncConnection, Cursor, sql
from psycopg.types.json import Jsonb

from domain.incident import Incident
from domain.recorded import Recorded
from projections.cohort import COUNTED, Cohort, Schema, conditions, one_of, where
from projections.folded import FoldedTable

_INCIDENTS_WITH: Final = """
    create or replace function read.incidents_with(words text, named jsonb, most int) returns uuid[]
    language plpgsql stable security definer set search_path = pg_catalog, pg_temp
    set plan_cache_mode = force_custom_plan set enable_seqscan = off set enable_indexscan = off as $$
    declare
        here constant uuid := nullif(current_setting('fandesk.organization', true), '')::uuid;
        ids uuid[];
    begin
        if here is null then
            return null;
        end if;
        select coalesce(array_agg(id), '{}') into ids
          from (select id from read.incidents
                 where organization_id = here
                   and (words is null or search @@ websearch_to_tsquery('english', words))
                   and (named = '{}' or labels @> named)
                 limit most + 1) as some_of_them;
        return case when cardinality(ids) <= most then ids end;
    end $$"""
"""The ids of the incidents that the words find and that have these labels; null where there are more than `most`,
or the session names no organisation. By bitmap: of words that are each frequent, but seldom together, nobody can
know that they are, and to read on until enough were found would be to read all."""


class Incidents:
    """One row per incident; its columns are the fields of `domain.incident.Incident`.

    Words wait for their index in a list of 256 kB. Whoever fills it works it off, while all wait for the
    projector: with 4 MB that took more than a second, and without a list each row takes twice as long.

    Of long texts the beginning can be searched for: PostgreSQL indexes no more than a megabyte of words, and
    refuses the row otherwise.
    """

    name: str = "incidents"
    rules: int = 3
    names: tuple[str, ...] = ("incidents",)
    doors: Mapping[str, str] = {"read.incidents_with(text, jsonb, int)": _INCIDENTS_WITH}
    tables: str = """
        create table incidents (
            id                uuid primary key,
            organization_id   uuid not null,
            number            bigint not null,
            title             text not null,
            description       text not null,
            severity          text not null,
            category          text,
            status            text not null,
            team              text,
            assignee          uuid,
            source            text not null,
            source_id         uuid,
            dedup_key         text,
            maintenance       text,
            team_rule         uuid,
            team_by_hand      boolean not null,
            lead_by_hand      boolean not null,
            labels            jsonb not null,
            triggered_at      timestamptz not null,
            acknowledged_at   timestamptz,
            investigating_at  timestamptz,
            first_resolved_at timestamptz,
            resolved_at       timestamptz,
            reopen_count      int not null,
            alert_count       bigint not null,
            merged_into       uuid,
            response_target_s int not null,
            status_by         jsonb not null,
            status_at         timestamptz not null,
            version           bigint not null,
            position          bigint not null,
            severity_rank     int not null generated always as (
                case severity when 'critical' then 1 when 'high' then 2 when 'medium' then 3 else 4 end) stored,
            search            tsvector not null generated always as (
                setweight(to_tsvector('english', 'INC-' || number || ' ' || title), 'A')
                || to_tsvector('english', left(description, 20000))
                || to_tsvector('english', left(labels::text, 20000))) stored
        )"""
    indexes: str = """
        create index on incidents (organization_id, triggered_at desc, id desc);
        create index on incidents (organization_id, severity_rank, triggered_at, id);
        create unique index on incidents (organization_id, number);
        create index on incidents (organization_id, triggered_at desc, id desc)
            where status in ('triggered', 'acknowledged', 'investigating');
        create index on incidents (organization_id, team, triggered_at desc, id desc);
        create index on incidents (organization_id, assignee, triggered_at desc, id desc);
        create index on incidents using gin (search) with (gin_pending_list_limit = 256);
        create index on incidents using gin (labels jsonb_path_ops) with (gin_pending_list_limit = 256)"""

    def write(self, cursor: Cursor[Any], entries: Sequence[Recorded]) -> None:
        ROWS.write(cursor, entries)


ROWS = FoldedTable("incidents", Incident, Incident.opened, key="id")

Sort = Literal["-triggered_at", "triggered_at", "-number", "number", "severity"]

_ORDER: Final[dict[Sort, tuple[tuple[str, bool], ...]]] = {
    "-triggered_at": (("triggered_at", True), ("id", True)),
    "triggered_at": (("triggered_at", False), ("id", False)),
    "-number": (("number", True),),
    "number": (("number", False),),
    "severity": (("severity_rank", False), ("triggered_at", False), ("id", False)),
}
"""Per sort the columns it orders by, and whether downwards. The last makes it unique."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter(Cohort):
    """Which incidents to list. text: words of title, description, number or labels.

    counted: what a figure of this cohort counts (a key of `cohort.COUNTED`), seen from `now`. engaged: that person
    had it in hand; alerted: that recipient, or a recipient that is this person, was sent an alert about it. Of
    these three merged incidents are no part, as of the figures.
    """

    statuses: Sequence[str] = ()
    text: str | None = None
    counted: str | None = None
    engaged: UUID | None = None
    alerted: UUID | None = None
    now: datetime | None = None


NEAR: Final = 1000
FEW: Final = 2000
"""Words and labels are first looked for among the next incidents of the list, NEAR of them: what many have fills
a page there. Then their indexes are asked, and give FEW. With more, a page is full soon by looking at each."""

_NEAR = "(select * from {} where {} order by {} limit {}) as near"


async def find(connection: AsyncConnection[Any], organization_id: UUID, id: UUID | int) -> Incident | None:
    """One incident of an organisation, by its id or its number."""
    column = sql.Identifier("number" if isinstance(id, int) else "id")
    query = sql.SQL("select {} from read.incidents where organization_id = %s and {} = %s").format(
        ROWS.columns, column
    )
    row = await (await connection.execute(query, (organization_id, id))).fetchone()
    return ROWS.state(row) if row else None


async def search(
    connection: AsyncConnection[Any],
    which: Filter,
    *,
    sort: Sort = "-triggered_at",
    after: Sequence[Any] | None = None,
    limit: int = 50,
    schema: Schema = "read",
) -> tuple[list[Incident], list[Any] | None]:
    """A page of incidents, and the place after its last one to go on from (None: there are no more).

    after: the place that an earlier page gave, for the same sort.
    """
    found, values = _conditions(which, schema)
    order, direction = _ORDER[sort], sql.SQL("desc" if _ORDER[sort][0][1] else "asc")
    columns = sql.SQL(", ").join(sql.Identifier(name) for name, _ in order)
    ordered = sql.SQL(", ").join(sql.SQL("{} {}").format(sql.Identifier(name), direction) for name, _ in order)
    on: sql.Composable = sql.SQL("organization_id = %(organization)s")
    if after is not None:
        # The columns of a sort all run the same way, so that one comparison of rows is one range of an index.
        places = {f"after_{name}": value for (name, _), value in zip(order, after, strict=True)}
        on = sql.SQL("{} and ({}) {} ({})").format(
            on,
            columns,
            sql.SQL("<" if order[0][1] else ">"),
            sql.SQL(", ").join(map(sql.Placeholder, places)),
        )
        values |= places

    async def rows_of(source: sql.Composable) -> list[tuple[Any, ...]]:
        query = sql.SQL("select {}, {} from {} where {} order by {} limit %(limit)s").format(
            ROWS.columns, columns, source, sql.SQL(" and ").join([on, *found]), ordered
        )
        return await (await connection.execute(query, {**values, "limit": limit + 1})).fetchall()

    table = sql.Identifier(schema, "incidents")
    rows: list[tuple[Any, ...]] = []
    if schema == "read" and (which.text or which.labels):
        rows = await rows_of(sql.SQL(_NEAR).format(table, on, ordered, sql.Literal(NEAR)))
        if len(rows) <= limit and (few := await _among_few(connection, which)) is not None:
            found.append(sql.SQL("id = any (%(few)s)"))
            values["few"] = few
    if len(rows) <= limit:
        rows = await rows_of(table)
    width = len(order)
    page = [ROWS.state(row[:-width]) for row in rows[:limit]]
    return page, list(rows[limit - 1][-width:]) if len(rows) > limit else None


async def _among_few(connection: AsyncConnection[Any], which: Filter) -> list[UUID] | None:
    """All that have the words and labels asked for, and maybe others; None where they are many, or nothing such is
    asked."""
    labels = {name: values[0] for name, values in which.labels if len(values) == 1}
    if not which.text and not labels:
        return None
    values = (which.text or None, Jsonb(labels), FEW)
    row = await (await connection.execute("select read.incidents_with(%s, %s, %s)", values)).fetchone()
    return row[0] if row is not None else None


def _conditions(which: Filter, schema: Schema) -> tuple[list[sql.Composable], dict[str, Any]]:
    found, values = conditions(which)
    if which.statuses:
        condition, values["status"] = one_of("status", which.statuses)
        found.append(condition)
    if which.text:
        found.append(sql.SQL("search @@ websearch_to_tsquery('english', %(text)s)"))
        values["text"] = which.text
    counted: list[sql.Composable] = [sql.SQL(COUNTED[which.counted])] if which.counted else []
    if which.engaged is not None:
        counted.append(sql.SQL("%(engaged)s = any (engaged)"))
    if which.alerted is not None:
        counted.append(sql.SQL(_ALERTED).format(timeline=sql.Identifier(schema, "timeline")))
    if counted:
        cohort, _ = where(which)  # the very condition of the figures, so that the two cannot come apart
        within = sql.SQL("id in (select incident_id from {} where {})")
        condition = sql.SQL(" and ").join([cohort, *counted])
        found.append(within.format(sql.Identifier(schema, "facts"), condition))
        values |= {"engaged": which.engaged, "alerted": which.alerted, "now": which.now}
    return found, values


_ALERTED = """incident_id in (
    select sent.incident_id from {timeline} sent
      join notify.recipients r on r.id = sent.person_id and r.organization_id = sent.organization_id
     where sent.type = 'AlertSent' and sent.organization_id = %(organization)s
       and (r.id = %(alerted)s or r.person_id = %(alerted)s))"""
