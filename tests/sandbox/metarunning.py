"""Runs a sandbox and a callback on loopback, for the tests of every folder that talks to Meta."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from typing import Any

import httpx
import uvicorn
from metatools import QUICK, SECRET, VERIFY, Callback, Clock, Handler, Running
from running import free_port, until

from workers.sandbox.app import create_app
from workers.sandbox.sandbox import Settings


@contextmanager
def hearing() -> Iterator[Callback]:
    heard = Callback()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Handler,), {"callback": heard}))
    heard.url = f"http://127.0.0.1:{server.server_address[1]}/webhooks/whatsapp"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield heard
    server.shutdown()
    server.server_close()
    thread.join()


@contextmanager
def answering(callback: Callback, **more: Any) -> Iterator[Running]:
    """A sandbox. more: of its settings."""
    clock, said = Clock(), list[str]()
    settings = Settings(callback.url, SECRET, VERIFY, link_base="https://fandesk.test/", pace=QUICK, **more)
    port = free_port()
    config = uvicorn.Config(
        create_app(settings, clock, said.append),
        host="127.0.0.1",
        port=port,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=1,
        lifespan="on",
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    until(lambda: server.started, what="the sandbox")
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as http:
        yield Running(http, clock, said)
    server.should_exit = True
    thread.join(10)
