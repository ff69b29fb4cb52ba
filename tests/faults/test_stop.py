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
    Load,
    dsn_of,
    end,
    gone,
    kill_child,
    long_form,
    pids,
    read_models_match,
    reckon,
    running_product,
    server_processes,
)
from running import TOKEN, Product, free_port, until
from test_kill import start_until, start_without_waiting


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
        with client.stream("GET", f"{product.url}/api/v1/stream", timeout=30) as stream:
            assert stream.status_code == 200  # and it never ends by itself
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


@long_form
@pytest.mark.parametrize("role", ["postgres", "api"])
def test_stops_while_something_comes_up_again(product: Any, loads: list[Load], role: str) -> None:
    with Load(product.url) as load:
        loads.append(load)
        until(load.has_accepted(30), what="the load to run")
        kill_child(product, role)
        assert stopped(product, signal.SIGTERM) < 10
        product.start()
    reckon(dsn_of(product), *loads)


@long_form
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


def test_stops_while_the_api_does_not_come_to_serve(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Killed before it first serves it is started again; hanging then, it does not keep the rest from stopping.
    The first token is shown all the same: it would not be another time."""
    product = Product(tmp_path_factory.mktemp("never") / "data", free_port())
    try:
        start_until(product, "api")
        kill_child(product, "api")
        until(lambda: "api" in pids(product), within_s=10, what="the api to be started again")
        os.kill(pids(product)["api"], signal.SIGSTOP)
        assert stopped(product, signal.SIGTERM) < 10
        said = product.log.read_text()
        assert "api was killed by SIGKILL; trying again in 0.1 s" in said
        assert said.count("API token, shown only now") == 1
    finally:
        end(product.process)


def test_a_port_that_is_taken_is_said_at_once(tmp_path_factory: pytest.TempPathFactory) -> None:
    product = Product(tmp_path_factory.mktemp("port") / "data", free_port())
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", product.port))
        taken.listen()
        start_without_waiting(product)
        try:
            assert product.process.wait(30) == 1
            said = product.log.read_text()
            assert str(product.port) in said and "Traceback" not in said
        finally:
            end(product.process)


@long_form
def test_stops_while_it_starts(product: Any) -> None:
    for role in ROLES:
        assert stopped(product, signal.SIGTERM) < 10
        assert not pids(product)
        start_until(product, role)
    assert stopped(product, signal.SIGTERM) < 10
