"""An export from the command line: the HTTP edge's own, asked in this process, so that both give the same."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from urllib.parse import urlencode
from uuid import UUID

import psycopg
from psycopg_pool import AsyncConnectionPool
from pydantic_core import from_json
from starlette.types import Message, Scope

from api.app import create_app
from api.directory import Caller, Directory
from api.services import Services
from api.shapes import LedgerPage
from api.tables import Format, Table, encode
from commands.ids import new_id
from domain.access import POWERS
from fandesk import compose
from projections.ledger import Entry, entry_json

AT_ONCE = 2000
"""Ledger entries fetched in one go."""

LISTS = {
    "incidents": "/incidents",
    "timeline": "/incidents/{}/timeline",
    "events": "/incidents/{}/events",
    "deliveries": "/incidents/{}/deliveries",
    "figures": "/analytics/summary",
    "trend": "/analytics/trend",
    "people": "/people",
    "teams": "/teams",
}
"""What can be exported besides the ledger, and its list or figures over HTTP; {} stands for an incident."""


class NotExported(Exception):
    """What was asked for is refused; the text says why."""


class _Operator(Directory):
    """Whoever works on this machine may read all of the organisation: it is their database."""

    def __init__(self, pool: AsyncConnectionPool, organization_id: UUID) -> None:
        super().__init__(pool)
        self._caller = Caller(organization_id, new_id(), "org_admin", POWERS["org_admin"], organization_id)

    async def caller(self, token: str, *, used: bool = True) -> Caller | None:
        return self._caller


async def export(
    config: compose.Config,
    organization_id: UUID,
    path: str,
    query: list[tuple[str, str]],
    format: Format,
    write: Callable[[bytes], object],
) -> None:
    """A list or figures, as `GET /api/v1{path}` exports them. Raises NotExported."""

    async def services() -> AsyncIterator[Services]:
        async with asynccontextmanager(compose.services(config))() as made:
            yield replace(made, directory=_Operator(made.pool, organization_id))

    status, refusal = 0, b""

    async def send(message: Message) -> None:
        nonlocal status, refusal
        if message["type"] == "http.response.start":
            status = message["status"]
        elif status == 200:
            write(message.get("body", b""))
        else:
            refusal += message.get("body", b"")

    async def stays() -> Message:
        await never.wait()
        raise AssertionError

    never = asyncio.Event()
    app = create_app(services, compose.VERSION)
    scope: Scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": f"/api/v1{path}",
        "raw_path": f"/api/v1{path}".encode(),
        "root_path": "",
        "query_string": urlencode([*query, ("format", format)]).encode(),
        "headers": [(b"authorization", b"Bearer operator"), (b"host", b"localhost")],
        "app": app,
    }
    async with app.router.lifespan_context(app):
        await app(scope, stays, send)
    if status != 200:
        said = from_json(refusal) if refusal else {}
        raise NotExported(str(said.get("detail") or f"refused with {status}"))


def export_ledger(dsn: str, organization_id: UUID | None, format: Format, write: Callable[[bytes], object]) -> int:
    """The whole ledger (None: of all organisations), in order; how many entries. By a cursor that stays in the
    database: it takes the memory of a few entries, and shows one moment."""
    table = Table(LedgerPage)
    if format == "csv":
        write(table.csv_head())
    where, values = ("", ()) if organization_id is None else (" where organization_id = %s", (organization_id,))
    count = 0
    with psycopg.connect(dsn) as connection, connection.cursor("export") as cursor:
        cursor.itersize = AT_ONCE
        cursor.execute(
            "select notification_id, originator_id, originator_version, organization_id, topic, recorded_at, state"
            f" from ledger.events{where} order by notification_id",
            values,
        )
        for row in cursor:
            line = entry_json(Entry(*row))
            write(encode(table, [from_json(line)], format) if format == "csv" else line + b"\n")
            count += 1
    return count
