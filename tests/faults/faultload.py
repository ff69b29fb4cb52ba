"""What the fault tests share: a load whose every command can be found again in the ledger, and the reckoning."""

import json
import os
import random
import signal
import subprocess
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args
from uuid import uuid4

import httpx
import psycopg
import pytest
from running import TOKEN, Product, free_port, until

from domain.organization_events import OrganizationEvent
from fandesk.embedded import EmbeddedPostgres

ROLES = ("api", "project", "notify", "escalate", "postgres")

KILLS = int(os.environ.get("FANDESK_TEST_KILLS", "8"))
"""How often test_kill.py kills a part of the product; from 30 on all else that takes long is tested too."""

long_form = pytest.mark.skipif(KILLS < 30, reason="long form only: FANDESK_TEST_KILLS=30")
UNKNOWN = "may have been recorded"
"""What an answer of 503 says where the command may be in the ledger. Where it does not, nothing was recorded."""

MARK_FIELD = {
    "IncidentTriggered": "title",
    "IncidentAcknowledged": "note",
    "UpdatePosted": "body",
    "IncidentResolved": "note",
    "IncidentReopened": "reason",
}
"""Where each event of the load carries the mark of the command that it came from."""

VERBS = (
    ("acknowledge", "note"),
    ("updates", "body"),
    ("updates", "body"),
    ("resolve", "note"),
    ("reopen", "reason"),
)


@dataclass
class Sent:
    """A command, by its unique mark, and every answer to it: a status, or the name of a connection error."""

    mark: str
    verb: str
    keyed: bool
    answers: list[int | str] = field(default_factory=list)
    position: int = 0
    unsure: bool = False
    """Some attempt was not answered, or by a 503 that says that it may have been recorded."""

    @property
    def accepted(self) -> bool:
        return bool(self.answers) and self.answers[-1] in (200, 201)


class Load:
    """Clients that trigger, acknowledge, update, resolve and reopen, each incident its own, one shared by all.

    Every second command carries an Idempotency-Key and is sent until it is answered by other than a 503 or a
    connection error; the others are sent once. `wrong` lists the answers that nobody should ever get.
    """

    def __init__(self, url: str, *, clients: int = 6, pause_s: float = 0.03, patience_s: float = 60.0) -> None:
        self.sent: list[Sent] = []
        self.wrong: list[str] = []
        self.statuses: Counter[int | str] = Counter()
        self.slowest_s = 0.0
        self._url = url
        self._pause_s = pause_s
        self._patience_s = patience_s
        self._over = threading.Event()
        self._shared: list[str] = []
        self._threads = [threading.Thread(target=self._client, args=(n,), daemon=True) for n in range(clients)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Send no new commands; those with a key are sent until they are answered."""
        self._over.set()
        for thread in self._threads:
            thread.join(self._patience_s + 30)
            assert not thread.is_alive(), "a client of the load hangs"

    @property
    def accepted(self) -> list[Sent]:
        return [sent for sent in list(self.sent) if sent.accepted]

    def has_accepted(self, many: int) -> Callable[[], bool]:
        """Whether so many more commands are accepted, from here on."""
        goal = len(self.accepted) + many
        return lambda: len(self.accepted) >= goal

    def _client(self, n: int) -> None:
        rng = random.Random(n)
        mine: list[str] = []
        with httpx.Client(base_url=f"{self._url}/api/v1", headers=_bearer(), timeout=60) as client:
            while not self._over.is_set():
                if not mine or rng.random() < 0.25:
                    body = {"title": f"t-{uuid4().hex}", "severity": rng.choice(["critical", "low"])}
                    answer = self._send(client, "", body, body["title"], rng)
                    if answer is not None and answer.status_code == 201:
                        mine.append(answer.json()["id"])
                        self._shared = self._shared or mine[:1]
                else:
                    id = self._shared[0] if self._shared and rng.random() < 0.15 else rng.choice(mine[-3:])
                    verb, name = rng.choice(VERBS)
                    mark = f"m-{uuid4().hex}"
                    self._send(client, f"/{id}/{verb}", {name: mark}, mark, rng)
                self._over.wait(self._pause_s)

    def _send(
        self, client: httpx.Client, path: str, body: dict[str, str], mark: str, rng: random.Random
    ) -> httpx.Response | None:
        keyed = rng.random() < 0.5
        sent = Sent(mark, path.rpartition("/")[2] or "trigger", keyed)
        self.sent.append(sent)
        headers = {"Idempotency-Key": f"key-{mark}"} if keyed else {}
        deadline = time.monotonic() + self._patience_s
        while True:
            answer, began = None, time.monotonic()
            try:
                answer = client.post(f"/incidents{path}", json=body, headers=headers)
                sent.unsure |= answer.status_code == 503 and UNKNOWN in answer.text
                if answer.status_code < 300:
                    sent.position = int(answer.headers["Ledger-Position"])
                said: int | str = answer.status_code
                self._judge(sent, answer)
            except httpx.TransportError as problem:
                # Where nothing listens nothing was sent.
                sent.unsure |= not isinstance(problem, httpx.ConnectError)
                said = type(problem).__name__
            self.slowest_s = max(self.slowest_s, time.monotonic() - began)
            sent.answers.append(said)
            self.statuses[said] += 1
            if not keyed or (isinstance(said, int) and said != 503):
                return answer
            if time.monotonic() > deadline:
                self.wrong.append(f"{sent} was not answered within {self._patience_s} s")
                return None
            time.sleep(0.05)  # what a client that was told to come again does

    def _judge(self, sent: Sent, answer: httpx.Response) -> None:
        status = answer.status_code
        if status < 300:
            return
        form = answer.headers.get("Content-Type", "")
        allowed = (409,) if status != 503 else (503,)
        if status not in allowed or form != "application/problem+json" or (status == 503 and not _after(answer)):
            self.wrong.append(f"{sent.verb}: {status} {dict(answer.headers)} {answer.text[:300]}")


def _after(answer: httpx.Response) -> bool:
    return answer.headers.get("Retry-After", "").isdigit()


def _bearer() -> dict[str, str]:
    return {"Authorization": f"Bearer {TOKEN}"}


@dataclass(frozen=True)
class Event:
    """A row of ledger.events."""

    position: int
    stream: Any
    version: int
    type: str
    payload: dict[str, Any]


def ledger(dsn: str) -> list[Event]:
    """What was recorded of incidents."""
    with psycopg.connect(dsn) as connection:
        rows = connection.execute(
            "select position, incident_id, version, type, payload from ledger.readable order by position"
        ).fetchall()
    return [Event(*row) for row in rows if row[3] not in OF_ORGANIZATIONS]


def dsn_of(product: Any) -> str:
    return str(product.cli("dsn").stdout).strip()


OF_ORGANIZATIONS = {event.__name__ for event in get_args(OrganizationEvent)}


def reckon(dsn: str, *loads: Load) -> list[Event]:
    """What was answered is in the ledger once, what was refused is not, nothing else is. Its events."""
    sent = {each.mark: each for load in loads for each in load.sent}
    wrong = [wrong for load in loads for wrong in load.wrong]
    assert not wrong, wrong[:5]
    events = ledger(dsn)
    found = Counter(event.payload[MARK_FIELD[event.type]] for event in events)
    assert not found.keys() - sent.keys(), "the ledger has what nobody sent"
    doubled = [sent[mark] for mark, count in found.items() if count > 1]
    assert not doubled, f"recorded more than once: {doubled[:5]}"
    lost = [each for each in sent.values() if each.accepted and not found[each.mark]]
    assert not lost, f"answered and not recorded: {lost[:5]}"
    ghosts = [each for each in sent.values() if not each.accepted and not each.unsure and found[each.mark]]
    assert not ghosts, f"refused and recorded all the same: {ghosts[:5]}"
    unanswered = [each for each in sent.values() if each.keyed and each.answers[-1] not in (200, 201, 409)]
    assert not unanswered, f"sent with a key and never answered: {unanswered[:5]}"
    refused = [each for each in sent.values() if each.keyed and each.answers[-1] == 409 and found[each.mark]]
    assert not refused, f"recorded, then refused when sent again with its key: {refused[:5]}"
    promised = {each.mark: each.position for each in sent.values() if each.accepted}
    at = {event.payload[MARK_FIELD[event.type]]: event.position for event in events}
    short = [sent[mark] for mark, position in promised.items() if at[mark] > position]
    assert not short, f"answered with a Ledger-Position before its own event: {short[:5]}"
    versions = defaultdict(list)
    for event in events:
        versions[event.stream].append(event.version)
    assert all(found == list(range(1, len(found) + 1)) for found in versions.values())
    numbers = [event.payload["number"] for event in events if event.type == "IncidentTriggered"]
    assert sorted(numbers) == list(range(1, len(numbers) + 1)), "numbers have a gap or a double"
    return events


STATUS_AFTER = {
    "IncidentTriggered": "triggered",
    "IncidentAcknowledged": "acknowledged",
    "IncidentResolved": "resolved",
    "IncidentReopened": "investigating",
}


def read_models_match(product: Any, dsn: str) -> None:
    """Wait until the read models have caught up; then they say what the ledger says, and so does a rebuild."""
    events = ledger(dsn)
    with psycopg.connect(dsn, autocommit=True) as connection:

        def ask(query: str) -> list[Any]:
            return connection.execute(query.encode()).fetchall()

        end = events[-1].position
        until(
            lambda: ask("select min(position) from read.checkpoints") >= [(end,)],
            within_s=30,
            what="the read models to catch up",
        )
        timeline = ask("select position, incident_id, type from read.timeline order by position")
        assert timeline == [(event.position, event.stream, event.type) for event in events]
        state: dict[Any, list[Any]] = {}
        for event in events:
            row = state.setdefault(event.stream, [event.payload.get("number"), "", 0, 0, 0])
            row[1] = STATUS_AFTER.get(event.type, row[1])
            row[2] += event.type == "IncidentReopened"
            row[3], row[4] = event.position, event.version
        incidents = ask("select id, number, status, reopen_count, position, version from read.incidents")
        assert {row[0]: list(row[1:]) for row in incidents} == state
        assert len(incidents) == len(state)
        facts = ask("select incident_id, status, reopen_count, position from read.facts")
        assert {row[0]: list(row[1:]) for row in facts} == {id: row[1:4] for id, row in state.items()}
        assert len(facts) == len(state)
    checked = product.cli("rebuild", "--check", "--json", check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    differences = json.loads(checked.stdout)["differences"]
    assert {row["table"] for row in differences} == {"incidents", "timeline", "facts"}
    assert all(row["only_live"] == row["only_rebuilt"] == 0 for row in differences)


def pids(product: Any) -> dict[str, int]:
    """The children that live, by name; empty where there is no file (yet)."""
    with suppress(FileNotFoundError):
        found: dict[str, int] = json.loads((product.data / "pids.json").read_text())
        return found
    return {}


def gone(pid: int) -> bool:
    """Whether a process has ended (one that nobody has collected counts as ended)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def kill_child(product: Any, role: str) -> int:
    """Kill -9 a child of the product, as soon as it lives; its process id."""
    until(lambda: role in pids(product), within_s=15, what=f"{role} to be started again")
    pid = pids(product)[role]
    os.kill(pid, signal.SIGKILL)
    until(lambda: gone(pid), what=f"{role} to die")
    until(lambda: pids(product).get(role) != pid, what=f"pids.json to forget {role}")
    return pid


def server_processes(data: Path) -> list[int]:
    """The processes of the embedded PostgreSQL on a data folder, the postmaster first."""
    server = EmbeddedPostgres(data)
    first = server._postmasters()
    return [*first, *(server._alive() - first)]


@contextmanager
def running_product(folder: Path) -> Iterator[Any]:
    """The whole product on a folder of its own, stopped afterwards, whatever has become of it."""
    product = Product(folder / "data", free_port())
    product.start()
    try:
        yield product
    finally:
        end(product.process)


def end(process: subprocess.Popen[Any] | None) -> None:
    """End a process that a test has started: asked at first, then killed."""
    if process is not None and process.poll() is None:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
