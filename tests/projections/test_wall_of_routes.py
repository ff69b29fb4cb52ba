"""The second wall around the routes: with the application's own conditions switched off, an organisation's token
still shows nothing of another one."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest
import uvicorn
from apitools import Stream
from given import triggered
from psycopg import AsyncCursor
from running import free_port, until
from unfiltered import without_conditions

from api import live, reading_pool
from commands.append import Append, NewEvent
from commands.event_store import LedgerDatastore, LedgerRecorder
from fandesk import compose
from fandesk.first_start import add_token
from projections.runner import Runner, ensure_tables


@dataclass
class Side:
    """An organisation with an incident that was alerted about. mark: is in what the incident says."""

    mark: str
    id: UUID = field(default_factory=uuid4)
    incident: UUID = field(default_factory=uuid4)
    token: str = ""

    def opens(self, incident: UUID, number: int) -> Append:
        event = triggered().model_copy(update={"organization_id": self.id, "number": number, "title": self.mark})
        return Append(events=[NewEvent(incident, 1, event)], opens=True)


@dataclass
class Two:
    dsn: str
    store: LedgerRecorder
    mine: Side
    theirs: Side


@pytest.fixture(scope="module")
def two(database: Any) -> Iterator[Two]:
    store = LedgerRecorder(LedgerDatastore(database.dsn))
    mine, theirs = Side("Ours is down"), Side("Theirs is down")
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        for side in (mine, theirs):
            recipient = uuid4()
            connection.execute("insert into access.organizations (id, name) values (%s, 'O')", (side.id,))
            side.token = add_token(connection, side.id, "Ada", "org_admin")
            connection.execute(
                "insert into notify.recipients (id, organization_id, name, whatsapp) values (%s, %s, %s, %s)",
                (recipient, side.id, side.mark, "+15550100001"),
            )
            connection.execute(
                "insert into notify.deliveries (id, kind, organization_id, recipient_id, channel, incident_id,"
                " content) values (%s, 'alert', %s, %s, 'whatsapp', %s, '{}')",
                (uuid4(), side.id, recipient, side.incident),
            )
            store.append([side.opens(side.incident, 0)])
        ensure_tables(connection, compose.read_models())
        runner = Runner(database.dsn, store.read, compose.read_models())
        while runner.step(connection):
            pass
    yield Two(database.dsn, store, mine, theirs)
    store.close()


@pytest.fixture(params=[True, False], ids=["walled", "without any wall"])
def walled(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Without the application's conditions; and without the database's, to see that they were switched off."""
    execute = AsyncCursor.execute

    async def unfiltered(self: AsyncCursor[Any], query: Any, *args: Any, **kwargs: Any) -> Any:
        return await execute(self, without_conditions(self, query), *args, **kwargs)

    async def keep_rights(_: Any) -> None:
        pass

    monkeypatch.setattr(AsyncCursor, "execute", unfiltered)
    monkeypatch.setattr(live.Subscriber, "wants", lambda *_: True)
    if not request.param:
        monkeypatch.setattr(reading_pool, "_give_up_rights", keep_rights)
    return bool(request.param)


@pytest.fixture
def http(two: Two, walled: bool) -> Iterator[httpx.Client]:
    """Signed in as the admin of `mine`, in an application of this process."""
    port = free_port()
    config = compose.Config(two.dsn, two.dsn, None, f"http://127.0.0.1:{port}", port=port)
    server = compose._Server(uvicorn.Config(compose.api(config), port=port, log_config=None, lifespan="on"))
    thread = threading.Thread(target=server.run)
    thread.start()
    until(lambda: server.started, what="the application")
    headers = {"Authorization": f"Bearer {two.mine.token}"}
    with httpx.Client(base_url=config.public_url, headers=headers, timeout=30) as client:
        yield client
    server.should_exit = True
    thread.join(20)
    assert not thread.is_alive()


def test_no_route_shows_anything_of_another_organisation(two: Two, http: httpx.Client, walled: bool) -> None:
    theirs = f"/api/v1/incidents/{two.theirs.incident}"
    of_theirs = [theirs, *(f"{theirs}/{part}" for part in ("timeline", "events", "deliveries", "why"))]
    of_all = [f"/api/v1/{part}" for part in ("incidents", "ledger/events", "notifications/recipients")]
    figures = http.get("/api/v1/analytics/summary").json()["overall"]["incidents"]
    statuses = {path: http.get(path).status_code for path in of_theirs}
    shown = {path: two.theirs.mark in http.get(path).text for path in of_all}
    assert all(two.mine.mark in http.get(path).text for path in of_all)

    assert figures == (1 if walled else 2)
    assert statuses == dict.fromkeys(of_theirs, 404 if walled else 200)
    assert shown == dict.fromkeys(of_all, not walled)


def test_no_stream_shows_anything_of_another_organisation(two: Two, http: httpx.Client, walled: bool) -> None:
    with http.stream("GET", f"/api/v1/incidents/{two.theirs.incident}/stream", timeout=5) as answer:
        assert answer.status_code == (404 if walled else 200)
    with http.stream("GET", "/api/v1/stream?after=0") as backlog, http.stream("GET", "/api/v1/stream") as answer:
        before, live_one = Stream(backlog), Stream(answer)
        until(lambda: live_one.began and before.events, what="the streams to begin")
        appends = [side.opens(uuid4(), 0) for _ in range(3) for side in (two.theirs, two.mine)]
        results = two.store.append(appends)
        end = results[-1 if walled else 2].position  # unfiltered, the first three stand for our three
        for stream in (before, live_one):
            until(lambda stream=stream: stream.ids and stream.ids[-1] >= end, what="what is new")

    for stream in (before, live_one):
        titles = {told["payload"].get("title") for told in stream.about_incidents}
        assert (two.theirs.mark in titles) is not walled
        assert not walled or {told["payload"]["organization_id"] for _, told in stream.events} == {
            str(two.mine.id)
        }
    if walled:
        assert live_one.ids == [result.position for result in results[1::2]]
