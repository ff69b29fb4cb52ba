"""The severity that an incident had as of each of its events."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from psycopg import Cursor

from workers.stream.message import Message

_NAMING = ("IncidentTriggered", "SeverityChanged")
_BEFORE = """
    select distinct on (originator_id) originator_id::text, state from ledger.events
     where originator_id = any (%s::uuid[]) and notification_id < %s and split_part(topic, '/', 1) = any (%s)
     order by originator_id, originator_version desc"""


def severities(cursor: Cursor[Any], messages: Sequence[Message]) -> Iterator[str | None]:
    """Of each of these messages, which are consecutive in the ledger; None where no event names one."""
    known: dict[str, str | None] = {}
    named = [_named(message.headers.get("type"), message.body) for message in messages]
    unknown = set()
    for message, severity in zip(messages, named, strict=True):
        incident = message.key.decode()
        if severity is None and incident not in known:
            unknown.add(incident)
        known[incident] = severity
    known = dict.fromkeys(known)
    if unknown:
        cursor.execute(_BEFORE, (list(unknown), messages[0].place, list(_NAMING)), prepare=True)
        known |= {incident: _severity(state) for incident, state in cursor.fetchall()}
    for message, severity in zip(messages, named, strict=True):
        incident = message.key.decode()
        known[incident] = severity or known[incident]
        yield known[incident]


def _named(kind: str | None, state: bytes) -> str | None:
    return _severity(state) if kind in _NAMING else None


def _severity(state: bytes) -> str | None:
    try:
        severity = json.loads(state)["severity"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None  # the bytes may be anything; they are published as they are
    return severity if isinstance(severity, str) else None
