"""The read models as they stood: what was recorded until a time, folded as ever, beside the live tables.

Incidents to which nothing was added since are what they were, so their live rows are taken; only the others are
folded again. The work is proportional to what has happened since, not to the whole history.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection, sql

from domain.recorded import Recorded
from projections import facts, incidents
from projections.folded import FoldedTable

FOLDED: dict[str, tuple[FoldedTable[Any], str]] = {
    "facts": (facts.ROWS, "incident_id"),
    "incidents": (incidents.ROWS, "id"),
}
"""The folded tables, and their keys."""

STREAMS = 500
"""So many incidents are read and folded at a time."""

Decode = Callable[[Sequence[tuple[Any, ...]]], list[Recorded]]
"""The ledger's entries from rows of position, stream, version, recorded_at, topic, state; unknown ones left
out."""


@asynccontextmanager
async def standing(
    connection: AsyncConnection[Any],
    organization_id: UUID,
    at: datetime,
    *,
    projected: int,
    decode: Decode,
    tables: Sequence[str] = ("facts",),
) -> AsyncIterator[None]:
    """Until it is left, `pg_temp` has these folded tables and `timeline` with the rows of the organisation that
    were there at `at`, by the ledger's clock. projected: a position that the live tables have reached."""
    async with connection.transaction(force_rollback=True):
        await connection.execute("set transaction isolation level repeatable read")
        await connection.execute(_LOCK)
        upto = await position(connection, organization_id, at)
        values = {"organization": organization_id, "upto": upto, "projected": projected}
        changed = [id for (id,) in await (await connection.execute(_CHANGED, values)).fetchall()]
        late = [id for (id,) in await (await connection.execute(_LATE, values)).fetchall()]
        for table in tables:
            await connection.execute(sql.SQL(_TABLE).format(*_names(table)))
        ids = [*changed, *set(late).difference(changed)]
        for n in range(0, len(ids), STREAMS):
            query = {"ids": ids[n : n + STREAMS], **values}
            entries = await (await connection.execute(_ENTRIES, query, binary=True)).fetchall()
            for table, rows in (await asyncio.to_thread(_fold, decode, entries, tables)).items():
                await _copy(connection, table, rows)
        for table in tables:
            live, folded, view = _names(table)
            await connection.execute(
                sql.SQL(_VIEW).format(
                    live=live,
                    folded=folded,
                    view=view,
                    key=sql.Identifier(FOLDED[table][1]),
                    organization=sql.Literal(organization_id),
                    upto=sql.Literal(upto),
                    late=sql.Literal(late),
                )
            )
            await connection.execute(sql.SQL("analyze {}").format(folded))
        await connection.execute(sql.SQL(_TIMELINE).format(sql.Literal(organization_id), sql.Literal(upto)))
        yield


async def position(connection: AsyncConnection[Any], organization_id: UUID, at: datetime) -> int:
    """The last position of the organisation that was written until then, 0 where there was none. Found by halving:
    times rise with positions, so they need no index of their own."""
    row = await (await connection.execute(_HEAD, (organization_id,))).fetchone()
    low, high = 0, row[0] if row is not None else 0
    while low < high:
        middle = (low + high) // 2
        row = await (await connection.execute(_NEXT, (organization_id, middle))).fetchone()
        if row is not None and row[1] <= at:
            low = row[0]
        else:
            high = middle
    return int(low)


def _fold(decode: Decode, entries: Sequence[tuple[Any, ...]], tables: Sequence[str]) -> dict[str, list[list[Any]]]:
    known = decode(entries)
    return {table: FOLDED[table][0].rows(known) for table in tables}


async def _copy(connection: AsyncConnection[Any], table: str, rows: Sequence[Sequence[Any]]) -> None:
    names = sql.SQL(", ").join(map(sql.Identifier, FOLDED[table][0].written))
    _, folded, _ = _names(table)
    async with connection.cursor() as cursor:
        await cursor.execute(sql.SQL("select {} from {} limit 0").format(names, folded))
        types = [column.type_code for column in cursor.description or ()]
        async with cursor.copy(sql.SQL("copy {} ({}) from stdin (format binary)").format(folded, names)) as copy:
            copy.set_types(types)
            for row in rows:
                await copy.write_row(row)


def _names(table: str) -> tuple[sql.Identifier, sql.Identifier, sql.Identifier]:
    return (
        sql.Identifier("read", table),
        sql.Identifier("pg_temp", f"{table}_folded"),
        sql.Identifier("pg_temp", table),
    )


# Before the first look: of a table that a rebuild puts in place after it, no row would be seen. In the order in
# which a rebuild takes them, so that neither waits for the other.
_LOCK = "lock table read.incidents, read.timeline, read.facts in access share mode"
_HEAD = (
    "select notification_id from ledger.events where organization_id = %s order by notification_id desc limit 1"
)
_NEXT = """
    select notification_id, recorded_at from ledger.events where organization_id = %s and notification_id > %s
     order by notification_id limit 1"""
_CHANGED = "select incident_id from read.facts where organization_id = %(organization)s and position > %(upto)s"
_LATE = """
    select distinct originator_id from ledger.events
     where organization_id = %(organization)s and notification_id > %(projected)s
       and notification_id <= %(upto)s"""
_ENTRIES = """
    select notification_id, originator_id, originator_version, recorded_at, topic, state from ledger.events
     where originator_id = any (%(ids)s) and organization_id = %(organization)s and notification_id <= %(upto)s
     order by originator_id, originator_version"""
_TABLE = "create temporary table {1} (like {0} including generated)"
_VIEW = """
    create temporary view {view} as
    select * from {live} where organization_id = {organization} and position <= {upto}
       and {key} <> all ({late}::uuid[])
    union all select * from {folded}"""
_TIMELINE = """
    create temporary view pg_temp.timeline as
    select * from read.timeline where organization_id = {} and position <= {}"""
