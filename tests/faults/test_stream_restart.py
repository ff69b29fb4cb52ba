"""A live stream through restarts of the api: with Last-Event-ID nothing is missed and nothing comes twice."""

import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from faultload import (
    OF_ORGANIZATIONS,
    Load,
    dsn_of,
    kill_child,
    long_form,
    reckon,
    running_product,
)
from running import TOKEN, until


class Follower:
    """A client of the stream as a browser is one: it comes again after the last event that it has had whole."""

    def __init__(self, url: str) -> None:
        self.seen: list[tuple[int, dict[str, Any]]] = []
        self.connections = 0
        self.refused: list[str] = []
        self._url = url
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> "Follower":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(30)
        assert not self._thread.is_alive()

    def has_connected(self) -> Callable[[], bool]:
        """Whether it has connected once more, from here on."""
        before = self.connections
        return lambda: self.connections > before

    def has_seen(self, many: int) -> Callable[[], bool]:
        """Whether it has seen so many more events, from here on."""
        before = len(self.seen)
        return lambda: len(self.seen) >= before + many

    def _follow(self) -> None:
        last = "0"
        headers = {"Authorization": f"Bearer {TOKEN}"}
        with httpx.Client(headers=headers, timeout=httpx.Timeout(30, read=1.0)) as client:
            while not self._over.is_set():
                try:
                    after = {"Last-Event-ID": last}
                    with client.stream("GET", f"{self._url}/api/v1/stream", headers=after) as answer:
                        if answer.status_code != 200:
                            self.refused.append(f"{answer.status_code}")
                            continue
                        self.connections += 1
                        id, data = last, ""
                        for line in answer.iter_lines():
                            if line.startswith("id: "):
                                id = line[4:]
                            elif line.startswith("data: "):
                                data = line[6:]
                            elif not line:
                                if data:
                                    self.seen.append((int(id), json.loads(data)))
                                last, data = id, ""
                            if self._over.is_set():
                                return
                except httpx.TransportError:
                    self._over.wait(0.05)


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with running_product(tmp_path_factory.mktemp("stream")) as product:
        yield product


@pytest.mark.parametrize("role", ["api", pytest.param("postgres", marks=long_form)])
def test_a_follower_sees_every_event_once_through_three_kills(product: Any, role: str) -> None:
    dsn = dsn_of(product)
    with Follower(product.url) as follower, Load(product.url) as load:
        product.loads = [*getattr(product, "loads", []), load]
        until(load.has_accepted(20), what="the load to run")
        for _ in range(3):
            connected, went_on = follower.has_connected(), follower.has_seen(10)
            kill_child(product, role)
            if role == "api":
                until(connected, within_s=30, what="the stream to be there again")
            until(went_on, within_s=30, what="the stream to go on")
        load.stop()
        events = reckon(dsn, *product.loads)
        end = events[-1].position
        until(lambda: follower.seen and follower.seen[-1][0] >= end, what="the stream to reach the end")
    seen = [(position, told) for position, told in follower.seen if told["type"] not in OF_ORGANIZATIONS]
    assert [position for position, _ in seen] == [event.position for event in events]
    assert [told["payload"] for _, told in seen] == [event.payload for event in events]
    assert set(follower.refused) <= {"503"}


def test_a_stream_without_a_last_event_id_begins_with_what_comes_next(product: Any) -> None:
    """Also when it is opened as soon as the api listens again."""
    with product.client() as client:
        client.post("/api/v1/incidents", json={"title": "before", "severity": "low"}).raise_for_status()
        events = client.get("/api/v1/ledger/events").json()["items"]
        kill_child(product, "api")
        first: list[str] = []

        def opened() -> bool:
            try:
                with client.stream("GET", "/api/v1/stream") as answer:
                    if answer.status_code != 200:
                        return False
                    first.extend(line for line in _until_id(answer) if line.startswith("id: "))
                    return True
            except httpx.TransportError:
                return False

        until(opened, what="the stream to be there again")
    assert int(first[0].removeprefix("id: ")) >= events[-1]["position"]


def _until_id(answer: httpx.Response) -> Iterator[str]:
    for line in answer.iter_lines():
        yield line
        if line.startswith("id: "):
            return
