"""SIGTERM and SIGINT: everything ends in time and in order, whatever is going on."""

import os
import signal
import socket
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from faultload import (
    ROLES,
    TOKEN,
    Load,
    Product,
    dsn_of,
    end,
    free_port,
    gone,
    kill_child,
    pids,
    read_models_match,
    reckon,
    running_product,
    server_processes,
    until,
)
from test_kill import start_without_waiting


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with running_product(tmp_path_factory.mktemp("stop")) as product:
        yield product


@pytest.fixture(scope="module")
def loads() -> list[Load]:
    """All that has been sent to the product."""
    return []


def stopped(product: Any, signum: signal.Signals) -> float:
    """Send a stop signal to the product; the seconds until it and all its processes are gone, exit status 0."""
    processes = {*pids(product).values(), *server_processes(product.data)}
    began = time.monotonic()
    product.process.send_signal(signum)
    assert product.process.wait(20) == 0, product.log.read_text()[-3000:]
    took = time.monotonic() - began
    assert all(map(gone, processes))
    return took


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_stops_under_load_in_order_and_in_time(product: Any, loads: list[Load], signum: signal.Signals) -> None:
    log = product.data / "postgres.log"
    with Load(product.url) as load, httpx.Client(headers={"Authorization": f"Bearer {TOKEN}"}) as client:
        loads.append(load)
        with client.stream("GET", f"{product.url}/api/v1/stream", timeout=30) as stream:  # which never ends by itself
            assert stream.status_code == 200
            until(load.has_accepted(50), what="the load to run")
            before = log.stat().st_size
            assert stopped(product, signum) < 10
        said = log.read_bytes()[before:].decode()
        assert "received fast shutdown request" in said
        assert said.rstrip().endswith("database system is shut down")
        # PostgreSQL was the last: nobody was connected to it any more.
        assert "terminating connection" not in said and "unexpected" not in said, said
        assert "killed" not in product.log.read_text()
        assert not pids(product)
        product.start()
        again = log.read_bytes()[before + len(said.encode()) :].decode()
        assert "database system was shut down at" in again and "recovery" not in again, again
        until(load.has_accepted(30), what="the load to go on after the next start")
    dsn = dsn_of(product)
    reckon(dsn, *loads)
    read_models_match(product, dsn)


@pytest.mark.parametrize("role", ["postgres", "api"])
def test_stops_while_something_comes_up_again(product: Any, loads: list[Load], role: str) -> None:
    with Load(product.url) as load:
        loads.append(load)
        until(load.has_accepted(30), what="the load to run")
        kill_child(product, role)
        assert stopped(product, signal.SIGTERM) < 10
        product.start()
    reckon(dsn_of(product), *loads)


def test_stops_while_the_database_does_not_answer(product: Any, loads: list[Load]) -> None:
    with Load(product.url) as load:
        loads.append(load)
        until(load.has_accepted(30), what="the load to run")
        frozen = server_processes(product.data)
        for pid in frozen:
            os.kill(pid, signal.SIGSTOP)
        took = stopped(product, signal.SIGTERM)
        product.start()
    assert took < 10
    reckon(dsn_of(product), *loads)


@pytest.mark.parametrize("role", ROLES)
def test_stops_while_it_starts(product: Any, role: str) -> None:
    assert stopped(product, signal.SIGTERM) < 10
    start_without_waiting(product)
    until(lambda: role in pids(product), within_s=30, what=f"{role} to be started")
    assert stopped(product, signal.SIGTERM) < 10
    assert not pids(product)
    product.start()


def test_stops_while_its_port_is_taken_and_restarts_meanwhile(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The api cannot serve; it is tried again, which the log says, and a stop does not wait for it."""
    product = Product(tmp_path_factory.mktemp("port") / "data", free_port())
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", product.port))
        taken.listen()
        start_without_waiting(product)
        try:
            until(
                lambda: product.log.read_text().count("api ended with exit status") > 1,
                within_s=30,
                what="the api to be tried again",
            )
            assert stopped(product, signal.SIGTERM) < 10
            assert " answers on " not in product.log.read_text()
        finally:
            end(product.process)
