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
    organization_id: UUID | None,
    position: int,
    *,
    incident_id: UUID | None = None,
    limit: int,
) -> Sequence[Entry]:
    """The entries after a position, in order: of one incident, of an organisation, or (None) of all."""
    where, values = "", []
    if organization_id is not None:
        where += " and organization_id = %s"
        values.append(organization_id)
    if incident_id is not None:
        where += " and originator_id = %s"
        values.append(incident_id)
    cursor = await connection.execute(
        "select notification_id, originator_id, originator_version, organization_id, topic, recorded_at, state"
        f" from ledger.events where notification_id > %s{where} order by notification_id limit %s",
        (position, *values, limit),
    )
    return [Entry(*row) for row in await cursor.fetchall()]


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
