"""The ledger itself as a read model: its entries as they were written, for audits, streams and exports."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import AsyncConnection
from pydantic_core import to_json

from domain.words import rfc3339


class Entry(NamedTuple):
    """One entry. state: the exact bytes that were stored, the event's JSON."""

    position: int
    incident_id: UUID
    version: int
    organization_id: UUID
    topic: str
    recorded_at: datetime
    state: bytes


async def after(
    connection: AsyncConnection[Any],
    organization_id: UUID,
    position: int,
    *,
    incident_id: UUID | None = None,
    limit: int,
) -> Sequence[Entry]:
    """The entries of an organisation after a position, in order; or those of one incident."""
    where, values = " and organization_id = %s", [organization_id]
    if incident_id is not None:
        where += " and originator_id = %s"
        values.append(incident_id)
    cursor = await connection.execute(
        "select notification_id, originator_id, originator_version, organization_id, topic, recorded_at, state"
        f" from ledger.events where notification_id > %s{where} order by notification_id limit %s",
        (position, *values, limit),
    )
    return [Entry(*row) for row in await cursor.fetchall()]


class News(NamedTuple):
    """What there is after a position, up to `end`: how many entries, by organisation."""

    counts: dict[UUID, int]
    end: int


async def news(connection: AsyncConnection[Any], position: int, *, limit: int) -> News:
    """Who has entries among the next `limit`, and no more than that about them."""
    rows = await (await connection.execute(_NEWS, (position, limit))).fetchall()
    return News({id: count for id, count, _ in rows}, max((end for *_, end in rows), default=position))


_NEWS = """
    select organization_id, count(*), max(notification_id)
      from (select organization_id, notification_id from ledger.events
             where notification_id > %s order by notification_id limit %s) as next
     group by organization_id"""


def entry_json(entry: Entry) -> bytes:
    """An entry as JSON: where and when it was written, then `payload`, the stored bytes unchanged."""
    type, _, schema = entry.topic.partition("/")
    head = to_json(
        {
            "position": entry.position,
            "incident_id": entry.incident_id,
            "version": entry.version,
            "type": type,
            "schema_version": int(schema),
            "recorded_at": rfc3339(entry.recorded_at),
        }
    )
    return head[:-1] + b',"payload":' + bytes(entry.state) + b"}"
