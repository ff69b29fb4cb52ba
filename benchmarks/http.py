"""Acknowledged commands per second over HTTP at 32 connections, against a bare FastAPI application.

Ours is `fandesk up` as a whole. The floor has routes with the same bodies under the same uvicorn and on the same
PostgreSQL, and does one INSERT and COMMIT for each request: no token, no lifecycle, no read models. One client
of its own serves both: lifecycles of trigger, acknowledge, update, resolve on each connection, one request at a
time. Ratios are medians of the rounds' ratios.
"""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

CONNECTIONS = 32
TITLE = "Checkout answers with errors in two regions"
BODIES = (
    {
        "title": TITLE,
        "severity": "high",
        "category": "outage",
        "description": "Error rate above 5 % since the release of 14:05.",
        "labels": {"service": "checkout", "region": "eu-west-1"},
    },
    {"note": "I take it."},
    {"body": "The release is being taken back; the error rate falls."},
    {"note": "Taken back, the error rate is normal."},
)


class Connection(asyncio.Protocol):
    """One keep-alive connection that runs lifecycles: the next request goes out when the answer is there."""

    def __init__(self, load: "Load") -> None:
        self._load = load
        self._buffer = b""
        self._step = 0
        self._id = b""
        self._sent = 0.0
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.send()

    def send(self) -> None:
        self._sent = time.perf_counter()
        head, tail = self._load.requests[self._step]
        assert self.transport is not None
        self.transport.write(head + self._id + tail if self._step else head)

    def data_received(self, data: bytes) -> None:
        self._buffer = data = self._buffer + data if self._buffer else data
        end = data.find(b"\r\n\r\n")
        if end < 0:
            return
        at = data.lower().find(b"content-length:", 0, end)
        length = int(data[at + 15 : data.index(b"\r\n", at)])
        if len(data) < end + 4 + length:
            return
        self._buffer = b""
        status = data[9:12]
        if self._step == 0 and status == b"201":
            at = data.index(b'"id":"', end) + 6
            self._id = data[at : at + 36]
        self._step = (self._step + 1) % 4 if status in (b"200", b"201") else 0
        self._load.answered(self, status, time.perf_counter() - self._sent)

    def connection_lost(self, problem: Exception | None) -> None:
        self._load.lost += not self._load.over


class Load:
    """What all connections share. rate: requests per second over all of them; 0: as fast as it goes."""

    def __init__(self, prefix: str, token: str, rate: float) -> None:
        common = f"Host: localhost\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n"
        self.requests = []
        for step, body in enumerate(BODIES):
            content = json.dumps(body)
            rest = f" HTTP/1.1\r\n{common}Content-Length: {len(content)}\r\n\r\n{content}"
            command = ("", "/acknowledge", "/updates", "/resolve")[step]
            head, tail = f"POST {prefix}/incidents", f"{command}{rest}"
            self.requests.append(((head + "/").encode(), tail.encode()) if step else ((head + tail).encode(), b""))
        self.rate = rate
        self.idle: deque[Connection] = deque()
        self.statuses: Counter[str] = Counter()
        self.times: list[float] = []
        self.counting = False
        self.over = False
        self.lost = 0

    def answered(self, connection: Connection, status: bytes, seconds: float) -> None:
        if self.counting:
            self.statuses[status.decode()] += 1
            if not self.rate:
                self.times.append(seconds)
        if self.rate:
            self.idle.append(connection)
        elif not self.over:
            connection.send()

    async def pace(self) -> None:
        """Send at the rate; what could not be sent for want of an idle connection is made up for later."""
        due = time.perf_counter()
        while not self.over:
            while due <= time.perf_counter() and self.idle:
                due += 1 / self.rate
                self.idle.popleft().send()
            await asyncio.sleep(0.005)


async def client(port: int, prefix: str, token: str, seconds: float, rate: float) -> dict[str, Any]:
    """Load the server for half a second that does not count and `seconds` that do."""
    load = Load(prefix, token, rate)
    loop = asyncio.get_running_loop()
    for _ in range(CONNECTIONS):
        await loop.create_connection(lambda: Connection(load), "127.0.0.1", port)
    pacing = loop.create_task(load.pace()) if rate else None
    await asyncio.sleep(0.5)
    load.counting, began = True, time.perf_counter()
    await asyncio.sleep(seconds)
    load.counting, load.over, took = False, True, time.perf_counter() - began
    if pacing is not None:
        await pacing
    await asyncio.sleep(0.2)  # what is under way is answered
    times = sorted(load.times) or [0.0]
    good = load.statuses["200"] + load.statuses["201"]
    return {
        "rate": good / took,
        "others": {k: v for k, v in load.statuses.items() if k not in ("200", "201")},
        "lost": load.lost,
        "p50_ms": 1000 * times[len(times) // 2],
        "p99_ms": 1000 * times[int(len(times) * 0.99)],
        "cpu_s": time.process_time(),
    }


def run_client(port: int, prefix: str, token: str, seconds: float, rate: float = 0.0) -> "subprocess.Popen[bytes]":
    """Start the client in a process of its own; it prints one JSON line at its end."""
    command = [sys.executable, __file__, "--client", str(port), prefix, token, str(seconds), str(rate)]
    return subprocess.Popen(command, stdout=subprocess.PIPE)


def bare(dsn: str, port: int) -> None:
    """Serve the floor."""
    import uvicorn
    from fastapi import FastAPI
    from psycopg_pool import AsyncConnectionPool

    from api import schemas
    from commands.ids import new_id
    from fandesk.compose import tune

    pool = AsyncConnectionPool(dsn, min_size=8, max_size=8, open=False, kwargs={"autocommit": True})
    organization = new_id()

    async def opened(_: FastAPI) -> Any:
        async with pool:
            yield

    from contextlib import asynccontextmanager

    app = FastAPI(lifespan=asynccontextmanager(opened))

    async def insert(id: str, topic: str, body: schemas.Change) -> dict[str, str]:
        async with pool.connection() as connection:
            await connection.execute(
                "insert into log (originator_id, originator_version, organization_id, topic, state, recorded_at)"
                " values (%s, 1, %s, %s, %s, now())",
                (id, organization, topic, body.model_dump_json().encode()),
                prepare=True,
            )
        return {"id": id}

    @app.get("/readyz")
    async def ready() -> dict[str, str]:
        return {}

    @app.post("/incidents", status_code=201)
    async def trigger(body: schemas.TriggerBody) -> dict[str, str]:
        return await insert(str(new_id()), "trigger", body)

    @app.post("/incidents/{id}/updates")
    async def update(id: str, body: schemas.UpdateBody) -> dict[str, str]:
        return await insert(id, "update", body)

    @app.post("/incidents/{id}/{command}")
    async def command(id: str, command: str, body: schemas.NoteBody) -> dict[str, str]:
        return await insert(id, command, body)

    tune()
    uvicorn.run(app, port=port, log_config=None, access_log=False, server_header=False, lifespan="on")


@contextmanager
def floor(dsn: str, log: Path) -> Iterator[tuple[int, int]]:
    """The floor, running: its port and process id."""
    from benchmarks.measure import ROOT, answers, free_port

    port = free_port()
    with log.open("ab") as file:
        command = [sys.executable, __file__, "--bare", dsn, str(port)]
        process = subprocess.Popen(command, stdout=file, stderr=file, cwd=ROOT)
    try:
        answers(f"http://127.0.0.1:{port}/readyz", process, log)
        yield port, process.pid
    finally:
        process.terminate()
        process.wait(20)


def main() -> None:
    import psycopg

    from benchmarks import measure

    options = measure.arguments(__doc__).parse_args()
    count, seconds = (3, 1.5) if options.quick else (9, 6.0)
    details: dict[str, list[dict[str, Any]]] = {"ours": [], "bare": []}
    with measure.product() as product:
        with psycopg.connect(product.server.dsn("postgres"), autocommit=True) as connection:
            connection.execute("create database bare owner fandesk")
            dsn = product.server.dsn("fandesk", "bare")
            with psycopg.connect(dsn, autocommit=True) as made:
                made.execute(
                    "create table log (notification_id bigint generated always as identity primary key,"
                    " originator_id uuid not null, originator_version bigint not null,"
                    " organization_id uuid not null, topic text not null, state bytea not null,"
                    " recorded_at timestamptz not null)"
                )

            def caught_up() -> bool:
                row = connection.execute(
                    "select (select min(position) from read.checkpoints)"
                    " >= (select coalesce(max(notification_id), 0) from ledger.events)"
                ).fetchone()
                return bool(row and row[0])

            def measured(name: str, port: int, prefix: str, pids: dict[str, int]) -> float:
                before = {part: measure.cpu_seconds(pid) for part, pid in pids.items()}
                output, _ = run_client(port, prefix, measure.TOKEN, seconds).communicate()
                result: dict[str, Any] = json.loads(output)
                result["cpu_s"] = {"client": result["cpu_s"]} | {
                    part: measure.cpu_seconds(pid) - before[part] for part, pid in pids.items()
                }
                if result["others"] or result["lost"]:
                    raise RuntimeError(f"{name} refused requests: {result}\n{product.log.read_text()[-3000:]}")
                details[name].append(result)
                while not caught_up():  # or else our read models would still be written in the floor's time
                    time.sleep(0.05)
                return float(result["rate"])

            roles = json.loads((product.data / "pids.json").read_text())
            mine = {"api": roles["api"], "project": roles["project"]}
            with floor(dsn, product.log) as (bare_port, bare_pid):
                kinds = {
                    "ours": lambda: measured("ours", product.port, "/api/v1", mine),
                    "bare": lambda: measured("bare", bare_port, "", {"bare": bare_pid}),
                }
                measure.rounds(1, kinds, "commands/s (to warm up)")
                details["ours"].clear()
                details["bare"].clear()
                samples = measure.rounds(count, kinds, "commands/s")
    ratios = {"ours/bare": measure.ratio(samples["ours"], samples["bare"])}
    measure.finish("http", ratios, {**samples, "details": details}, {"ours/bare": ">= 0.5"})


if __name__ == "__main__":
    if sys.argv[1:2] == ["--client"]:
        import uvloop

        at, path, secret, lasting, per_second = sys.argv[2:]
        print(json.dumps(uvloop.run(client(int(at), path, secret, float(lasting), float(per_second)))))
    elif sys.argv[1:2] == ["--bare"]:
        bare(sys.argv[2], int(sys.argv[3]))
    else:
        main()
