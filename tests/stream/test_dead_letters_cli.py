"""`fandesk dead-letters` and `fandesk relay` as an operator types them."""

import json
import os
import signal
import subprocess
import sys
import time
from typing import Any

import pytest
from kafkanode import Kafka
from running import until
from streamworld import World


@pytest.fixture
def world(empty_database: Any) -> Any:
    made = World(empty_database.dsn, empty_database.owner_dsn, None)
    yield made
    made.close()


def environment(world: World, **settings: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("FANDESK_")}
    return {**inherited, "FANDESK_DATABASE_URL": world.dsn, **settings}


def fandesk(world: World, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fandesk", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, env=environment(world, **settings), timeout=60, check=False
    )


def refuse(cursor: Any, entries: Any) -> None:
    raise ValueError("not today")


def test_dead_letters_are_listed_and_sent_again(world: World) -> None:
    incident = world.opened()
    world.say(incident)
    with world.running(world.consumer(handle=refuse)):
        until(lambda: len(world.dead()) == 2, what="the dead letters")
    first, second = (letter[0] for letter in world.dead())

    listed = fandesk(world, "dead-letters")
    assert listed.returncode == 0
    assert listed.stdout.splitlines()[0].startswith(f"{first}  c  {incident}:1  (log 0/1, ")
    assert listed.stdout.splitlines()[0].endswith("ValueError: not today")
    (shown, _) = json.loads(fandesk(world, "dead-letters", "--json").stdout)["dead_letters"]
    assert (shown["key"], shown["tries"], shown["headers"]["version"]) == (str(incident), 1, "1")

    assert fandesk(world, "dead-letters", "resend").returncode == 2
    refused = fandesk(world, "dead-letters", "resend", str(first), "999")
    assert refused.returncode == 1 and "no dead letter 999" in refused.stderr
    assert [letter[4] for letter in world.dead()] == [True, False]
    with world.running(world.consumer()):
        until(lambda: world.handled() == [(incident, 1)], what="the first one")
        done = fandesk(world, "dead-letters", "resend", "--all", "--json")
        assert done.returncode == 0 and json.loads(done.stdout) == {"resent": [second], "missing": []}
        until(lambda: world.handled() == [(incident, 1), (incident, 2)], what="the second one")
    assert world.dead() == []


def test_the_relay_is_refused_without_kafka(world: World) -> None:
    run = fandesk(world, "relay")
    assert run.returncode == 1 and "FANDESK_KAFKA_BOOTSTRAP" in run.stderr


def test_the_role_relay_publishes_and_stops_soon(world: World, kafka: Kafka) -> None:
    command = [sys.executable, "-m", "fandesk", "relay"]
    settings = {"FANDESK_KAFKA_BOOTSTRAP": kafka.bootstrap, "FANDESK_KAFKA_TOPIC": "by-role"}
    world.opened()
    relay = subprocess.Popen(command, env=environment(world, **settings), stderr=subprocess.PIPE, text=True)
    until(lambda: world.rows("select from stream.checkpoints where consumer = 'relay' and next = 1"), what="it")
    kafka.stop()
    until(lambda: world.follower("relay")["problem"], within_s=6, what="the problem")
    began = time.monotonic()
    relay.send_signal(signal.SIGTERM)
    _, said = relay.communicate(timeout=10)
    assert relay.returncode == 0 and time.monotonic() - began < 4
    assert len(said.splitlines()) == 1 and "does not answer" in said, said
