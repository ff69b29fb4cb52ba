"""A sandbox on loopback with a clock that tests turn, and a callback that hears its webhooks."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer

import httpx
import pytest
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
def answering(callback: Callback) -> Iterator[Running]:
    clock, said = Clock(), list[str]()
    settings = Settings(callback.url, SECRET, VERIFY, link_base="https://fandesk.test/", pace=QUICK)
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


@pytest.fixture
def callback() -> Iterator[Callback]:
    """A callback that checks nothing and keeps everything."""
    with hearing() as heard:
        yield heard


@pytest.fixture
def sandbox(callback: Callback) -> Iterator[Running]:
    """A sandbox in a thread of its own, quick with its statuses, talking to the callback."""
    with answering(callback) as running:
        yield running


@pytest.fixture(scope="module")
def _shared() -> Iterator[Running]:
    with hearing() as heard, answering(heard) as running:
        yield running


@pytest.fixture
def strict(_shared: Running) -> Running:
    """A sandbox for this module's tests that send nothing it takes; empty."""
    _shared.http.delete("/_sandbox/messages").raise_for_status()
    return _shared
