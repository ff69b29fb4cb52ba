"""`fandesk rebuild` while commands and reads go on: nobody notices, also when the rebuild is killed."""

import json
import os
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from faultload import (
    dsn_of,
    end,
    ledger,
    long_form,
    running_product,
)
from running import until

from api.call import Reading
from fandesk.embedded import EmbeddedPostgres

FILLING = 12_000
"""Events in the ledger beforehand, so that a rebuild takes its time."""

FILL = """
    insert into ledger.events
        (originator_id, originator_version, organization_id, topic, state, recorded_at)
    select originator_id, originator_version + n, organization_id, topic, state,
           recorded_at + n * interval '1 microsecond'
      from ledger.events, generate_series(1, %s) n
     where topic like 'UpdatePosted/%%' order by n"""

COMMANDS_PER_S = 20


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with running_product(tmp_path_factory.mktemp("rebuild")) as product:
        with product.client() as client:
            made = client.post("/api/v1/incidents", json={"title": "filling", "severity": "low"}).json()
            client.post(f"/api/v1/incidents/{made['id']}/updates", json={"body": "again"}).raise_for_status()
        with psycopg.connect(EmbeddedPostgres(product.data).dsn("postgres"), autocommit=True) as connection:
            connection.execute(FILL, (FILLING,))
            connection.execute("notify ledger")
            end = "(select max(notification_id) from ledger.events)"
            until(
                lambda: connection.execute(f"select min(position) = {end} from read.checkpoints").fetchone()[0],
                within_s=60,
                what="the read models to have the filling",
            )
        yield product


@dataclass
class Traffic:
    """One writer and three readers; `wrong` lists what they should not have seen."""

    url: str
    client: Callable[[], httpx.Client]
    wrong: list[str] = field(default_factory=list)
    commands: int = 0
    reads: list[tuple[int, str, set[int]]] = field(default_factory=list)
    """Of each read: the position that it promised, the incident ("" for the list), and what it showed: positions
    of the timeline, or numbers of the list."""

    def __post_init__(self) -> None:
        self._over = threading.Event()
        self._made: list[str] = []
        self._position = 0

    def write(self) -> None:
        with self.client() as client:
            while not self._over.wait(1 / COMMANDS_PER_S):
                if self.commands % 40 == 0:
                    body = {"title": f"t-{self.commands}", "severity": "low"}
                    answer = client.post("/api/v1/incidents", json=body)
                else:
                    path = f"/api/v1/incidents/{self._made[-1]}/updates"
                    answer = client.post(path, json={"body": uuid4().hex})
                if answer.status_code not in (200, 201):
                    self.wrong.append(f"command: {answer.status_code} {answer.text[:300]}")
                    continue
                if answer.status_code == 201:
                    self._made.append(answer.json()["id"])
                self.commands += 1
                self._position = int(answer.headers["Ledger-Position"])

    def read(self, look: Callable[[httpx.Client, "Traffic"], tuple[str, httpx.Response] | None]) -> None:
        with self.client() as client:
            while not self._over.wait(0.02):
                seen = look(client, self)
                if seen is None:
                    continue
                id, answer = seen
                if answer.status_code != 200:
                    self.wrong.append(f"read: {answer.status_code} {answer.text[:300]}")
                    continue
                items = answer.json()["items"]
                shown = {item["position"] if id else int(item["number"][4:]) for item in items}
                self.reads.append((int(answer.headers["Ledger-Position"]), id, shown))

    def own_write(self, client: httpx.Client) -> tuple[str, httpx.Response] | None:
        """Reads the timeline as far as a command has been answered."""
        position = self._position
        if not self._made:
            return None
        id = self._made[-1]
        path, headers = f"/api/v1/incidents/{id}/timeline?limit=200", {"Ledger-Position": str(position)}
        answer = client.get(path, headers=headers)
        if answer.status_code == 200 and int(answer.headers["Ledger-Position"]) < position:
            self.wrong.append(f"asked for {position}, got {answer.headers['Ledger-Position']}")
        return id, answer

    def any_time(self, client: httpx.Client) -> tuple[str, httpx.Response] | None:
        """Reads the timeline as it comes."""
        return (
            (id := self._made[-1], client.get(f"/api/v1/incidents/{id}/timeline?limit=200"))
            if self._made
            else None
        )

    def listing(self, client: httpx.Client) -> tuple[str, httpx.Response]:
        """Reads the list of incidents."""
        return "", client.get("/api/v1/incidents?limit=200&sort=-number")

    def promises_kept(self, dsn: str) -> None:
        """No read lacked anything up to the Ledger-Position that it was sent with, or showed what is not there."""
        assert not self.wrong, self.wrong[:5]
        positions = defaultdict(set)
        opened = {}
        for event in ledger(dsn):
            positions[str(event.stream)].add(event.position)
            if event.type == "IncidentTriggered":
                opened[event.payload["number"]] = event.position
        for promised, id, shown in self.reads:
            if id:
                lacks = {at for at in positions[id] if at <= promised} - shown
                assert not lacks and shown <= positions[id], f"a timeline read at {promised} lacks {lacks}"
            else:
                lacks = {number for number, at in opened.items() if at <= promised} - shown
                assert not lacks and shown <= opened.keys(), f"a list read at {promised} lacks INC {lacks}"
        assert len(self.reads) > 30 and self.commands > 10


@contextmanager
def traffic_on(product: Any) -> Iterator[Traffic]:
    traffic = Traffic(product.url, product.client)
    looks = (Traffic.own_write, Traffic.any_time, Traffic.listing)
    threads = [threading.Thread(target=traffic.write)]
    threads += [
        threading.Thread(target=traffic.read, args=(lambda client, t, look=look: look(t, client),))
        for look in looks
    ]
    for thread in threads:
        thread.start()
    try:
        yield traffic
    finally:
        traffic._over.set()
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive()


def command(product: Any, *arguments: str) -> subprocess.Popen[str]:
    line = [sys.executable, "-m", "fandesk", *arguments, "--data", str(product.data)]
    environment = {key: value for key, value in os.environ.items() if key != "FANDESK_DATABASE_URL"}
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def live_tables(connection: psycopg.Connection[Any]) -> list[Any]:
    return connection.execute(
        "select relname, oid from pg_class where relnamespace = 'read'::regnamespace order by relname"
    ).fetchall()


def test_rebuilds_under_traffic_are_not_noticed(product: Any) -> None:
    dsn = dsn_of(product)
    with psycopg.connect(dsn, autocommit=True) as connection, traffic_on(product) as traffic:
        for _ in range(2):
            before = dict(live_tables(connection))
            done = product.cli("rebuild", "--json", check=False)
            assert done.returncode == 0, done.stderr
            assert json.loads(done.stdout) == {"rebuilt": ["incidents", "timeline", "facts"]}
            after = dict(live_tables(connection))
            changed = ("incidents", "timeline", "facts")
            assert all(before[table] != after[table] for table in changed)
    traffic.promises_kept(dsn)


def test_a_check_under_traffic_finds_no_difference(product: Any) -> None:
    dsn = dsn_of(product)
    with traffic_on(product) as traffic:
        done = product.cli("rebuild", "--check", "--json", check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        until(traffic_goes_on(traffic), what="reads and commands after the check")
    traffic.promises_kept(dsn)


@long_form
def test_a_schema_command_meanwhile_disturbs_no_rebuild(product: Any) -> None:
    """Every command looks after the schema first; that must not fall over the tables that a rebuild switches."""
    over = threading.Event()
    wrong: list[str] = []

    def keep_migrating() -> None:
        while not over.is_set():
            done = product.cli("migrate", check=False)
            if done.returncode != 0:
                wrong.append(done.stderr)

    thread = threading.Thread(target=keep_migrating)
    thread.start()
    try:
        done = product.cli("rebuild", "--json", check=False)
        assert done.returncode == 0, done.stderr
    finally:
        over.set()
        thread.join(60)
    assert not wrong, wrong[0]


@pytest.mark.parametrize(
    "stage",
    [
        "to_regclass('read_next.timeline') is not null",
        "exists (select from pg_indexes where schemaname = 'read_next' and tablename = 'timeline'"
        " and indexname not like '%pkey')",
    ],
    ids=["while it fills", "before it switches"],
)
def test_a_killed_rebuild_leaves_the_live_tables_alone(product: Any, stage: str) -> None:
    dsn = dsn_of(product)
    with psycopg.connect(dsn, autocommit=True) as connection:
        tables = live_tables(connection)
        with traffic_on(product) as traffic:
            killed = command(product, "rebuild", "--json")
            try:
                reached = f"select {stage}".encode()
                until(lambda: connection.execute(reached).fetchone()[0], within_s=60, what=stage)
            finally:
                killed.kill()
                killed.communicate()
            assert live_tables(connection) == tables
            assert connection.execute("select to_regclass('read_next.timeline') is not null").fetchone()[0]
            until(traffic_goes_on(traffic), what="reads and commands after the kill")
            again = product.cli("rebuild", "--json", check=False)
            assert again.returncode == 0, again.stderr
            assert live_tables(connection) != tables
        assert not connection.execute(
            "select relname from pg_class where relkind = 'r'"
            " and relnamespace in ('read_next'::regnamespace, 'read_old'::regnamespace)"
        ).fetchall()
    traffic.promises_kept(dsn)
    checked = product.cli("rebuild", "--check", check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def traffic_goes_on(traffic: Traffic) -> Callable[[], bool]:
    commands, reads = traffic.commands, len(traffic.reads)
    return lambda: traffic.commands > commands + 3 and len(traffic.reads) > reads + 10


@long_form
def test_a_second_rebuild_at_once_is_refused(product: Any) -> None:
    with psycopg.connect(dsn_of(product), autocommit=True) as connection:
        first = command(product, "rebuild", "--json")
        try:
            until(
                lambda: connection.execute("select to_regclass('read_next.timeline') is not null").fetchone()[0],
                what="the first rebuild to be at work",
            )
            os.kill(first.pid, 19)  # SIGSTOP
            second = product.cli("rebuild", check=False)
            os.kill(first.pid, 18)  # SIGCONT
            assert first.wait(60) == 0
        finally:
            end(first)
            first.communicate()
    assert second.returncode == 1
    assert "another rebuild is at work" in second.stderr and "Traceback" not in second.stderr


def test_an_answer_promises_no_more_than_what_was_there_before_it_was_read() -> None:
    """The read models may move on between the query and the answer's header."""
    services = SimpleNamespace(tail=SimpleNamespace(projected=5))
    read = Reading(services, SimpleNamespace(organization_id=uuid4()))  # type: ignore[arg-type]
    services.tail.projected = 9
    assert read.answer({}).headers["Ledger-Position"] == "5"
