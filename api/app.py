"""Puts the HTTP edge together: one FastAPI application over the services it is given."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import (
    access,
    analytics,
    commands,
    feeds,
    health,
    intake,
    maintenance,
    me,
    oidc,
    oncall,
    openapi,
    organization,
    organization_settings,
    people,
    policies,
    problems,
    quiet_hours,
    reads,
    recipients,
    routing_rules,
    schedules,
    sessions,
    sign_in,
    stream,
    teams,
    tokens,
    whatsapp,
    why,
)
from api.services import Services

INCIDENTS = (commands, reads, why, analytics, recipients, stream, intake, whatsapp, health)
ACCESS = (sign_in, sessions, oidc, me, people, tokens, organization)
SETTINGS = (
    organization_settings,
    teams,
    routing_rules,
    schedules,
    oncall,
    policies,
    maintenance,
    quiet_hours,
    feeds,
)

MAX_BODY = 1024 * 1024
"""Bytes. Larger bodies are refused with 413."""

LARGER = {whatsapp.PATH: 3 * 1024 * 1024}
"""Bytes, where senders may need more: Meta's webhooks have up to 3 MB."""

MAX_DRAINED = 64 * MAX_BODY
"""Bytes of a body too large that are read before the connection is cut."""


def create_app(open_services: Callable[[], AsyncIterator[Services]], version: str) -> FastAPI:
    """The application; `open_services` yields its services once and closes them afterwards.

    Raises RouteWithoutRule where the table of api/access.py leaves one out.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with asynccontextmanager(open_services)() as services:
            app.state.services = services
            yield

    app = FastAPI(
        title="FanDesk Incidents",
        version=version,
        summary="An event-sourced incident ledger",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        strict_content_type=False,
    )
    for part in (*INCIDENTS, *ACCESS, *SETTINGS):
        app.include_router(part.router)
    app.openapi = lambda: openapi.document(app)  # type: ignore[method-assign]
    access.check(app)
    problems.install(app)
    app.add_middleware(BodyLimit)
    app.add_middleware(Interrupted)
    return app


class Interrupted:
    """Answers 503 where the server stops and has no more time to wait for the answer: its own would be a 500."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = scope["type"] != "http"

        async def noting(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, noting)
        except asyncio.CancelledError:
            if begun:
                raise
            detail = (
                "The server stops. What was asked may have been recorded: send it again with the same"
                " Idempotency-Key."
            )
            headers = {"Retry-After": "1", "Connection": "close"}
            await problems.problem(503, "Try again shortly", detail, headers)(scope, receive, send)


class BodyLimit:
    """Refuses bodies over MAX_BODY (or LARGER), also those that do not say their length beforehand."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS"):
            await self._app(scope, receive, send)
            return
        at_most = LARGER.get(scope["path"], MAX_BODY)
        chunks: list[bytes] = []
        size = 0
        more = True
        while more and size <= MAX_DRAINED:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            chunks.append(message.get("body", b""))
            size += len(chunks[-1])
            more = message.get("more_body", False)
            if size > at_most:
                chunks.clear()  # read on, so that the sender comes to read the answer, but keep nothing
        if size > at_most:
            detail = f"A body may have {at_most} bytes."
            errors = [{"field": "body", "detail": f"has more than {at_most} bytes"}]
            refusal = problems.problem(413, "Too large", detail, {"Connection": "close"}, errors=errors)
            await refusal(scope, receive, send)
            return
        body: list[Message] = [{"type": "http.request", "body": b"".join(chunks), "more_body": False}]
        if any(name == b"authorization" for name, _ in scope["headers"]):
            # `curl -d` calls its JSON a form; a token says that no browser's form is behind it
            other = [(name, value) for name, value in scope["headers"] if name != b"content-type"]
            scope = {**scope, "headers": [*other, (b"content-type", b"application/json")]}

        async def replay() -> Message:
            return body.pop() if body else await receive()

        await self._app(scope, replay, send)
