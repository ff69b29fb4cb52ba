"""Whoever may not see incidents any more is shown none by a stream that is open already."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import httpx
import pytest
from accesstools import Browser, add
from apitools import Org, Stream, open_stream
from running import until


@contextmanager
def _by_browser(browser: Browser) -> Iterator[Stream]:
    with browser.http.stream("GET", "/api/v1/stream") as answer:
        assert answer.status_code == 200
        stream = Stream(answer)
        until(lambda: stream.began, what="the stream to begin")
        yield stream


def _seen_then_ended(org: Org, stream: Stream, revoke: Callable[[], httpx.Response]) -> None:
    """It shows what was triggered before, nothing that was triggered after, and is over."""
    before = org.trigger("Before")
    until(lambda: stream.about_incidents, what="the first incident")
    answer = revoke()
    assert answer.is_success, answer.text
    org.trigger("After")
    until(stream.ended.is_set, within_s=5, what="the stream to end")
    assert [told["incident_id"] for told in stream.about_incidents] == [before["id"]]


REVOKED: dict[str, Callable[[Org, str, str], httpx.Response]] = {
    "demoted": lambda org, person, _: org.http.post(f"/api/v1/people/{person}/role", json={"role": "member"}),
    "removed": lambda org, person, _: org.http.delete(f"/api/v1/people/{person}"),
    "erased": lambda org, person, _: org.http.post(f"/api/v1/people/{person}/erase"),
    "token revoked": lambda org, _, token: org.http.delete(f"/api/v1/tokens/{token}"),
}


@pytest.mark.parametrize("how", REVOKED)
def test_a_stream_by_token_ends(own: Org, how: str) -> None:
    ada = add(own, "responder", f"{uuid4()}@example.com")
    token = own.http.post("/api/v1/tokens", json={"name": "t", "person": ada["id"]}).json()
    with open_stream(own, token=token["token"]) as stream, open_stream(own) as admins:
        _seen_then_ended(own, stream, lambda: REVOKED[how](own, ada["id"], token["id"]))
        until(lambda: len(admins.about_incidents) == 2, what="the admin's stream, which goes on")
        assert not admins.ended.is_set()


def test_a_stream_by_session_ends_with_it(own: Org) -> None:
    ada = add(own, "responder", f"{uuid4()}@example.com")
    with Browser(own.url).by_link(own, ada["id"]) as browser, Browser(own.url) as same:
        same.http.cookies = browser.http.cookies
        same.http.headers = browser.http.headers
        with _by_browser(browser) as stream:
            _seen_then_ended(own, stream, lambda: same.http.delete(_session(same)))


def _session(browser: Browser) -> str:
    sessions: list[dict[str, Any]] = browser.http.get("/auth/sessions").json()["items"]
    return f"/auth/sessions/{next(each['id'] for each in sessions if each['current'])}"
