"""Reads what was sent to whom about an incident. The rows are the notifier's own, not made from the ledger."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import AsyncConnection


class Delivery(NamedTuple):
    """An alert to a recipient; times in UTC, null for what has not happened. error_code: as WhatsApp names it."""

    id: UUID
    recipient_id: UUID
    recipient_name: str
    channel: str
    attempt: int
    severity: str | None
    state: str
    reason: str | None
    error_code: int | None
    wamid: str | None
    superseded: bool
    due_at: datetime
    queued_at: datetime
    sending_at: datetime | None
    unknown_at: datetime | None
    sent_at: datetime | None
    delivered_at: datetime | None
    read_at: datetime | None
    failed_at: datetime | None
    cancelled_at: datetime | None


async def of_incident(
    connection: AsyncConnection[Any],
    organization_id: UUID,
    incident_id: UUID,
    *,
    after: Sequence[Any] | None = None,
    limit: int = 50,
) -> tuple[list[Delivery], list[Any] | None]:
    """A page of an incident's deliveries, and the place after its last one (None: there are no more)."""
    range_ = "and (d.queued_at, d.id) > (%s, %s)" if after else ""
    cursor = await connection.execute(
        "select d.id, d.recipient_id, r.name, d.channel, d.attempt, d.severity, d.state, d.reason, d.error_code,"
        " d.wamid, d.superseded, d.due_at, d.queued_at, d.sending_at, d.unknown_at, d.sent_at, d.delivered_at,"
        " d.read_at, d.failed_at, d.cancelled_at"
        " from notify.deliveries d join notify.recipients r on r.id = d.recipient_id"
        f" where d.organization_id = %s and d.incident_id = %s and d.kind = 'alert' {range_}"
        " order by d.queued_at, d.id limit %s",
        (organization_id, incident_id, *(after or ()), limit + 1),
    )
    items = [Delivery(*row) for row in await cursor.fetchall()]
    page = items[:limit]
    return page, [page[-1].queued_at, page[-1].id] if len(items) > limit else None
