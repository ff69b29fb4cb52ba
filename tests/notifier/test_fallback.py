"""The fallback through Apprise, to a server of our own."""

import asyncio
import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from canned import answering_with
from running import free_port

from workers.notifier.answers import Unknown
from workers.notifier.fallback import send_fallback

# Apprise imports it where Python still has it.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")

SECRET = "s3cr3t-of-the-url"


@contextmanager
def receiving(status: int) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    heard: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"json://me:{SECRET}@127.0.0.1:{server.server_address[1]}/", heard
    server.shutdown()
    server.server_close()
    thread.join()


def test_taken() -> None:
    with receiving(200) as (url, heard):
        assert (
            asyncio.run(send_fallback(url, "CRITICAL INC-12", "Checkout \ud83d is down\nhttps://f.test")) is None
        )

    assert [(each["title"], each["message"]) for each in heard] == [
        ("CRITICAL INC-12", "Checkout \ufffd is down\nhttps://f.test")
    ]


@pytest.mark.parametrize("status", [401, 404, 500])
def test_refused(status: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with receiving(status) as (url, heard):
        assert asyncio.run(send_fallback(url, "t", "b")) == "The fallback did not take the message."

    assert heard
    assert SECRET not in caplog.text


def test_nobody_there() -> None:
    url = f"json://me:{SECRET}@127.0.0.1:{free_port()}/"

    assert asyncio.run(send_fallback(url, "t", "b")) == "The fallback did not take the message."


@pytest.mark.parametrize(
    "url", ["", "nonsense", f"nonsense://x:{SECRET}@y", f"slack://{SECRET}", f"json://:{SECRET}@["]
)
def test_address_that_is_none(url: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    said = asyncio.run(send_fallback(url, "t", "b"))

    assert said == "The fallback's address is not one that can be used."
    assert SECRET not in caplog.text


def test_answer_that_never_comes() -> None:
    async def impatient(url: str) -> tuple[str | Unknown | None, float]:
        loop = asyncio.get_running_loop()
        began = loop.time()
        return await send_fallback(url, "t", "b", timeout_s=0.2), loop.time() - began

    with answering_with(b"", stay_open=True) as base_url:
        said, took = asyncio.run(impatient(base_url.replace("http", "json") + "/?rto=1"))

    assert said == Unknown("The fallback did not answer within 0.2 seconds.")
    assert took < 1
