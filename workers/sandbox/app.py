"""Puts the sandbox together: one application over one sandbox."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles
from starlette.middleware.base import RequestResponseEndpoint

from workers.sandbox import graph, page, people
from workers.sandbox.refusals import Refused
from workers.sandbox.sandbox import Clock, Sandbox, Settings

log = logging.getLogger(__name__)

STATIC = Path(__file__).parent / "static"
CHALLENGE_EVERY_S = 2.0
CHALLENGES = 60

Say = Callable[[str], None]


def create_app(settings: Settings, clock: Clock = time.time, say: Say = log.info) -> FastAPI:
    """The application. say: is told how the callback took the challenge."""
    sandbox = Sandbox(settings, clock)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with sandbox.webhooks as webhooks:
            webhooks.later(_challenge(sandbox, say))
            yield

    app = FastAPI(title="WhatsApp sandbox", docs_url=None, redoc_url=None, lifespan=lifespan)
    app.state.sandbox = sandbox
    app.include_router(people.router(sandbox))

    @app.middleware("http")
    async def guard(request: Request, call_next: RequestResponseEndpoint) -> Response:
        response = await call_next(request)
        response.headers["Content-Security-Policy"] = page.CONTENT_SECURITY_POLICY
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "same-origin"
        response.headers.setdefault("Cache-Control", "no-store")
        return response

    @app.get("/", response_class=HTMLResponse)
    async def phone(phone: str | None = None) -> str:
        return page.render(sandbox, phone)

    @app.get("/_sandbox/live")
    async def live(phone: str | None = None, revision: int = -1) -> Response:
        """The changing part of the page; 204 while it is still that revision."""
        now = str(sandbox.chats.revision)
        if revision == sandbox.chats.revision:
            return Response(status_code=204)
        return HTMLResponse(page.live(sandbox, phone), headers={"Revision": now})

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    app.mount("/static", StaticFiles(directory=STATIC))
    app.include_router(graph.router(sandbox))

    @app.api_route("/{path:path}", methods=["GET", "POST", "PUT", "DELETE"], include_in_schema=False)
    async def elsewhere(request: Request) -> Response:
        return Refused(2500, message=f"Unknown path components: {request.url.path}").response()

    return app


async def _challenge(sandbox: Sandbox, say: Say) -> None:
    """Ask the callback as Meta does when it is set; while it is not up, ask again, and say it once each way."""
    said = ""
    for _ in range(CHALLENGES):
        passed, words = await sandbox.webhooks.verify()
        sandbox.chats.changed()
        if words != said:
            say(words)
            said = words
        if passed:
            return
        await asyncio.sleep(CHALLENGE_EVERY_S)
