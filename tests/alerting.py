"""The product with WhatsApp set up, Meta's side of it in a process of its own, and teams of people to alert.

A team is an organisation of its own, with numbers of its own: tests do not hear of each other, and the rate at
which a person may be written to is theirs alone.
"""

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psycopg
from psycopg.rows import dict_row
from running import Product, free_port, until

from fandesk.first_start import add_token

SECRET = "app-secret-of-the-tests"
VERIFY = "verify-token-of-the-tests"
NUMBER_ID = "106540352242922"
FOR_LOAD = ("--pair-interval", "0", "--per-second", "100000", "--keep", "5000")
URGENT = ("critical", "high")

_numbers = itertools.count(100_000)

JSON = dict[str, Any]


def new_number() -> str:
    """A WhatsApp number that nobody has."""
    return f"+4915112{next(_numbers):06d}"


class Sandbox:
    """Meta's side, running."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.http = httpx.Client(base_url=f"{url}/_sandbox", timeout=30)

    def messages(self, to: str | None = None) -> list[JSON]:
        """All that was taken, the oldest first."""
        answer = self.http.get("/messages", params={} if to is None else {"to": to})
        items: list[JSON] = answer.raise_for_status().json()["items"]
        return items

    def refusals(self) -> list[JSON]:
        items: list[JSON] = self.http.get("/refusals").raise_for_status().json()["items"]
        return items

    def behave(self, **behaviour: Any) -> None:
        """Behave so from now on; without anything, well."""
        answer = self.http.put("/behaviour", json=behaviour)
        assert answer.status_code == 200, answer.text

    def tap(self, message: JSON, button: str = "Acknowledge") -> None:
        answer = self.http.post(f"/messages/{message['wamid']}/tap", json={"button": button})
        assert answer.status_code == 200, answer.text

    def reply(self, number: str, text: str) -> None:
        """A person writes."""
        answer = self.http.post("/reply", json={"from": number, "text": text})
        assert answer.status_code == 200, answer.text


@dataclass
class Team:
    """An organisation with people to alert. people: recipients as the API shows them."""

    alerts: "Alerting"
    id: str
    http: httpx.Client
    people: list[JSON] = field(default_factory=list)

    def add(self, name: str | None = None, number: str | None = None, **more: Any) -> JSON:
        """A recipient more."""
        body = {"name": name or f"P{len(self.people)}", "whatsapp": number or new_number(), **more}
        self.people.append(self.post("/notifications/recipients", 201, **body))
        return self.people[-1]

    def post(self, path: str, status: int = 200, **body: Any) -> JSON:
        answer = self.http.post(f"/api/v1{path}", json=body)
        assert answer.status_code == status, answer.text
        made: JSON = answer.json()
        return made

    def trigger(self, severity: str = "critical", title: str = "It is down", **more: Any) -> JSON:
        return self.post("/incidents", 201, title=title, severity=severity, **more)

    def do(self, incident: JSON, what: str, **body: Any) -> JSON:
        return self.post(f"/incidents/{incident['id']}/{what}", **body)

    def get(self, path: str, since: int = 0, **params: Any) -> Any:
        """since: a position of the ledger that the answer is not to be older than."""
        answer = self.http.get(f"/api/v1{path}", params=params, headers={"Ledger-Position": str(since)})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def incident(self, incident: JSON) -> JSON:
        """As it is by all that the ledger has by now."""
        shown: JSON = self.get(f"/incidents/{incident['id']}", self.written(incident))
        return shown

    def written(self, incident: JSON) -> int:
        """The position of its last event."""
        position: int = self.all_of(incident, "events")[-1]["position"]
        return position

    def all_of(self, incident: JSON, what: str) -> list[JSON]:
        """Its timeline (of all that the ledger has by now), events or deliveries, of all pages."""
        since = self.written(incident) if what == "timeline" else 0
        items: list[JSON] = []
        cursor: JSON = {}
        while True:
            page = self.get(f"/incidents/{incident['id']}/{what}", since, limit=200, **cursor)
            items += page["items"]
            if page["next_cursor"] is None:
                return items
            cursor = {"cursor": page["next_cursor"]}

    def deliveries(self, incident: JSON) -> list[JSON]:
        return self.all_of(incident, "deliveries")

    def types(self, incident: JSON) -> Counter[str]:
        return Counter(event["type"] for event in self.all_of(incident, "events"))

    def states(self, incident: JSON) -> Counter[str]:
        return Counter(delivery["state"] for delivery in self.deliveries(incident))

    def have(self, incident: JSON, **states: int) -> None:
        """Wait until the incident's deliveries are these, by state."""
        seen: list[Counter[str]] = []

        def reached() -> bool:
            seen[:] = [self.states(incident)]
            return seen[0] == Counter(states)

        try:
            until(reached, what=f"deliveries {states}")
        except AssertionError as late:
            raise AssertionError(f"{late}: they are {seen[0]}") from None

    def messages(self, incident: JSON | None = None) -> list[JSON]:
        """What Meta took for these people; incident: only alerts of that one."""
        numbers = {person["whatsapp"].lstrip("+") for person in self.people}
        mine = [each for each in self.alerts.sandbox.messages() if each["to"] in numbers]
        if incident is None:
            return mine
        return [each for each in mine if each["template"] and each["parameters"][1] == incident["number"]]

    def arrives(self, incident: JSON, count: int, within_s: float = 20) -> list[JSON]:
        """Wait for so many alerts of an incident."""
        until(lambda: len(self.messages(incident)) >= count, within_s=within_s, what=f"{count} alerts")
        found = self.messages(incident)
        assert len(found) == count, found
        return found

    def heard(self, number: str, *, after: int = 0) -> list[JSON]:
        """The session messages to a number, but for the first `after`."""
        return [each for each in self.alerts.sandbox.messages(number) if not each["template"]][after:]

    def answer(self, number: str, *, after: int = 0) -> JSON:
        """Wait for a session message to a number, the one after the first `after`."""
        until(lambda: self.heard(number, after=after), what=f"an answer to {number}")
        return self.heard(number, after=after)[0]


class Alerting:
    """What runs, and teams in it."""

    def __init__(self, product: Product, sandbox: Sandbox, dsn: str, stack: ExitStack) -> None:
        self.product = product
        self.sandbox = sandbox
        self.dsn = dsn
        self._stack = stack

    def sql(self, query: str, *values: Any) -> list[JSON]:
        """Ask the product's database, with its own rights."""
        with psycopg.connect(self.dsn, autocommit=True, row_factory=dict_row) as connection:
            cursor = connection.execute(query.encode(), values)
            assert cursor.description or not query.startswith("select"), "a row needs a column to be seen"
            return cursor.fetchall() if cursor.description else []

    def team(self, people: int = 3, **more: Any) -> Team:
        """An organisation with so many recipients. more: of each."""
        id = uuid4()
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute("insert into access.organizations (id, name) values (%s, %s)", (id, f"Org {id}"))
            token = add_token(connection, id, "Ada Admin", "org_admin")
        team = Team(self, str(id), self._stack.enter_context(self.product.client(token)))
        for _ in range(people):
            team.add(**more)
        return team

    def settled(self) -> bool:
        """Whether the notifier has nothing left to do for anybody."""
        return not self.sql(
            "select 1 from notify.deliveries where state in ('queued', 'sending')"
            " or kind = 'alert' and told is distinct from state"
            " and state in ('sent', 'delivered', 'read', 'failed', 'not_configured') union all"
            " select 1 from notify.inbox where handled_at is null limit 1"
        )


@contextmanager
def sandbox_on(port: int, product_port: int, folder: Path, *options: str) -> Iterator[Sandbox]:
    """Meta's side, in a process of its own."""
    callback = f"http://127.0.0.1:{product_port}/webhooks/whatsapp"
    command = [sys.executable, "-m", "fandesk", "whatsapp-sandbox", "--port", str(port), "--callback", callback]
    command += ["--app-secret", SECRET, "--verify-token", VERIFY, *options]
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("FANDESK_")}
    with (folder / "sandbox.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=inherited)
    sandbox = Sandbox(f"http://127.0.0.1:{port}")

    def answers() -> bool:
        assert process.poll() is None, (folder / "sandbox.log").read_text()
        try:
            return sandbox.http.get("/behaviour").status_code == 200
        except httpx.TransportError:
            return False

    try:
        until(answers, within_s=60, what="the sandbox")
        yield sandbox
    finally:
        sandbox.http.close()
        process.terminate()
        process.wait(20)


def settings(sandbox_port: int) -> dict[str, str]:
    """The environment in which the product speaks to a sandbox."""
    return {
        "FANDESK_WHATSAPP_BASE_URL": f"http://127.0.0.1:{sandbox_port}",
        "FANDESK_WHATSAPP_PHONE_NUMBER_ID": NUMBER_ID,
        "FANDESK_WHATSAPP_TOKEN": "token-of-the-tests",
        "FANDESK_WHATSAPP_APP_SECRET": SECRET,
        "FANDESK_WHATSAPP_VERIFY_TOKEN": VERIFY,
    }


@contextmanager
def alerting(folder: Path, *options: str, environment: Mapping[str, str] | None = None) -> Iterator[Alerting]:
    """The product and a sandbox, running. options: of the sandbox. environment: of the product."""
    port = free_port()
    product = Product(folder / "data", free_port())
    with ExitStack() as stack:
        sandbox = stack.enter_context(sandbox_on(port, product.port, folder, *options))
        stack.callback(lambda: _end(product))
        product.start(environment={**settings(port), **(environment or {})})
        yield Alerting(product, sandbox, product.cli("dsn").stdout.strip(), stack)


def _end(product: Product) -> None:
    if product.process is not None and product.process.poll() is None:
        product.process.terminate()
        try:
            product.process.wait(20)
        except subprocess.TimeoutExpired:
            product.process.kill()
            product.process.wait()


@contextmanager
def other_channel() -> Iterator[tuple[str, list[str]]]:
    """Somewhere else to reach a person: an address for Apprise, and the titles of what has come there."""
    heard: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            heard.append(body)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"json://127.0.0.1:{server.server_address[1]}", heard
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def at_once(*works: Callable[[], Any]) -> None:
    """Let all go at the same instant, each in its own thread, and wait for them."""
    gate = threading.Barrier(len(works))
    failed: list[BaseException] = []

    def run(work: Callable[[], Any]) -> None:
        try:
            gate.wait(30)
            work()
        except BaseException as problem:
            failed.append(problem)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failed, failed


def child(product: Product, role: str) -> int:
    """The process id of a role, as soon as it lives."""

    def pid() -> int | None:
        try:
            found: int | None = json.loads((product.data / "pids.json").read_text()).get(role)
        except FileNotFoundError:
            return None
        return found

    until(pid, what=f"{role} to run")
    return pid() or 0


@contextmanager
def paused(pid: int) -> Iterator[None]:
    """Meanwhile the process does nothing."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def told_of(team: Team, incident: JSON) -> Counter[tuple[str, str]]:
    """What the ledger says of an incident's alerts: event and delivery."""
    return Counter(
        (event["type"], event["payload"]["delivery_id"])
        for event in team.all_of(incident, "events")
        if event["type"].startswith("Alert") and event["type"] != "AlertReceived"
    )
