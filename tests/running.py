"""The whole product running, as a newcomer starts it, and how tests wait."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from secrets import randbelow

import httpx

TOKEN = "fdt_only-for-tests-0123456789abcdefghijklmnopqr"


def until(condition: Callable[[], object], *, within_s: float = 30.0, what: str = "the condition") -> None:
    """Wait until it holds, looking often; fail the test when it does not come to hold in time."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {within_s} s for {what}"
        time.sleep(0.02)


def free_port() -> int:
    """A TCP port nobody listens on, below those that the kernel gives to connections: nobody gets it by chance
    before it is used, or while what uses it is stopped."""
    while True:
        port = 10_000 + randbelow(22_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


class Product:
    """`fandesk up` as a newcomer starts it, in a process of its own."""

    def __init__(self, data: Path, port: int) -> None:
        self.data = data
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.log = data.parent / f"{data.name}.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *options: str, environment: Mapping[str, str] | None = None) -> None:
        """Start it and wait until it serves. environment: settings to add to those of the tests."""
        place = ("--data", str(self.data), "--port", str(self.port))
        command = [sys.executable, "-m", "fandesk", "up", *place, *options]
        added = {"FANDESK_ADMIN_TOKEN": TOKEN, **(environment or {})}
        inherited = {key: value for key, value in os.environ.items() if key != "FANDESK_DATABASE_URL"}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env={**inherited, **added})
        until(self.is_ready, within_s=60, what=f"/readyz; the log says: {self.log.read_text()[-3000:]}")

    def is_ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()[-3000:]
        try:
            return httpx.get(f"{self.url}/readyz", timeout=2).status_code == 200
        except httpx.TransportError:
            return False

    def stop(self) -> float:
        """SIGTERM; how many seconds it took to end."""
        assert self.process is not None
        began = time.monotonic()
        self.process.terminate()
        assert self.process.wait(20) == 0, self.log.read_text()[-3000:]
        return time.monotonic() - began

    def client(self, token: str = TOKEN) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {token}"}, timeout=30)

    def cli(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run `fandesk ...` on the same data folder."""
        command = [sys.executable, "-m", "fandesk", *arguments, "--data", str(self.data)]
        environment = {key: value for key, value in os.environ.items() if key != "FANDESK_DATABASE_URL"}
        return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300, check=check)


@contextmanager
def api_alone(dsn: str, folder: Path, **settings: str) -> Iterator[str]:
    """The role api by itself on a database, which is an external one to it; its address. Nothing else that the
    product runs touches the rows then. Its log is `folder`/api.log."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "fandesk", "api", "--port", str(port)]
    environment = {**os.environ, "FANDESK_DATABASE_URL": dsn, **settings}
    with (folder / "api.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=folder)

    def answers() -> bool:
        assert process.poll() is None, (folder / "api.log").read_text()[-3000:]
        try:
            return httpx.get(f"{url}/healthz").status_code == 200
        except httpx.TransportError:
            return False

    try:
        until(answers, within_s=60, what="the role api")
        yield url
    finally:
        process.terminate()
        process.wait(20)
