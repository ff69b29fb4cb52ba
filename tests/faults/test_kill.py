"""kill -9 of each part, and of the supervisor, under load: nothing answered is lost, nothing is doubled."""

import random
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from faultload import (
    KILLS,
    ROLES,
    Load,
    dsn_of,
    gone,
    kill_child,
    long_form,
    pids,
    read_models_match,
    reckon,
    running_product,
    server_processes,
)
from running import until

pytestmark = pytest.mark.timeout(120 + 30 * KILLS)


@pytest.fixture
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with running_product(tmp_path_factory.mktemp("kill")) as product:
        yield product


def test_every_answered_command_survives_kills_of_every_part(product: Any) -> None:
    rng = random.Random()
    kills: Counter[str] = Counter()
    seen: set[int] = set()
    with Load(product.url) as load:
        until(load.has_accepted(30), what="the load to run")
        for n in range(KILLS):
            load._over.wait(rng.uniform(0.05, 1.2))  # a random moment, also while something comes up again
            role = ROLES[n % len(ROLES)]
            pid = kill_child(product, role)
            assert pid not in seen
            seen.add(pid)
            kills[role] += 1
        until(product.is_ready, within_s=30, what="/readyz after the last kill")
        until(load.has_accepted(30), what="the load to go on after the last kill")
    dsn = dsn_of(product)
    reckon(dsn, load)
    read_models_match(product, dsn)
    assert load.statuses[200] > 50 and load.statuses[201] > 20
    said = product.log.read_text()
    deaths = Counter(re.findall(r"^(\w+) (?:was killed by|ended with|could not be started)", said, re.MULTILINE))
    assert deaths == kills, said[-3000:]
    tried = re.findall(r"^(\w+) was killed by SIGKILL; trying again in \d+\.\d s$", said, re.MULTILINE)
    assert Counter(tried) == kills
    assert set(pids(product)) == set(ROLES)
    assert not seen & set(pids(product).values())
    print(f"{KILLS} kills {dict(kills)}, {len(load.sent)} commands, answers {dict(load.statuses)},", end=" ")
    print(f"{len(load.accepted)} accepted, slowest answer {load.slowest_s:.1f} s")
    assert product.stop() < 10


def test_killing_the_supervisor_ends_its_children_and_loses_nothing(product: Any) -> None:
    with Load(product.url) as load:
        until(load.has_accepted(50), what="the load to run")
        children = {*pids(product).values(), *server_processes(product.data)}
        assert len(children) > len(ROLES)
        product.process.kill()
        product.process.wait()
        until(lambda: all(map(gone, children)), within_s=10, what="the children to end")
        assert not server_processes_alive(product)
        product.start()
        until(load.has_accepted(30), what="the load to go on")
    dsn = dsn_of(product)
    reckon(dsn, load)
    read_models_match(product, dsn)


@long_form
def test_the_supervisor_killed_again_and_again_while_it_starts(product: Any) -> None:
    with Load(product.url, clients=2) as load:
        until(load.has_accepted(10), what="the load to run")
        for role in ("postgres", "project", "api"):
            product.process.kill()
            product.process.wait()
            start_until(product, role)
        product.process.kill()
        product.process.wait()
        product.start()
        until(load.has_accepted(10), what="the load to go on")
    reckon(dsn_of(product), load)


def server_processes_alive(product: Any) -> list[int]:
    return [pid for pid in server_processes(product.data) if not gone(pid)]


def start_until(product: Any, role: str) -> None:
    """Start the product, and go on as soon as that child has been."""
    dead = pids(product).get(role)
    start_without_waiting(product)
    until(lambda: pids(product).get(role, dead) != dead, within_s=30, what=f"{role} to be started")


def start_without_waiting(product: Any) -> None:
    ready = product.is_ready
    product.is_ready = lambda: True
    try:
        product.start()
    finally:
        product.is_ready = ready
