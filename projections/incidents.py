"""Read model: the incidents as they stand, to list, search and show."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

from psycopg import AsyncConnection, Cursor, sql

from domain.incident import Incident
from domain.recorded import Recorded
from projections.folded import FoldedTable


class Incidents:
    """One row per incident; its columns are the fields of `domain.incident.Incident`.

    Of long texts the beginning can be searched for: PostgreSQL indexes no more than a megabyte of words, and
    refuses the row otherwise.
    """

    name: str = "incidents"
    rules: int = 3
    names: tuple[str, ...] = ("incidents",)
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
        create index on incidents using gin (search)"""

    def write(self, cursor: Cursor[Any], entries: Sequence[Recorded]) -> None:
        _ROWS.write(cursor, entries)


_ROWS = FoldedTable("incidents", Incident, Incident.opened, key="id")

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
class Filter:
    """Which incidents to list: all that is given must hold; several values of one field are alternatives.

    start, end: triggered in [start, end). text: words of title, description, number or labels. `None` among
    the categories or teams stands for incidents without one.
    """

    organization_id: UUID
    statuses: Sequence[str] = ()
    severities: Sequence[str] = ()
    categories: Sequence[str | None] = ()
    teams: Sequence[str | None] = ()
    assignees: Sequence[UUID | None] = ()
    text: str | None = None
    start: datetime | None = None
    end: datetime | None = None


async def find(connection: AsyncConnection[Any], organization_id: UUID, id: UUID | int) -> Incident | None:
    """One incident of an organisation, by its id or its number."""
    column = sql.Identifier("number" if isinstance(id, int) else "id")
    query = sql.SQL("select {} from read.incidents where organization_id = %s and {} = %s").format(
        _ROWS.columns, column
    )
    row = await (await connection.execute(query, (organization_id, id))).fetchone()
    return _ROWS.state(row) if row else None


async def search(
    connection: AsyncConnection[Any],
    which: Filter,
    *,
    sort: Sort = "-triggered_at",
    after: Sequence[Any] | None = None,
    limit: int = 50,
) -> tuple[list[Incident], list[Any] | None]:
    """A page of incidents, and the place after its last one to go on from (None: there are no more).

    after: the place that an earlier page gave, for the same sort.
    """
    conditions, values = _conditions(which)
    order = _ORDER[sort]
    columns = sql.SQL(", ").join(sql.Identifier(name) for name, _ in order)
    if after is not None:
        # The columns of a sort all run the same way, so that one comparison of rows is one range of an index.
        conditions.append(
            sql.SQL("({}) {} ({})").format(
                columns,
                sql.SQL("<" if order[0][1] else ">"),
                sql.SQL(", ").join([sql.Placeholder()] * len(order)),
            )
        )
        values.extend(after)
    query = sql.SQL("select {}, {} from read.incidents where {} order by {} limit %s").format(
        _ROWS.columns,
        columns,
        sql.SQL(" and ").join(conditions),
        sql.SQL(", ").join(
            sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL("desc" if down else "asc"))
            for name, down in order
        ),
    )
    rows = await (await connection.execute(query, (*values, limit + 1))).fetchall()
    width = len(order)
    page = [_ROWS.state(row[:-width]) for row in rows[:limit]]
    return page, list(rows[limit - 1][-width:]) if len(rows) > limit else None


def _conditions(which: Filter) -> tuple[list[sql.Composable], list[Any]]:
    conditions: list[sql.Composable] = [sql.SQL("organization_id = %s")]
    values: list[Any] = [which.organization_id]
    alternatives: tuple[tuple[str, Sequence[Any]], ...] = (
        ("status", which.statuses),
        ("severity", which.severities),
        ("category", which.categories),
        ("team", which.teams),
        ("assignee", which.assignees),
    )
    for column, wanted in alternatives:
        if wanted:
            some = [value for value in wanted if value is not None]
            null = sql.SQL(" or {} is null").format(sql.Identifier(column)) if None in wanted else sql.SQL("")
            conditions.append(sql.SQL("({} = any (%s){})").format(sql.Identifier(column), null))
            values.append(some)
    for condition, value in (
        ("triggered_at >= %s", which.start),
        ("triggered_at < %s", which.end),
        ("search @@ websearch_to_tsquery('english', %s)", which.text or None),
    ):
        if value is not None:
            conditions.append(sql.SQL(condition))
            values.append(value)
    return conditions, values
