"""How things look in an answer."""

import base64
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from pydantic_core import from_json, to_json
from starlette.responses import Response

from domain.errors import InvalidField
from domain.incident import Incident
from domain.words import rfc3339


def time_or_null(at: datetime | None) -> str | None:
    """A time as it leaves this program."""
    return None if at is None else rfc3339(at)


def incident_view(incident: Incident, names: dict[UUID, str] | None = None) -> dict[str, Any]:
    """An incident, with what follows from its times. Durations in seconds, times in UTC."""
    return {
        "id": incident.id,
        "number": f"INC-{incident.number}",
        "title": incident.title,
        "description": incident.description,
        "severity": incident.severity,
        "category": incident.category,
        "status": incident.status,
        "team": incident.team,
        "assignee": incident.assignee,
        "assignee_name": (names or {}).get(incident.assignee) if incident.assignee else None,
        "source": incident.source,
        "dedup_key": incident.dedup_key,
        "maintenance": incident.maintenance,
        "labels": incident.labels,
        "triggered_at": rfc3339(incident.triggered_at),
        "acknowledged_at": time_or_null(incident.acknowledged_at),
        "investigating_at": time_or_null(incident.investigating_at),
        "first_resolved_at": time_or_null(incident.first_resolved_at),
        "resolved_at": time_or_null(incident.resolved_at),
        "reopen_count": incident.reopen_count,
        "alert_count": incident.alert_count,
        "merged_into": incident.merged_into,
        "time_to_acknowledge_s": incident.time_to_acknowledge_s,
        "time_to_resolve_s": incident.time_to_resolve_s,
        "response_target_s": incident.response_target_s,
        "response_due_at": rfc3339(incident.response_due_at),
        "response_breached": incident.response_breached(datetime.now(UTC)),
        "version": incident.version,
    }


class Answer(Response):
    """A JSON answer; much cheaper to render than FastAPI's own, which walks every value in Python."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return bytes(content) if isinstance(content, Raw) else to_json(content)


class Raw(bytes):
    """JSON that is written already."""


def to_cursor(sort: str, place: Sequence[Any] | None) -> str | None:
    """A page's end as an opaque text."""
    if place is None:
        return None
    values = [rfc3339(v) if isinstance(v, datetime) else str(v) if isinstance(v, UUID) else v for v in place]
    return base64.urlsafe_b64encode(json.dumps([sort, *values]).encode()).decode().rstrip("=")


def from_cursor(sort: str, cursor: str | None, kinds: Sequence[type]) -> list[Any] | None:
    """The place that `to_cursor` wrote. Raises InvalidField where it is none of this sort."""
    if cursor is None:
        return None
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        written, *values = from_json(base64.b64decode(padded.encode(), altchars=b"-_", validate=True))
        if written != sort or len(values) != len(kinds):
            raise ValueError
        return [_parse(kind, value) for kind, value in zip(kinds, values, strict=True)]
    except (ValueError, TypeError, AttributeError) as wrong:
        raise InvalidField("cursor", "Is not a cursor of this list in this order.") from wrong


def _parse(kind: type, value: Any) -> Any:
    if kind is datetime:
        return datetime.fromisoformat(value)
    if kind is int:
        if type(value) is not int or abs(value) >= 2**62:
            raise ValueError
        return value
    return kind(value)
