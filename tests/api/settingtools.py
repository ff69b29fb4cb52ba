"""What the tests of settings over HTTP share: people of every role, and an organisation set up to route."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import psycopg
from apitools import Org

from api.directory import secret_hash
from fandesk.first_start import add_token

Change = Callable[..., httpx.Response]


def person(sql: psycopg.Connection[Any], org: Org, name: str, role: str = "responder") -> tuple[str, str]:
    """A new person's id and token."""
    token = add_token(sql, org.id, f"{name} {uuid4().hex[:6]}", role)
    row = sql.execute("select person_id from access.tokens where hash = %s", (secret_hash(token),)).fetchone()
    assert row is not None
    return str(row[0]), token


def put(org: Org, path: str, body: Any, status: int = 200, **headers: str) -> httpx.Response:
    answer = org.http.put(f"/api/v1{path}", json=body, headers=headers)
    assert answer.status_code == status, answer.text
    return answer


def post(org: Org, path: str, body: Any, status: int = 201, **headers: str) -> httpx.Response:
    answer = org.http.post(f"/api/v1{path}", json=body, headers=headers)
    assert answer.status_code == status, answer.text
    return answer


def daily(*people: str, starts_on: str = "2026-01-01", **more: Any) -> dict[str, Any]:
    """A schedule of one layer that hands over at 09:00 in Berlin."""
    rotation = {"kind": "daily", "handover": "09:00"}
    layer = {"name": "base", "people": list(people), "rotation": rotation, "starts_on": starts_on}
    return {"time_zone": "Europe/Berlin", "layers": [layer], **more}


def soon(hours: float) -> str:
    """So many hours from now."""
    return (datetime.now(UTC) + timedelta(hours=hours)).isoformat().replace("+00:00", "Z")


def now(org: Org, sql: psycopg.Connection[Any]) -> str:
    """The database's own clock, by which entries are recorded."""
    row = sql.execute("select clock_timestamp()").fetchone()
    assert row is not None
    return str(row[0].astimezone(UTC).isoformat().replace("+00:00", "Z"))
