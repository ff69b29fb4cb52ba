"""Connections that see the read models as they stand, or as they stood at a time."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection

from api.call import Reading
from commands import codec
from commands.event_store import recorded
from domain.errors import Overloaded
from domain.recorded import Recorded
from projections import then
from projections.cohort import Schema

AT_ONCE = 2
"""So many questions after the past are answered at a time, so that connections and time are left for the
present."""

WAITS_S = 30.0

# Reading an index in order is not four times as dear as reading the table, as PostgreSQL thinks unless told: of a
# long history it would read the three times larger table. And a group's durations, strung together, are megabytes,
# which it would put down in a file to sort them.
# The lock comes before the first look: a rebuild that switches between the two would leave rows that are younger
# than the moment looked at, and so out of sight.
_ONE_MOMENT = """
    set transaction isolation level repeatable read, read only;
    lock table read.facts in access share mode;
    set local random_page_cost = 1.1;
    set local work_mem = '64MB'"""

_past = asyncio.Semaphore(AT_ONCE)


@asynccontextmanager
async def standing(
    read: Reading, as_of: datetime | None, *tables: str, once: bool = False
) -> AsyncIterator[tuple[AsyncConnection[Any], Schema]]:
    """A connection on which all questions get answers of the same moment, and the schema where these tables are.
    once: only one question is asked, so that no transaction is needed. Raises Overloaded where too many ask after
    the past."""
    if as_of is None:
        async with read.services.readers.of(read.organization_id) as connection:
            if once:
                yield connection, "read"
                return
            async with connection.transaction():
                await connection.execute(_ONE_MOMENT)
                yield connection, "read"
        return
    try:
        await asyncio.wait_for(_past.acquire(), WAITS_S)
    except TimeoutError:
        raise Overloaded("Too many ask after the past at the moment.", retry_after_s=10) from None
    try:
        async with (
            read.services.readers.of(read.organization_id) as connection,
            then.standing(
                connection, read.organization_id, as_of, projected=read.position, decode=_known, tables=tables
            ),
        ):
            yield connection, "pg_temp"
    finally:
        _past.release()


def _known(rows: Sequence[tuple[Any, ...]]) -> list[Recorded]:
    entries = []
    for row in rows:
        with suppress(codec.UnknownEvent):  # passed over, as the projector does
            entries.append(recorded(row))
    return entries
