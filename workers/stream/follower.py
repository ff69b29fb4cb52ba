"""Follows a source: each batch in one transaction with its checkpoint, whatever goes wrong around it."""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import psycopg
from psycopg import Cursor
from psycopg.rows import tuple_row

from workers.stream import dead_letters
from workers.stream.ledger import checkpoint, places, save
from workers.stream.log import LOG
from workers.stream.message import Message, is_entry
from workers.stream.outage import Outage, is_outage, is_passing
from workers.stream.source import BATCH, Away, Feed, Place, Source
from workers.stream.turn import Turn, turn

log = logging.getLogger(__name__)

HandleMessages = Callable[[Cursor[Any], Sequence[Message]], None]
"""Does, in the transaction of the cursor, what these messages call for. Raises Away where that has to wait."""

BEAT_S = 1.0
IDLE_S = 0.5
NOWHERE = Place(0, 0)


class Follower:
    """Hands every message of a source to `handle`, at least once, those of an incident in order.

    name: of its checkpoints and its row for operators; of several processes with one name, one works at a time.
    after_commit: called after each transaction that handled something.
    check: called about every second, before messages are taken; raises Away while nothing can be handled.
    """

    def __init__(
        self,
        dsn: str,
        name: str,
        source: Source,
        handle: HandleMessages,
        after_commit: Callable[[], None] = lambda: None,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self._dsn = dsn
        self._name = name
        self._source = source
        self._handle = handle
        self._after_commit = after_commit
        self._check = check
        self._places: dict[int, Place] = {}
        self._floor = 0
        self._next_beat = 0.0

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set, and finish the batch at work. What is away is waited for; a message that
        cannot be handled becomes a dead letter. Raises only what is a defect of the program or its schema."""
        database = Outage(f"{self._name}: the database is away")
        while not stop.is_set():
            try:
                with turn(self._dsn, self._name, stop) as mine:
                    if mine is not None:
                        self._lead(mine, stop, database)
            except psycopg.Error as problem:
                if not is_outage(problem):
                    raise
                stop.wait(database.goes_on(problem))

    def _lead(self, mine: Turn, stop: threading.Event, database: Outage) -> None:
        """Work while the turn lasts, and through all that Kafka does."""
        away = Outage(self._name)
        while not stop.is_set():
            self._places = places(mine.connection, self._name, self._source.name)
            self._floor = checkpoint(mine.connection, self._name, LOG)
            self._next_beat = 0.0
            try:
                with self._source.open(mine, self._places) as feed:
                    for _ in self._follow(mine, feed, stop, away):
                        database.over()
                        if away.over():
                            self._next_beat = 0.0
            except Away as problem:
                pause_s = away.goes_on(problem)
                mine.beat(self._handled(), away.problem)
                stop.wait(pause_s)

    def _follow(self, mine: Turn, feed: Feed, stop: threading.Event, away: Outage) -> Iterator[None]:
        """Yields each time that all went well: only then an outage is over."""
        while not stop.is_set():
            if time.monotonic() >= self._next_beat:
                self._beat(mine, feed, away.problem)
                mine.again = True
            messages = feed.take(IDLE_S)
            if messages:
                self._take_on(mine, feed, messages)
            if mine.again:
                mine.again = self._once_more(mine)
            yield

    def _beat(self, mine: Turn, feed: Feed, problem: str | None = None) -> None:
        self._check()
        standing = feed.standing(self._places)
        if standing.settled > self._floor and self._source.name != LOG:
            # So that a consumer that is to read the ledger directly one day knows where to begin.
            self._floor = standing.settled
            with mine.connection.cursor() as cursor:
                save(cursor, self._name, LOG, [(0, Place(self._floor, self._floor))])
        mine.beat(max(standing.reached, self._floor), problem, standing.unread)
        self._next_beat = time.monotonic() + BEAT_S

    def _take_on(self, mine: Turn, feed: Feed, messages: Sequence[Message]) -> None:
        """Handle a batch; where that fails, each message by itself, so that one cannot hold up the others."""
        try:
            self._commit(mine, messages)
        except Exception as problem:
            self._raise_outage(problem, mine)
        else:
            return
        for message in messages:
            try:
                self._commit(mine, [message])
            except Exception as problem:
                self._raise_outage(problem, mine)
                self._bury(mine, message, problem)
            if time.monotonic() >= self._next_beat:  # a long batch, one by one: still alive
                self._beat(mine, feed)

    def _commit(self, mine: Turn, messages: Sequence[Message]) -> None:
        """One transaction: what the messages call for, and the checkpoints that pass them."""
        fresh, moved = self._sorted(messages)
        with mine.connection.transaction(), mine.connection.cursor(row_factory=tuple_row) as cursor:
            if fresh:
                self._handle(cursor, fresh)
            save(cursor, self._name, self._source.name, list(moved.items()))
        self._places |= moved
        if fresh:
            self._after_commit()

    def _bury(self, mine: Turn, message: Message, problem: BaseException) -> None:
        """Pass a message that cannot be handled, and keep it."""
        why = dead_letters.reason(problem)
        known = self._places.get(message.partition, NOWHERE)
        # Its position is not to be believed: it could make all that come after it look like repetitions.
        moved = {message.partition: Place(self._after(message), known.position)}
        with mine.connection.transaction(), mine.connection.cursor() as cursor:
            dead_letters.put(cursor, self._name, self._source.name, message, why)
            save(cursor, self._name, self._source.name, list(moved.items()))
        self._places |= moved
        log.error(
            "%s: %s partition %s place %s is a dead letter: %s",
            self._name,
            self._source.name,
            message.partition,
            message.place,
            why,
        )

    def _once_more(self, mine: Turn) -> bool:
        """Handle the dead letters that an operator has sent again; whether there may be more."""
        letters = dead_letters.asked_for(mine.connection, self._name, BATCH)
        for letter in letters:
            try:
                with mine.connection.transaction(), mine.connection.cursor(row_factory=tuple_row) as cursor:
                    self._handle(cursor, [letter.message])
                    dead_letters.remove(cursor, letter.id)
            except Exception as problem:
                self._raise_outage(problem, mine)
                why = dead_letters.reason(problem)
                with mine.connection.cursor() as cursor:
                    dead_letters.failed_again(cursor, letter.id, why)
                log.error("%s: dead letter %s failed again: %s", self._name, letter.id, why)
            else:
                self._after_commit()
        return len(letters) == BATCH

    def _raise_outage(self, problem: Exception, mine: Turn) -> None:
        """Pass on what no message is to blame for."""
        if isinstance(problem, Away) or mine.connection.closed or is_passing(problem):
            raise problem

    def _handled(self) -> int:
        """The position up to which all is handled, as far as our own database can tell."""
        return self._places[0].next if self._source.name == LOG and 0 in self._places else self._floor

    def _sorted(self, messages: Sequence[Message]) -> tuple[list[Message], dict[int, Place]]:
        """Those that are neither history nor handled already, since the relay may publish an entry twice; and the
        places after all of them."""
        fresh: list[Message] = []
        moved: dict[int, Place] = {}
        for message in messages:
            known = moved.get(message.partition) or self._places.get(message.partition, NOWHERE)
            position = message.position or 0
            if position > max(self._floor, known.position) or message.is_resent or not is_entry(message):
                fresh.append(message)
            moved[message.partition] = Place(self._after(message), max(known.position, position))
        return fresh, moved

    def _after(self, message: Message) -> int:
        """The place where to go on after a message."""
        return message.place if self._source.name == LOG else message.place + 1
