"""The relay: the whole ledger in Kafka, in order, whatever happens to Kafka, to the relay or in between."""

import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import given
import psycopg
import pytest
from kafka import KafkaAdminClient, KafkaProducer
from kafkanode import Kafka
from running import until
from streamworld import World, by_incident, headers_of, place_of

from domain.events import SeverityChanged
from workers.stream import kafka as kafka_source
from workers.stream.dead_letters import resend
from workers.stream.kafka import KafkaSource
from workers.stream.log import LogSource
from workers.stream.relay import LARGEST, Publisher


def first_copies(world: World) -> list[Any]:
    """The topic's messages without repetitions."""
    found: dict[Any, Any] = {}
    for record in world.topic():
        found.setdefault(place_of(record), record)
    return list(found.values())


def complete(world: World) -> None:
    """The topic holds the whole ledger, byte for byte, the first copies of each incident's events in order."""
    records = first_copies(world)
    assert by_incident([place_of(record) for record in records]) == by_incident(world.written())
    states = world.rows("select originator_id, originator_version, state from ledger.events")
    assert {place_of(record): record.value for record in records} == {(i, v): state for i, v, state in states}
    assert len({(record.partition, record.key) for record in records}) == len({record.key for record in records})


def relayed(world: World) -> bool:
    return bool(
        world.one(
            "select coalesce((select next from stream.checkpoints where consumer = 'relay'), 0)"
            " = (select coalesce(max(notification_id), 0) from ledger.events)"
        )
    )


def severity_changed(severity: str) -> SeverityChanged:
    return SeverityChanged(**given.meta(2), severity=severity, previous="high", response_target_s=900)


def test_headers_say_what_the_entry_is(kafka_world: World) -> None:
    world = kafka_world
    incident, other = world.opened("low"), world.opened("medium")
    world.say(incident)
    with world.running():
        until(lambda: relayed(world), what="the first batch")
        world.say(other)  # its severity is in no event of this batch
        world.append(incident, severity_changed("critical"))
        world.say(incident)
        world.garbage(other)
        until(lambda: relayed(world), what="the second batch")
    complete(world)
    records = {place_of(record): record for record in world.topic()}
    severities = {place: headers_of(record).get("severity") for place, record in records.items()}
    assert severities == {
        (incident, 1): "low",
        (incident, 2): "low",
        (incident, 3): "critical",
        (incident, 4): "critical",
        (other, 1): "medium",
        (other, 2): "medium",
        (other, 3): "medium",
    }
    record = records[incident, 3]
    position, at, state = world.rows(
        "select notification_id, recorded_at, state from ledger.events where originator_id = %s"
        " and originator_version = 3",
        incident,
    )[0]
    assert record.key == str(incident).encode() and record.value == state
    assert headers_of(record) == {
        "event-id": f"{incident}:3",
        "type": "SeverityChanged",
        "schema-version": "1",
        "severity": "critical",
        "organization": str(given.ORG),
        "position": str(position),
        "version": "3",
        "recorded-at": at.astimezone(given.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
    }


def test_the_topic_is_made_with_six_partitions(kafka_world: World) -> None:
    with kafka_world.running():
        until(
            lambda: kafka_world.follower("relay") and not kafka_world.follower("relay")["problem"],
            what="the topic",
        )
    admin = KafkaAdminClient(bootstrap_servers=kafka_world.kafka.bootstrap)
    (topic,) = admin.describe_topics([kafka_world.kafka.topic])
    admin.close()
    assert len(topic["partitions"]) == 6


def test_idempotence_is_really_on(kafka_world: World) -> None:
    publisher = Publisher(kafka_world.kafka)
    publisher.check()
    producer = publisher._opened()
    assert producer.config["enable_idempotence"] and producer.config["acks"] == -1
    assert producer._transaction_manager is not None
    publisher.close()


def test_kafka_is_killed_and_comes_back_under_load(
    kafka_world: World, kafka: Kafka, lines: Callable[[], list[str]]
) -> None:
    world, enough = kafka_world, threading.Event()
    load = threading.Thread(target=lambda: [world.at_random(30, n, 2) or enough.wait(0.05) for n in range(60)])
    with world.running(world.consumer()):
        load.start()
        until(lambda: world.count() > 100, what="the load to flow")
        kafka.kill()
        until(
            lambda: world.follower("relay")["problem"] and world.follower()["problem"],
            within_s=6,
            what="both to say that Kafka is away",
        )
        until(lambda: world.follower()["behind"] > 50 and world.follower()["behind_s"] > 0, what="being behind")
        assert "Kafka" in world.follower("relay")["problem"]
        kafka.start()
        load.join()
        until(lambda: relayed(world), what="the relay to come after")
        until(world.has_handled_all, what="the consumer to come after")
        until(lambda: not world.follower()["problem"] and not world.follower()["behind"], what="peace")
    complete(world)
    assert by_incident(world.handled()) == by_incident(world.written())
    outages = sorted(line.split(":")[0] for line in lines() if "does not answer" in line)
    assert outages == ["c", "relay"], lines()


def test_kafka_stopped_while_nothing_happens_shows(kafka_world: World, kafka: Kafka) -> None:
    world = kafka_world
    with world.running(world.consumer()):
        until(
            lambda: all(world.follower(n) and not world.follower(n)["problem"] for n in ("c", "relay")),
            what="peace",
        )
        kafka.stop()
        until(lambda: all(world.follower(n)["problem"] for n in ("c", "relay")), within_s=5, what="the problem")
        threads = threading.active_count()
        ends, slowest = time.monotonic() + 3, 0.0
        while time.monotonic() < ends:
            slowest = max(slowest, *(world.follower(n)["ago_s"] for n in ("c", "relay")))
            threading.Event().wait(0.05)
        assert slowest < 4, slowest
        assert threading.active_count() <= threads + 2
        incident = world.opened()
        until(lambda: world.follower()["behind"] == world.follower("relay")["behind"] == 1, what="being behind")
        kafka.start()
        until(lambda: world.handled() == [(incident, 1)], what="the entry")
        until(lambda: not any(world.follower(n)["problem"] for n in ("c", "relay")), what="peace")


def test_kafka_not_there_at_the_start(kafka_world: World, kafka: Kafka, lines: Callable[[], list[str]]) -> None:
    world = kafka_world
    kafka.stop()
    world.at_random(50, 1)
    with world.running(world.consumer()):
        until(lambda: world.follower() and world.follower()["problem"], what="the problem")
        until(lambda: world.follower("relay") and world.follower("relay")["behind"] == 64, what="being behind")
        kafka.start()
        until(world.has_handled_all, what="everything")
    complete(world)
    assert by_incident(world.handled()) == by_incident(world.written())
    assert len(lines()) == 2


def test_killed_between_acknowledgement_and_checkpoint(kafka_world: World) -> None:
    """What was published twice is handled once: positions rise within a partition."""
    world = kafka_world
    world.at_random(20, 1)
    with world.running():
        until(lambda: relayed(world), what="a checkpoint")
    with psycopg.connect(world.owner_dsn) as owner:
        owner.execute("select from stream.checkpoints where consumer = 'relay' for update")
        relay = world.process("relay")
        world.at_random(300, 2)
        until(lambda: len(world.topic()) > 100, what="what has no checkpoint")
        relay.kill()
        relay.wait()
        assert not relayed(world)
    with world.running_beside(world.relay()):
        until(lambda: relayed(world), what="the relay to come after")
        with world.running_beside(world.consumer()):  # the repetitions come to it in one batch
            until(world.has_handled_all, what="everything")
            until(lambda: world.follower() and world.follower()["behind"] == 0, what="all to be read")
    assert len(world.topic()) > len(world.written())
    complete(world)
    assert by_incident(world.handled()) == by_incident(world.written())


def test_the_relay_killed_under_load(kafka_world: World) -> None:
    world, never = kafka_world, threading.Event()
    load = threading.Thread(target=lambda: [world.at_random(30, n, 2) or never.wait(0.03) for n in range(60)])
    load.start()
    for _ in range(3):
        with_ = world.process("relay")
        before = checkpoint_of(world)
        until(lambda before=before: checkpoint_of(world) > before, what="the relay to get on")
        with_.kill()
        with_.wait()
    load.join()
    with world.running():
        until(lambda: relayed(world), what="the relay to come after")
    complete(world)


def checkpoint_of(world: World) -> int:
    return int(world.one("select coalesce(max(next), 0) from stream.checkpoints where consumer = 'relay'"))


def test_what_is_too_large_for_kafka_is_put_aside(kafka_world: World) -> None:
    world = kafka_world
    incident = world.opened()
    world.say(incident, "x" * LARGEST)
    world.say(incident)
    with world.running(world.consumer()):
        until(lambda: world.handled() == [(incident, 1), (incident, 3)], what="the others")
        ((id, _, reason, *_),) = world.dead()
        assert reason.startswith("TooLarge")
        resend(world.connection, [id])
        until(lambda: world.dead()[0][3] == 2, what="the second failure")


def test_from_the_log_to_kafka_and_back_history_is_not_handled_again(
    kafka_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = kafka_world
    monkeypatch.setattr(kafka_source, "_NEWS_S", 0.5)
    incident = world.opened()
    kafka, world.kafka = world.kafka, None
    assert isinstance(world.source(), LogSource)
    with world.running(world.consumer()):
        until(lambda: world.count() == 1, what="the first")
    world.kafka = kafka
    world.say(incident)
    assert isinstance(world.source(), KafkaSource)
    with world.running(world.consumer()):
        until(lambda: world.count() == 2, what="the second")
        at = "select next from stream.checkpoints where consumer = 'c' and source = 'log'"
        until(
            lambda: world.one(at) == world.one("select max(notification_id) from ledger.events"), what="the place"
        )
    world.kafka = None
    world.say(incident)
    with world.running(world.consumer()):
        until(lambda: world.count() == 3, what="the third")
    assert world.handled() == [(incident, 1), (incident, 2), (incident, 3)]


def test_partitions_added_later_are_read(kafka_world: World) -> None:
    world = kafka_world
    with world.running(world.consumer()):
        world.at_random(20, 1)
        until(world.has_handled_all, what="the first")
        admin = KafkaAdminClient(bootstrap_servers=world.kafka.bootstrap)
        admin.create_partitions({world.kafka.topic: 12})
        admin.close()

        def reaches_a_new_partition() -> bool:
            world.append(uuid4(), given.triggered())
            return bool(
                world.one("select count(*) from stream.checkpoints where consumer = 'c' and partition > 5")
            )

        until(reaches_a_new_partition, what="an entry of a new partition")
        until(world.has_handled_all, what="the rest")
    assert sorted(world.handled()) == sorted(world.written())


def test_it_stops_soon_when_kafka_does_not_answer(kafka_world: World, kafka: Kafka) -> None:
    kafka.stop()
    processes: list[subprocess.Popen[bytes]] = [kafka_world.process(name) for name in ("relay", "c")]
    for name in ("relay", "c"):
        until(lambda name=name: kafka_world.follower(name), what="its row")
    began = time.monotonic()
    for process in processes:
        process.terminate()
    assert [process.wait(10) for process in processes] == [0, 0]
    assert time.monotonic() - began < 4


def test_what_is_no_entry_of_the_ledger_is_not_believed_whatever_it_says(kafka_world: World) -> None:
    """A message with a position of its own making would have hidden all that came after it in its partition."""
    world = kafka_world
    incident = world.opened()
    with world.running(world.consumer()), world.running(world.relay()):
        until(lambda: world.count() == 1, what="the first")
        record = world.topic()[0]
        producer = KafkaProducer(bootstrap_servers=world.kafka.bootstrap)
        said = headers_of(record)
        for forged in ({"position": str(2**62)}, {"version": "7"}, {"position": "1", "event-id": "x"}):
            headers = [(name, value.encode()) for name, value in {**said, **forged}.items()]
            body = record.value if "event-id" not in forged else record.value.replace(b"}", b" }", 1)
            producer.send(
                world.kafka.topic, key=record.key, value=body, headers=headers, partition=record.partition
            )
        producer.close(5)
        world.say(incident, "true")
        until(lambda: world.count() == 2, what="what is true")
        until(lambda: len(world.dead()) == 3, what="the forged ones")
    assert by_incident(world.handled()) == by_incident(world.written())
    assert all("no such entry" in reason for _, _, reason, *_ in world.dead())
