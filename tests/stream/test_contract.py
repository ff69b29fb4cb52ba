"""What every way to the ledger's entries keeps: the same tests over the log itself and over Kafka."""

import threading
from collections.abc import Callable, Sequence
from typing import Any

import psycopg
import pytest
from kafka import KafkaProducer
from running import until
from streamworld import World, by_incident, headers_of, record

from domain.events import UpdatePosted
from workers.stream.dead_letters import resend


def same(world: World, consumer: str = "c") -> None:
    """All was handled, once, and each incident's events in order."""
    until(lambda: world.has_handled_all(consumer), what="everything to be handled")
    assert by_incident(world.handled(consumer)) == by_incident(world.written())


@pytest.mark.parametrize("seed", [1, 2])
def test_everything_once_and_in_order(world: World, seed: int) -> None:
    world.at_random(700, seed)
    with world.running(world.consumer()):
        world.at_random(300, seed + 100)
        same(world)


def test_rows_are_there_when_after_commit_is_called(world: World) -> None:
    seen: list[int] = []
    with world.running(world.consumer(after_commit=lambda: seen.append(world.count()))):
        incident = world.opened()
        until(lambda: seen == [1], what="after_commit")
        world.say(incident)
        until(lambda: seen == [1, 2], what="after_commit")


def test_killed_at_any_moment_it_resumes(world: World) -> None:
    world.at_random(200, 3)
    with world.running() as over:
        load = threading.Thread(target=lambda: [world.at_random(40, n) or over.wait(0.02) for n in range(25)])
        load.start()
        for _ in range(3):
            before = world.count()
            consumer = world.process("c")
            until(lambda before=before: world.count() > before, what="it to handle something")
            consumer.kill()
            consumer.wait()
        load.join()
        with world.running_beside(world.consumer()):
            same(world)


def test_of_two_with_one_name_one_works_and_the_other_takes_over(world: World) -> None:
    world.at_random(50, 4)
    first = world.process("c")
    try:
        with world.running():
            until(world.has_handled_all, what="the first to handle everything")
            with world.running_beside(world.consumer()):
                world.at_random(50, 5)
                until(world.has_handled_all, what="the rest")
                holders = (
                    "select count(*) from pg_locks where locktype = 'advisory' and granted and classid = 7308"
                )
                assert world.one(holders + " and objid = hashtext('c')::bigint & 4294967295") == 1
                first.kill()
                first.wait()
                world.at_random(50, 6)
                same(world)
    finally:
        first.kill()
        first.wait()


def test_garbage_is_put_aside_and_the_others_go_on(world: World, lines: Callable[[], list[str]]) -> None:
    incident, other = world.opened(), world.opened()
    with world.running(world.consumer()):
        until(lambda: world.count() == 2, what="the first two")
        if world.kafka is None:
            world.garbage(incident)
            good = [pair for pair in world.written() if pair != (incident, 2)]
        else:
            producer = KafkaProducer(bootstrap_servers=world.kafka.bootstrap)
            nonsense = [("position", b"9" * 30), ("nul\0", b"\0\xff"), ("version", b"1" * 5000)]
            producer.send(world.kafka.topic, key=str(incident).encode(), value=b"\xff\x00{", headers=nonsense)
            likely = [(n, v.encode()) for n, v in headers_of(world.topic()[0]).items()]  # what was handled already
            producer.send(world.kafka.topic, key=str(incident).encode(), value=b"\xff\x00{", headers=likely)
            producer.close(5)
            good = world.written()
        world.say(incident)
        world.say(other)
        good += [pair for pair in world.written() if pair not in good and pair != (incident, 2)]
        if world.kafka is not None:
            good = world.written()
        until(lambda: len(world.handled()) == len(good), what="the others")
        assert by_incident(world.handled()) == by_incident(good)
        expected = 1 if world.kafka is None else 2
        until(lambda: len(world.dead()) == expected, what="the dead letters")
    for _, _, reason, tries, again, key, headers, body in world.dead():
        assert (tries, again, key, body) == (1, False, str(incident).encode(), b"\xff\x00{")
        assert reason.startswith("Undecodable") and isinstance(headers, dict)
    assert len([line for line in lines() if "dead letter" in line]) == expected


def test_what_cannot_be_handled_is_sent_again_when_that_is_mended(
    world: World, lines: Callable[[], list[str]]
) -> None:
    bad, good = world.opened(), world.opened()
    mended = threading.Event()
    write = record("c")

    def handle(cursor: Any, entries: Sequence[Any]) -> None:
        write(cursor, entries)  # so that a failure has something to undo
        for entry in entries:
            if entry.stream_id == bad and isinstance(entry.event, UpdatePosted) and not mended.is_set():
                raise ValueError(f"cannot handle \0 {entry.event.body}")

    for n in range(3):
        world.say(good, f"good {n}")
        world.say(bad, f"bad {n}")
    with world.running(world.consumer(handle=handle)):
        until(lambda: len(world.dead()) == 3, what="the dead letters")
        until(lambda: world.count() == 5, what="the others")
        assert [letter[2] for letter in world.dead()] == [
            f"ValueError: cannot handle \\x00 bad {n}" for n in range(3)
        ]
        assert len([line for line in lines() if "dead letter" in line]) == 3

        first = world.dead()[0][0]
        assert resend(world.connection, [first, 999]) == [first]
        until(lambda: world.dead()[0][3] == 2 and not world.dead()[0][4], what="the second failure")
        assert world.count() == 5

        mended.set()
        resend(world.connection, None)
        until(lambda: not world.dead(), what="the dead letters to be handled")
        same(world)
        assert by_incident(world.handled())[bad] == [1, 2, 3, 4]


def test_a_lost_database_connection_is_made_again(world: World, lines: Callable[[], list[str]]) -> None:
    world.at_random(100, 8)
    with world.running(world.consumer()):
        until(world.count, what="the first")
        world.at_random(100, 9)
        with psycopg.connect(world.owner_dsn, autocommit=True) as owner:
            owner.execute(
                "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and classid = 7308"
                " and objid = hashtext('c')::bigint & 4294967295"
            )
        world.at_random(100, 10)
        same(world)
    assert len([line for line in lines() if line.startswith("c: the database is away")]) == 1


def test_the_row_of_a_follower_tells_the_truth(world: World) -> None:
    hold = threading.Event()
    write = record("c")

    def handle(cursor: Any, entries: Sequence[Any]) -> None:
        if len(entries) > 1:  # one by one then, each slowly, until it is let go
            raise ValueError("too many")
        write(cursor, entries)
        hold.wait(0.3)

    with world.running(world.consumer(handle=handle)):
        incident = world.opened()
        until(lambda: world.count() == 1 and world.follower(), what="the row")
        until(lambda: world.follower() and world.follower()["behind"] == 0, what="being up to date")
        row = world.follower()
        assert row["problem"] is None and row["behind_s"] == 0 and row["ago_s"] < 3
        world.append(incident, *[UpdatePosted(**_meta(), body=str(n)) for n in range(30)])
        until(lambda: 0 < world.follower()["behind"] < 30, what="being behind")
        assert 0 < world.follower()["behind_s"] < 20
        hold.set()
        until(lambda: world.follower()["behind"] == 0, what="being up to date again")
        assert world.follower()["behind_s"] == 0


def test_while_idle_it_keeps_saying_that_it_lives(world: World) -> None:
    with world.running(world.consumer()):
        until(world.follower, what="the row")
        for _ in range(2):
            seen = world.one("select seen_at from stream.followers where name = 'c'")
            until(
                lambda seen=seen: world.one("select seen_at from stream.followers where name = 'c'") > seen,
                within_s=2.5,
                what="the next heartbeat",
            )


def _meta() -> Any:
    import given

    return given.meta(1)
