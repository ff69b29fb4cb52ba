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
            asked = {**scope, "query_string": urlencode([*query, ("limit", str(PAGE))]).encode()}
            page = _Page(asked, gone, send if table is None else None)
            await self._app(page.scope, page.receive, page.send)
            if page.passed_on:
                return
            if page.shape is None:
                raise BrokenOff(f"a page of {scope['path']} answered {page.status}")
            if table is None:
                table = Table(page.shape)
                await send(_start(page, format))
                if format == "csv":
                    await send({"type": "http.response.body", "body": table.csv_head(), "more_body": True})
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


class _Page:
    """One page's request, and what the application answers to it. otherwise: where an answer that is no table,
    such as a refusal or a stream, goes as it comes."""

    def __init__(self, scope: Scope, gone: asyncio.Task[None], otherwise: Send | None) -> None:
        self.scope = scope
        self.status = 500
        self.headers: list[tuple[bytes, bytes]] = []
        self.shape: type[BaseModel] | None = None
        self.passed_on = False
        self._gone = gone
        self._otherwise = otherwise
        self._asked = False
        self._parts: list[bytes] = []

    async def receive(self) -> Message:
        """The body of a GET, which is empty; after it nothing but that who asked has left."""
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await asyncio.shield(self._gone)
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = list(message.get("headers", ()))
            self.shape = _shape(self.scope) if self.status == 200 else None
            self.passed_on = self.shape is None and self._otherwise is not None
        if self.passed_on and self._otherwise is not None:
            await self._otherwise(message)
        elif message["type"] == "http.response.body" and self.shape is not None:
            self._parts.append(message.get("body", b""))

    @property
    def body(self) -> bytes:
        return b"".join(self._parts)


def _shape(scope: Scope) -> type[BaseModel] | None:
    """What the route answers, by its own word; None where that is no table."""
    route = scope.get("route")
    shape = (route.responses.get(200) or {}).get("model") if isinstance(route, APIRoute) else None
    return shape if isinstance(shape, type) and issubclass(shape, BaseModel) else None


def _wanted(scope: Scope, query: list[tuple[str, str]]) -> str | None:
    """The format asked for, if any, also one that there is not."""
    if scope["type"] != "http" or scope["method"] != "GET" or not scope["path"].startswith("/api/"):
        return None
    named = dict(query).get("format")
    if named is not None:
        return named
    best, liked = None, 0.0
    for part in Headers(scope=scope).get("accept", "").lower().split(","):
        media, *parameters = (word.strip() for word in part.split(";"))
        if media in _ACCEPTED and (weight := _weight(parameters)) > liked:
            best, liked = _ACCEPTED[media], weight
    return best


_ACCEPTED: dict[str, str | None] = {
    "application/json": None,
    "*/*": None,
    "text/csv": "csv",
    "application/x-ndjson": "jsonl",
    "application/jsonl": "jsonl",
}


def _weight(parameters: list[str]) -> float:
    """How much a media type is liked, 0 to 1, by its parameter q; 1 without one."""
    for name, _, value in (parameter.partition("=") for parameter in parameters):
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0


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
