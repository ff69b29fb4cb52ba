"""What the tests over HTTP share: an organisation of one's own, many clients at once, problems, live streams."""

import base64
import json
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import httpx
from running import until

T = TypeVar("T")


DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
START = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)


def at(seconds: float) -> str:
    """So many seconds after START, as the API writes times."""
    return (START + timedelta(seconds=seconds)).isoformat(timespec="microseconds").replace("+00:00", "Z")


@dataclass
class Org:
    """An organisation that nobody else uses, and a client signed in as its admin."""

    id: str
    admin: str
    token: str
    url: str
    http: httpx.Client

    def client(self, token: str | None = None) -> httpx.Client:
        """A connection of its own."""
        headers = {"Authorization": f"Bearer {token or self.token}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=30)

    def trigger(self, title: str = "It is down", severity: str = "high", **fields: Any) -> dict[str, Any]:
        answer = self.http.post("/api/v1/incidents", json={"title": title, "severity": severity, **fields})
        assert answer.status_code == 201, answer.text
        return answer.json()

    def do(self, incident: dict[str, Any], what: str, **body: Any) -> dict[str, Any]:
        answer = self.http.post(f"/api/v1/incidents/{incident['id']}/{what}", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def get(self, path: str, **params: Any) -> Any:
        answer = self.http.get(f"/api/v1{path}", params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def events(self, incident: dict[str, Any]) -> list[dict[str, Any]]:
        return self.get(f"/incidents/{incident['id']}/events", limit=200)["items"]

    def integration(self, **fields: Any) -> str:
        """The path that a new integration's alerts are posted to."""
        body = {"name": "Prometheus", "kind": "alertmanager", **fields}
        answer = self.http.post("/api/v1/integrations", json=body)
        assert answer.status_code == 201, answer.text
        return f"/api/v1/integrations/{answer.json()['key']}/alertmanager"


def problem(answer: httpx.Response, status: int | tuple[int, ...] | None = None) -> dict[str, Any]:
    """The problem that a refusal is, checked for what every one must have."""
    expected = range(400, 500) if status is None else (status,) if isinstance(status, int) else status
    assert answer.status_code in expected, f"{answer.status_code} {answer.text[:500]}"
    assert answer.headers["Content-Type"] == "application/problem+json"
    told = answer.json()
    assert told["status"] == answer.status_code
    assert told["title"] and told["detail"] and told["type"]
    return told


def refused_field(answer: httpx.Response, field: str) -> dict[str, Any]:
    """The problem, which names the field."""
    told = problem(answer, (400, 422))
    assert any(each["field"].startswith(field) and each["detail"] for each in told["errors"]), told
    return told


def all_pages(org: Org, path: str, **params: Any) -> Iterator[list[dict[str, Any]]]:
    """Every page, until next_cursor is null."""
    cursor: str | None = ""
    for _ in range(1000):
        page = org.get(path, **params, **({"cursor": cursor} if cursor else {}))
        yield page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            return
    raise AssertionError("the pages never end")


def about_incidents(entries: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The entries but for those about the organisation itself: who got access to it, and the like."""
    return [entry for entry in entries if entry["incident_id"] != entry["payload"]["organization_id"]]


def cursor_of(*values: Any) -> str:
    """A cursor as somebody would forge it."""
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


def at_once(count: int, work: Callable[[int], T]) -> list[T]:
    """Results of `work(0)` to `work(count - 1)`, each in its own thread, all let go at the same instant."""
    gate = threading.Barrier(count)

    def run(n: int) -> T:
        gate.wait(30)
        return work(n)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


class Stream:
    """A live stream that is being read: its events as (id, data), in the order in which they came."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self.events: list[tuple[int, dict[str, Any]]] = []
        self.began: list[int] = []
        """Ids that came without data: where the stream begins."""
        self.ended = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    @property
    def ids(self) -> list[int]:
        return [id for id, _ in self.events]

    @property
    def about_incidents(self) -> list[dict[str, Any]]:
        """What came about incidents, and not about the organisation itself."""
        return about_incidents(data for _, data in self.events)

    def _lines(self) -> Iterator[str]:
        """Lines as Server-Sent Events have them; httpx's own would end one at U+2028, too."""
        rest = b""
        for chunk in self.answer.iter_bytes():
            *lines, rest = (rest + chunk).split(b"\n")
            yield from (line.decode().removesuffix("\r") for line in lines)

    def _read(self) -> None:
        id, data = None, ""
        try:
            for line in self._lines():
                if line.startswith("id:"):
                    id = int(line[3:])
                elif line.startswith("data:"):
                    data += line[5:].strip()
                elif line == "" and data:
                    assert id is not None
                    self.events.append((id, json.loads(data)))
                    data = ""
                elif line == "" and id is not None:
                    self.began.append(id)
        except (httpx.HTTPError, httpx.StreamError, OSError):
            pass  # it was closed, by us or by the product
        finally:
            self.ended.set()


@contextmanager
def open_stream(
    org: Org, path: str = "/api/v1/stream", last: int | None = None, token: str | None = None
) -> Iterator[Stream]:
    """A stream that is being read in the background from the moment it is connected."""
    headers = {} if last is None else {"Last-Event-ID": str(last)}
    with org.client(token) as client, client.stream("GET", path, headers=headers) as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        stream = Stream(answer)
        until(lambda: stream.began or stream.events, what="the stream to begin")
        yield stream


class Poster:
    """A client that keeps one connection and posts alerts, without a bearer token."""

    def __init__(self, url: str) -> None:
        self._client = httpx.Client(base_url=url, timeout=30)

    def __call__(self, path: str, sent: Any) -> httpx.Response:
        return self._client.post(path, json=sent)

    def close(self) -> None:
        self._client.close()
