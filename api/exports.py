"""Any list and any figures as CSV or JSON Lines, whole: `?format=csv|jsonl`, or what Accept asks for.

Each page is asked of the application itself, and goes out as rows before the next one is asked for. So an export
shows exactly what its list shows, and to whom; it takes the memory of one page; and a new list or figure is
exported without a line of its own.
"""

import asyncio
from typing import Any, get_args
from urllib.parse import parse_qsl, urlencode

from fastapi.routing import APIRoute
from pydantic import BaseModel
from pydantic_core import from_json
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import problems
from api.tables import MEDIA_TYPES, Format, Row, Table, encode

PAGE = 200


class BrokenOff(Exception):
    """A later page of an export was refused: the connection is cut, so that nobody takes a part for the whole."""


class Exports:
    """ASGI middleware; inside of it, each page is a request like any other."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        query = parse_qsl(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True)
        wanted = _wanted(scope, query)
        if wanted is None:
            await self._app(scope, receive, send)
        elif wanted not in MEDIA_TYPES:
            detail = f"Must be one of {', '.join(get_args(Format))}."
            refusal = problems.problem(
                422, "Invalid request", detail, errors=[{"field": "format", "detail": detail}]
            )
            await refusal(scope, receive, send)
        else:
            rest = [(name, value) for name, value in query if name not in ("format", "limit")]
            await self._export(scope, receive, send, "csv" if wanted == "csv" else "jsonl", rest)

    async def _export(
        self, scope: Scope, receive: Receive, send: Send, format: Format, query: list[tuple[str, str]]
    ) -> None:
        gone = asyncio.create_task(_gone(receive))
        try:
            await self._pages(scope, send, format, query, gone)
        finally:
            gone.cancel()

    async def _pages(
        self, scope: Scope, send: Send, format: Format, query: list[tuple[str, str]], gone: asyncio.Task[None]
    ) -> None:
        """Until all is told, or who asked is gone. Raises BrokenOff."""
        table: Table | None = None
        while not gone.done():
            page = _Page({**scope, "query_string": urlencode([*query, ("limit", str(PAGE))]).encode()})
            await self._app(page.scope, _nothing, page.send)
            if table is None:
                shape = page.shape()
                if shape is None:
                    await page.pass_on(send)
                    return
                table = Table(shape)
                await send(_start(page, format))
                if format == "csv":
                    await send({"type": "http.response.body", "body": table.csv_head(), "more_body": True})
            elif page.status != 200:
                raise BrokenOff(f"a page of {scope['path']} answered {page.status}")
            answer: Row = from_json(page.body)
            rows = list(table.rows(answer))
            onward = _onward(page.scope, query, answer, rows)
            body = encode(table, rows, format)
            await send({"type": "http.response.body", "body": body, "more_body": onward is not None})
            if onward is None:
                return
            query = onward


async def _gone(receive: Receive) -> None:
    """Ends when who asked has left."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _nothing() -> Message:
    """The body of a GET."""
    return {"type": "http.request", "body": b"", "more_body": False}


class _Page:
    """What the application answers to one page's request."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.status = 500
        self.headers: list[tuple[bytes, bytes]] = []
        self._parts: list[bytes] = []

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = list(message.get("headers", ()))
        elif message["type"] == "http.response.body":
            self._parts.append(message.get("body", b""))

    @property
    def body(self) -> bytes:
        return b"".join(self._parts)

    def shape(self) -> type[BaseModel] | None:
        """What was answered, by the route's own word; None where that is no table."""
        route = self.scope.get("route")
        if self.status != 200 or not isinstance(route, APIRoute):
            return None
        shape = (route.responses.get(200) or {}).get("model")
        return shape if isinstance(shape, type) and issubclass(shape, BaseModel) else None

    async def pass_on(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        await send({"type": "http.response.body", "body": self.body})


def _wanted(scope: Scope, query: list[tuple[str, str]]) -> str | None:
    """The format asked for, if any, also one that there is not."""
    if scope["type"] != "http" or scope["method"] != "GET" or not scope["path"].startswith("/api/"):
        return None
    named = dict(query).get("format")
    if named is not None:
        return named
    accept = Headers(scope=scope).get("accept", "").lower()
    if "text/csv" in accept:
        return "csv"
    return "jsonl" if "application/x-ndjson" in accept or "application/jsonl" in accept else None


def _start(page: _Page, format: Format) -> Message:
    kept = [(k, v) for k, v in page.headers if k.lower() in (b"ledger-position", b"cache-control")]
    name = page.scope["path"].strip("/").removeprefix("api/v1/").replace("/", "-")
    safe = "".join(c for c in name if c.isascii() and (c.isalnum() or c in "-_."))
    own = {
        b"content-type": MEDIA_TYPES[format].encode(),
        b"content-disposition": f'attachment; filename="{safe}.{format}"'.encode(),
        b"vary": b"Accept",
    }
    return {"type": "http.response.start", "status": 200, "headers": [*kept, *own.items()]}


def _onward(
    scope: Scope, query: list[tuple[str, str]], answer: dict[str, Any], rows: list[Row]
) -> list[tuple[str, str]] | None:
    """The query of the next page; None after the last."""
    cursor = answer.get("next_cursor")
    if cursor is None or not rows:
        return None
    how = ("after", str(rows[-1]["position"])) if scope["path"].endswith("/ledger/events") else ("cursor", cursor)
    return [*((name, value) for name, value in query if name != how[0]), how]
