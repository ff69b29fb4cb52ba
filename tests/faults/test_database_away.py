"""Commands and /readyz while the database does not answer, or is gone: late or 503, and nothing lost."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from faultload import Load, dsn_of, kill_child, read_models_match, reckon, running_product, server_processes
from running import until

STOPPED_S = 3.0


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with running_product(tmp_path_factory.mktemp("away")) as product:
        yield product


@pytest.fixture(scope="module")
def loads() -> list[Load]:
    """All that has been sent to the product."""
    return []


@contextmanager
def database_stopped(product: Any) -> Iterator[None]:
    """All processes of PostgreSQL stand still."""
    processes = server_processes(product.data)
    for pid in processes:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in reversed(processes):
            os.kill(pid, signal.SIGCONT)


def readyz(product: Any) -> tuple[int, float, httpx.Headers]:
    began = time.monotonic()
    answer = httpx.get(f"{product.url}/readyz", timeout=30)
    return answer.status_code, time.monotonic() - began, answer.headers


def test_a_database_that_stands_still(product: Any, loads: list[Load]) -> None:
    with Load(product.url, clients=4) as load:
        loads.append(load)
        until(load.has_accepted(20), what="the load to run")
        with database_stopped(product):
            continues = time.monotonic() + STOPPED_S
            status, took, headers = readyz(product)
            assert status == 503 and took < STOPPED_S and headers["Retry-After"].isdigit()
            assert headers["Content-Type"] == "application/problem+json"
            threading.Event().wait(continues - time.monotonic())
        until(product.is_ready, within_s=10, what="/readyz to say that it serves again")
        until(load.has_accepted(20), what="the load to go on")
    assert load.slowest_s < 25, load.slowest_s
    reckon(dsn_of(product), *loads)
    read_models_match(product, dsn_of(product))


def test_probes_do_not_use_up_the_connections(product: Any, loads: list[Load]) -> None:
    """Many probes while the database stands still; afterwards everything works at once."""
    answers: list[int] = []
    with httpx.Client(base_url=product.url, timeout=10) as client:
        with database_stopped(product):
            threads = [
                threading.Thread(target=lambda: answers.append(client.get("/readyz").status_code))
                for _ in range(20)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    assert answers == [503] * len(threads)
    until(product.is_ready, within_s=5, what="/readyz")
    with Load(product.url, clients=4) as load:
        loads.append(load)
        until(load.has_accepted(20), what="the load to run")
    assert set(load.statuses) <= {200, 201, 409}
    reckon(dsn_of(product), *loads)


def test_a_database_that_is_killed(product: Any, loads: list[Load]) -> None:
    with Load(product.url, clients=4) as load:
        loads.append(load)
        until(load.has_accepted(20), what="the load to run")
        kill_child(product, "postgres")
        while True:
            status, took, headers = readyz(product)
            assert status in (200, 503) and took < 5
            if status == 200:
                break
            assert headers["Retry-After"].isdigit()
        until(load.has_accepted(20), what="the load to go on")
    assert load.slowest_s < 25, load.slowest_s
    reckon(dsn_of(product), *loads)
    read_models_match(product, dsn_of(product))
