"""A ledger with incidents in it, and followers of it as threads: what the stream's tests share."""

import json
import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import given
import psycopg
from kafka import KafkaConsumer, TopicPartition

from commands.append import Append, NewEvent
from commands.event_store import LedgerDatastore, LedgerRecorder
from domain import events as e
from domain.recorded import Recorded
from workers.stream.address import Kafka
from workers.stream.consumer import Consumer
from workers.stream.kafka import KafkaSource
from workers.stream.log import LogSource
from workers.stream.relay import Relay
from workers.stream.source import Source

HANDLED = """
    create table handled (id bigint generated always as identity, consumer text, position bigint, incident uuid,
                          version bigint);
    grant all on handled to fandesk"""


def record(consumer: str) -> Callable[[Any, Sequence[Recorded]], None]:
    """A handler: a row for each entry."""

    def handle(cursor: Any, entries: Sequence[Recorded]) -> None:
        for entry in entries:
            cursor.execute(
                "insert into handled (consumer, position, incident, version) values (%s, %s, %s, %s)",
                (consumer, entry.position, entry.stream_id, entry.version),
            )

    return handle


class World:
    """A ledger of its own, and what follows it."""

    def __init__(self, dsn: str, owner_dsn: str, kafka: Kafka | None) -> None:
        self.dsn = dsn
        self.owner_dsn = owner_dsn
        self.kafka = kafka
        self.versions: dict[UUID, int] = {}
        self.ledger = LedgerRecorder(LedgerDatastore(dsn))
        self.connection = psycopg.connect(dsn, autocommit=True)
        with psycopg.connect(owner_dsn, autocommit=True) as owner:
            owner.execute(HANDLED)

    def source(self) -> Source:
        return LogSource() if self.kafka is None else KafkaSource(self.kafka)

    def consumer(self, name: str = "c", handle: Any = None, **options: Any) -> Consumer:
        return Consumer(self.dsn, name, self.source(), handle or record(name), **options)

    def relay(self) -> Relay:
        assert self.kafka is not None
        return Relay(self.dsn, self.kafka)

    @contextmanager
    def running(self, *followers: Any) -> Any:
        """The followers, each in a thread; with Kafka the relay too. What one raises fails the test."""
        with self.running_beside(*followers, *([self.relay()] if self.kafka is not None else [])) as stop:
            yield stop

    @contextmanager
    def running_beside(self, *followers: Any) -> Any:
        """The followers alone, each in a thread. What one raises fails the test."""
        stop, raised = threading.Event(), []

        def run(follower: Any) -> None:
            try:
                follower.run(stop)
            except BaseException as problem:
                raised.append(problem)

        threads = [threading.Thread(target=run, args=(follower,)) for follower in followers]
        for thread in threads:
            thread.start()
        try:
            yield stop
        finally:
            stop.set()
            for thread in threads:
                thread.join(10)
            assert not any(thread.is_alive() for thread in threads), "a follower did not stop"
        assert not raised, raised

    def process(self, name: str) -> subprocess.Popen[bytes]:
        """A consumer of that name, or the relay, as a process of its own."""
        where = () if self.kafka is None else (self.kafka.bootstrap, self.kafka.topic)
        script = str(Path(__file__).with_name("followerprocess.py"))
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        return subprocess.Popen([sys.executable, script, self.dsn, name, *where], env=environment)

    def append(self, incident: UUID, *events: Any) -> None:
        """More events of an incident, by one append."""
        version = self.versions.get(incident, 0)
        self.versions[incident] = version + len(events)
        new = [NewEvent(incident, version + n, event) for n, event in enumerate(events, start=1)]
        (result,) = self.ledger.append([Append(events=new)])
        assert result.outcome == "appended"

    def opened(self, severity: str = "high") -> UUID:
        incident = uuid4()
        self.append(incident, given.triggered(severity=severity))
        return incident

    def say(self, incident: UUID, body: str = "news") -> None:
        self.append(incident, e.UpdatePosted(**given.meta(1), body=body))

    def at_random(self, events: int, seed: int, incidents: int = 7) -> None:
        """Events of several incidents in turn, in appends of any size."""
        rng = random.Random(seed)
        for incident in [self.opened() for _ in range(incidents)]:
            self.say(incident)
        while events > 0:
            size = min(rng.choice((1, 1, 2, 7, 40)), events)
            several = [given_update(n) for n in range(size)]
            self.append(rng.choice(list(self.versions)), *several)
            events -= size

    def garbage(
        self, position_after: UUID, topic: str = "IncidentExploded/1", state: bytes = b"\xff\x00{"
    ) -> None:
        """A row that nobody can decode, put into the ledger by a superuser."""
        self.versions[position_after] += 1
        with psycopg.connect(self.owner_dsn) as owner:
            owner.execute(
                "insert into ledger.events (originator_id, originator_version, organization_id, topic, state,"
                " recorded_at) values (%s, %s, %s, %s, %s, clock_timestamp())",
                (position_after, self.versions[position_after], given.ORG, topic, state),
            )
            owner.execute("select pg_notify('ledger', '')")

    def rows(self, query: str, *values: Any) -> list[Any]:
        return self.connection.execute(query, values).fetchall()

    def one(self, query: str, *values: Any) -> Any:
        (row,) = self.rows(query, *values)
        return row[0]

    def handled(self, consumer: str = "c") -> list[tuple[UUID, int]]:
        return self.rows("select incident, version from handled where consumer = %s order by id", consumer)

    def written(self) -> list[tuple[UUID, int]]:
        return self.rows("select originator_id, originator_version from ledger.events order by notification_id")

    def count(self, consumer: str = "c") -> int:
        return int(self.one("select count(*) from handled where consumer = %s", consumer))

    def has_handled_all(self, consumer: str = "c") -> bool:
        return self.count(consumer) >= len(self.written())

    def follower(self, name: str = "c") -> dict[str, Any] | None:
        rows = self.rows(
            "select extract(epoch from clock_timestamp() - seen_at)::float, problem, behind, behind_s"
            " from stream.followers where name = %s",
            name,
        )
        return dict(zip(("ago_s", "problem", "behind", "behind_s"), rows[0], strict=True)) if rows else None

    def dead(self) -> list[Any]:
        return self.rows(
            "select id, place, reason, tries, again, key, headers, body from stream.dead_letters order by id"
        )

    def topic(self) -> list[Any]:
        """All that the topic holds."""
        assert self.kafka is not None
        consumer = KafkaConsumer(
            bootstrap_servers=self.kafka.bootstrap, group_id=None, enable_auto_commit=False, fetch_max_wait_ms=50
        )
        try:
            at = [TopicPartition(self.kafka.topic, p) for p in consumer.partitions_for_topic(self.kafka.topic)]
            consumer.assign(at)
            consumer.seek_to_beginning(*at)
            missing = sum(consumer.end_offsets(at).values())
            found = []
            while len(found) < missing:
                for records in consumer.poll(timeout_ms=500).values():
                    found += records
            return sorted(found, key=lambda record: (record.partition, record.offset))
        finally:
            consumer.close()

    def close(self) -> None:
        self.connection.close()
        self.ledger.close()


def given_update(n: int) -> Any:
    return e.UpdatePosted(**given.meta(n), body=f"news {n}")


def by_incident(pairs: Sequence[tuple[UUID, int]]) -> dict[UUID, list[int]]:
    found: dict[UUID, list[int]] = {}
    for incident, version in pairs:
        found.setdefault(incident, []).append(version)
    return found


def headers_of(record: Any) -> dict[str, str]:
    return {name: value.decode() for name, value in record.headers}


def place_of(record: Any) -> tuple[UUID, int]:
    incident, _, version = headers_of(record)["event-id"].partition(":")
    return UUID(incident), int(version)


def body_of(record: Any) -> Any:
    return json.loads(record.value)
