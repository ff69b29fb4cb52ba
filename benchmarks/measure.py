"""What the benchmarks share: data of their own that is removed, interleaved rounds, and the JSON line at the end.

A benchmark puts the repository's root first on `sys.path`, in place of this folder: else `http.py` here would
hide Python's own `http`.
"""

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple
from uuid import uuid4

import psycopg

from fandesk.embedded import EmbeddedPostgres
from fandesk.migrate import migrate

ROOT = Path(__file__).resolve().parents[1]
TOKEN = "fdt_only-for-benchmarks-0123456789abcdefghijklmno"

Samples = dict[str, list[float]]


def arguments(description: str | None) -> argparse.ArgumentParser:
    """A parser that knows --quick. SIGTERM ends the benchmark in order, so that its data is removed."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    parser = argparse.ArgumentParser(description=(description or "").split("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help="less of everything: about 20 s, less exact")
    return parser


def note(line: str) -> None:
    """A line for people."""
    print(line, file=sys.stderr, flush=True)


def finish(name: str, ratios: Mapping[str, float], samples: Mapping[str, Any], aims: Mapping[str, str]) -> None:
    """Say how each ratio compares with its aim (`>= 0.5`), then the JSON line."""
    for key, value in ratios.items():
        aim = aims.get(key, "")
        verdict = ""
        if aim:
            sign, bound = aim.split()
            holds = value >= float(bound) if sign == ">=" else value <= float(bound)
            verdict = f"   aim {aim}: {'reached' if holds else 'MISSED'}"
        note(f"{key:40} {value:10.3f}{verdict}")
    load = {"processors": os.cpu_count(), "load_average_1_5_15_min": os.getloadavg()}
    note(f"at the end {load}: what is above {load['processors']} besides us blurs everything")
    answer = {"benchmark": name, "ratios": rounded(ratios), "samples": rounded({**samples, "machine": load})}
    print(json.dumps(answer), flush=True)


def rounded(value: Any) -> Any:
    """The same with numbers as exact as they deserve."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, Mapping):
        return {key: rounded(each) for key, each in value.items()}
    return [rounded(each) for each in value] if isinstance(value, list | tuple) else value


def rounds(count: int, measured: Mapping[str, Callable[[], float]], unit: str) -> Samples:
    """Measure each in turn, `count` times over; who comes first changes from round to round."""
    names = list(measured)
    samples: Samples = {name: [] for name in names}
    for n in range(count):
        for name in names[n % len(names) :] + names[: n % len(names)]:
            samples[name].append(measured[name]())
        note(f"  round {n + 1}: " + ", ".join(f"{name} {samples[name][-1]:,.1f}" for name in names) + f" {unit}")
    return samples


def ratio(ours: Sequence[float], floor: Sequence[float]) -> float:
    """The median of the rounds' ratios: a disturbance of the machine hits both sides of a round."""
    return median(a / b for a, b in zip(ours, floor, strict=True))


@contextmanager
def folder() -> Iterator[Path]:
    """A new folder, removed afterwards."""
    made = Path(tempfile.mkdtemp(prefix="fandesk-benchmark-"))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


class Database(NamedTuple):
    """A migrated database. dsn: the program's own rights; owner_dsn: all rights."""

    dsn: str
    owner_dsn: str


@contextmanager
def database() -> Iterator[Database]:
    """An embedded PostgreSQL with the product's own settings, and a migrated database in it."""
    with folder() as data:
        server = EmbeddedPostgres(data)
        server.start()
        try:
            name = f"benchmark_{uuid4().hex}"
            with psycopg.connect(server.dsn("postgres", "postgres"), autocommit=True) as connection:
                connection.execute(f"create database {name} template template0")
            made = Database(server.dsn("fandesk", name), server.dsn("postgres", name))
            migrate(made.owner_dsn, app_role="fandesk")
            yield made
        finally:
            server.stop()


class Product:
    """`fandesk up` as a newcomer starts it, in a process of its own."""

    def __init__(self, data: Path, port: int | None = None, **settings: str) -> None:
        self.settings = settings
        self.data = data / "data"
        self.log = data / "up.log"
        self.port = port or free_port()
        self.server = EmbeddedPostgres(self.data)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, within_s: float = 60.0) -> None:
        """within_s: of a product whose alerting has a long history to go through before it is ready."""
        command = [sys.executable, "-m", "fandesk", "up", "--data", str(self.data), "--port", str(self.port)]
        environment = {**os.environ, "FANDESK_ADMIN_TOKEN": TOKEN, **self.settings}
        environment.pop("FANDESK_DATABASE_URL", None)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=ROOT)
        answers(f"http://127.0.0.1:{self.port}/readyz", self.process, self.log, within_s)

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(30)


@contextmanager
def product(port: int | None = None, **settings: str) -> Iterator[Product]:
    """The whole product, running, in a folder of its own; `settings` by their names in the environment."""
    with folder() as data:
        made = Product(data, port, **settings)
        try:
            made.start()
            yield made
        finally:
            made.stop()


def answers(url: str, process: "subprocess.Popen[bytes]", log: Path, within_s: float = 60.0) -> None:
    """Wait until it answers 200. Raises RuntimeError with the end of the log where it does not."""
    deadline = time.monotonic() + within_s
    while True:
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                if answer.status == 200:
                    return
        except OSError:
            pass
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{url} does not answer\n{log.read_text()[-3000:]}")
        time.sleep(0.05)


def free_port() -> int:
    """A TCP port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def processes(root: int) -> dict[int, str]:
    """A process and all its descendants: id and a name for people."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue  # it has just ended
    found: dict[int, str] = {}
    left = [root]
    while left:
        pid = left.pop()
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ")
            found[pid] = command.decode(errors="replace").strip()
        except OSError:
            continue
        left.extend(child for child, parent in parents.items() if parent == pid)
    return found


def cpu_seconds(pid: int) -> float:
    """What a process has used of the processors until now, 0 where it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
