"""The ledger's write side and its ordered reading, behind the interface of the library `eventsourcing`.

`LedgerRecorder` is the library's PostgreSQL recorder with one thing exchanged: how events are inserted. The
library's own way holds an EXCLUSIVE table lock across client round trips (or, with its database functions,
lets readers miss events); ours is one call of `ledger.append` (see migrations/0001_ledger.sql).
"""

import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, NamedTuple
from uuid import UUID

import psycopg
from eventsourcing.persistence import IntegrityError, StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore
from psycopg import Connection, Cursor
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row

from commands import codec
from domain.events import AlertSeen, IncidentEvent
from domain.recorded import Page, Recorded

log = logging.getLogger(__name__)

LostConnection = (psycopg.OperationalError, psycopg.InterfaceError)
"""Raised when the database could not be reached or went away: whether a change was made is not known."""

CHANNEL = "ledger"
"""The PostgreSQL notification channel on which each append tells the last position."""

Scope = Literal["number", "dedup", "idempotency"]


class Key(NamedTuple):
    """What may be held once in an organisation."""

    organization_id: UUID
    scope: Scope
    key: str


@dataclass(frozen=True, slots=True)
class Claim:
    """What a command does to a claim, with its events or not at all.

    take: hold `key` for the stream. held: `key` must be held by the stream. release: free the stream's dedup
    keys. move: hand the stream's dedup keys to the stream whose id is in `key`.
    """

    action: Literal["take", "held", "release", "move"]
    key: Key
    stream_id: UUID
    request_hash: bytes | None = None
    version: int | None = None


@dataclass(frozen=True, slots=True)
class Waiting:
    """Alerts that wait in the intake to be folded into one AlertReceived."""

    id: UUID
    organization_id: UUID
    stream_id: UUID
    integration_id: UUID
    received_at: datetime
    alerts: tuple[AlertSeen, ...]


class NewEvent(NamedTuple):
    """An event at its place in a stream."""

    stream_id: UUID
    version: int
    event: IncidentEvent


@dataclass(slots=True)
class Append:
    """All that one command writes."""

    events: list[NewEvent] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    intake: list[Waiting] = field(default_factory=list)
    folds: list[UUID] = field(default_factory=list)
    """Intake rows that the command's AlertReceived accounts for."""
    opens: bool = False
    """Its first event opens an incident under number 0: the ledger puts the organisation's next one there."""


class Appended(NamedTuple):
    """What became of an Append: `appended`, `version`, `folded`, or the scope of the claim in the way."""

    outcome: str
    position: int | None
    recorded_at: datetime | None
    number: int | None
    """The number that an incident which was opened has got."""


class Held(NamedTuple):
    """A claim that is held."""

    stream_id: UUID
    request_hash: bytes | None
    version: int | None


class LedgerDatastore(PostgresDatastore):
    """The library's connection pool, from a libpq connection string and with all its options."""

    def __init__(
        self, dsn: str, *, pool_size: int = 2, max_overflow: int = 30, connect_timeout: float = 5.0
    ) -> None:
        options = {k: v for k, v in conninfo_to_dict(dsn).items() if v is not None}
        super().__init__(
            dbname=str(options.pop("dbname", "")),
            host=str(options.pop("host", "")),
            port=str(options.pop("port", "")),
            user=str(options.pop("user", "")),
            password=str(options.pop("password", "")),
            pool_size=pool_size,
            max_overflow=max_overflow,
            connect_timeout=connect_timeout,
            schema="ledger",
        )
        assert isinstance(self.pool.kwargs, dict)
        self.pool.kwargs.update(options)


class LedgerRecorder(PostgresApplicationRecorder):
    """The library's recorder over `ledger.events`, inserting by `ledger.append`."""

    def __init__(self, datastore: PostgresDatastore) -> None:
        super().__init__(datastore, events_table_name="events")
        self.channel_name = CHANNEL
        self._at_hand: list[Connection[Any]] = []

    @contextmanager
    def _cursor(self) -> Iterator[Cursor[tuple[Any, ...]]]:
        """A cursor on a connection of the library's pool, which is kept at hand afterwards while it works: a
        tenth of what checking one out for each command costs."""
        try:
            connection = self._at_hand.pop()
        except IndexError:
            self.datastore.pool.open()
            connection = self.datastore.pool.getconn()
        try:
            with connection.cursor(row_factory=tuple_row) as cursor:
                yield cursor
        finally:
            if connection.info.transaction_status == TransactionStatus.IDLE:
                self._at_hand.append(connection)
            else:
                self.datastore.pool.putconn(connection)

    def close(self) -> None:
        """Give back and close all connections."""
        while self._at_hand:
            self.datastore.pool.putconn(self._at_hand.pop())
        self.datastore.close()

    def create_table(self) -> None:
        """The schema is made by `fandesk migrate`, not here."""

    def insert_events(self, stored_events: Sequence[StoredEvent], **_: Any) -> Sequence[int] | None:
        """The library's own entry: one command's events. Raises its IntegrityError on a version conflict."""
        append = Append(
            events=[
                NewEvent(UUID(str(s.originator_id)), s.originator_version, codec.decode(s.topic, s.state))
                for s in stored_events
            ]
        )
        (result,) = self.append([append])
        if result.outcome != "appended":
            raise IntegrityError(f"not appended: {result.outcome}")
        return None

    def append(self, appends: Sequence[Append]) -> list[Appended]:
        """Write several commands' changes in one transaction; each succeeds or is refused by itself.

        Raises LostConnection when it is not known whether they were written. Sending the same appends again
        is safe then and tells: what is there already is not written twice.
        """
        with self._cursor() as cursor:
            cursor.execute(_APPEND, _parameters(appends), prepare=True)
            return [Appended(*row) for row in cursor.fetchall()]

    def load(self, stream_ids: Sequence[UUID], keys: Sequence[Key] = ()) -> "Loaded":
        """The streams named, those that hold the keys named, and who holds the keys; in one round trip."""
        if not stream_ids and not keys:
            return Loaded({}, {})
        with self._cursor() as cursor:
            if not keys:
                cursor.execute(_LOAD_STREAMS, (array_literal(stream_ids),), prepare=True, binary=True)
                return Loaded(_streams(cursor.fetchall()), {})
            parameters = (*_columns(keys, 3), array_literal(stream_ids))
            cursor.execute(_LOAD, parameters, prepare=True, binary=True)
            events, held = [], {}
            for row in cursor.fetchall():
                if row[0] is None:
                    held[Key(*row[6:9])] = Held(row[1], *row[9:])
                else:
                    events.append(row[:6])
            return Loaded(_streams(events), held)

    def holder(self, key: Key) -> UUID | None:
        """The stream that holds a claim."""
        return next((held.stream_id for held in self.load([], [key]).claims.values()), None)

    def read(
        self, after: int, limit: int, *, organization_id: UUID | None = None, stream_id: UUID | None = None
    ) -> Page:
        """The next `limit` entries in order of position: of everything, one organisation or one incident.

        Entries of a kind that this program does not know are left out, and logged.
        """
        where, values = "", []
        for column, value in (("organization_id", organization_id), ("originator_id", stream_id)):
            if value is not None:
                where += f" and {column} = %s"
                values.append(value)
        with self._cursor() as cursor:
            cursor.execute(
                f"select {_COLUMNS} from ledger.events where notification_id > %s{where}"
                " order by notification_id limit %s",
                (after, *values, limit),
                prepare=True,
                binary=True,
            )
            rows = cursor.fetchall()
        entries = []
        for row in rows:
            try:
                entries.append(recorded(row))
            except codec.UnknownEvent as unknown:
                log.warning("position %d is passed over: %s", row[0], unknown)
        return Page(entries, rows[-1][0] if rows else after)

    def head(self) -> int:
        """The position of the last entry, 0 in an empty ledger."""
        return self.max_notification_id() or 0

    def waiting(self, *, quiet_s: float, at_most_s: float) -> list[Waiting]:
        """Intake rows of incidents that got no alert for `quiet_s`, or whose oldest waits `at_most_s`."""
        with self._cursor() as cursor:
            cursor.execute(_WAITING, (quiet_s, at_most_s))
            return [
                Waiting(
                    id, organization, stream, integration, received, tuple(map(AlertSeen.model_validate, alerts))
                )
                for id, organization, stream, integration, received, alerts in cursor.fetchall()
            ]


class Loaded(NamedTuple):
    """Streams and claims as they stood at one moment."""

    streams: dict[UUID, list[Recorded]]
    claims: dict[Key, Held]


_COLUMNS = "notification_id, originator_id, originator_version, recorded_at, topic, state"
_TYPES = [
    "int",
    "uuid",
    "bigint",
    "int",
    "uuid",
    "text",
    "bytea",
    "int",
    "int",
    "text",
    "uuid",
    "text",
    "text",
    "uuid",
    "bytea",
    "bigint",
    "int",
    "uuid",
    "uuid",
    "uuid",
    "timestamptz",
    "text",
    "int",
    "uuid",
]
_APPEND = "select * from ledger.append(%s, " + ", ".join(f"%s::{t}[]" for t in _TYPES) + ")"
_LOAD_STREAMS = f"""
    select {_COLUMNS} from ledger.events where originator_id = any (%s::uuid[])
     order by originator_id, originator_version"""
_LOAD = f"""
    with wanted (organization_id, scope, key) as (select * from unnest(%s::uuid[], %s::text[], %s::text[])),
    held as (select c.* from wanted natural join ledger.claims c)
    select null::bigint, stream_id, null::bigint, null::timestamptz, null::text, null::bytea,
           organization_id, scope, key, request_hash, version from held
    union all
    (select {_COLUMNS}, null, null, null, null, null from ledger.events
      where originator_id = any (array(select unnest(%s::uuid[]) union select stream_id from held))
      order by originator_id, originator_version)"""
_WAITING = """
    with due as (
        select stream_id from ledger.intake where not folded group by stream_id
        having max(received_at) < now() - make_interval(secs => %s)
            or min(received_at) < now() - make_interval(secs => %s)
    )
    select id, organization_id, stream_id, integration_id, received_at, alerts from ledger.intake
     where not folded and stream_id in (select stream_id from due)
     order by stream_id, integration_id, received_at limit 10000"""


def recorded(row: tuple[Any, ...]) -> Recorded:
    """A ledger entry from the columns position, stream, version, recorded_at, topic, state."""
    return Recorded(row[0], row[1], row[2], row[3], codec.decode(row[4], row[5]))


def _streams(rows: Sequence[tuple[Any, ...]]) -> dict[UUID, list[Recorded]]:
    streams: dict[UUID, list[Recorded]] = {}
    for row in rows:
        streams.setdefault(row[1], []).append(recorded(row))
    return streams


def _parameters(appends: Sequence[Append]) -> list[Any]:
    events: list[tuple[Any, ...]] = []
    claims: list[tuple[Any, ...]] = []
    intake: list[tuple[Any, ...]] = []
    folds: list[tuple[Any, ...]] = []
    places: dict[tuple[UUID, int], int] = {}
    for n, append in enumerate(appends, start=1):
        for stream_id, version, event in append.events:
            topic, state = codec.encode(event)
            prior = places.get((stream_id, version - 1), 0)
            number = state.index(b'"number":0') + 10 if append.opens and version == 1 else 0
            events.append((n, stream_id, version, prior, event.organization_id, topic, state, number))
            places[stream_id, version] = len(events)
        for claim in append.claims:
            claims.append((n, claim.action, *claim.key, claim.stream_id, claim.request_hash, claim.version))
        for row in append.intake:
            alerts = json.dumps([alert.model_dump(mode="json") for alert in row.alerts])
            intake.append(
                (n, row.id, row.organization_id, row.stream_id, row.integration_id, row.received_at, alerts)
            )
        folds.extend((n, id) for id in append.folds)
    return [
        len(appends),
        *_columns(events, 8),
        *_columns(claims, 8),
        *_columns(intake, 7),
        *_columns(folds, 2),
    ]


def _columns(rows: Sequence[tuple[Any, ...]], width: int) -> list[str]:
    """The columns as PostgreSQL array literals: a third of the time that psycopg's own array dumping takes."""
    return [array_literal(column) for column in zip(*rows, strict=True)] or ["{}"] * width


def array_literal(values: Iterable[Any]) -> str:
    """A one-dimensional PostgreSQL array of numbers, UUIDs, times, texts or bytes as text; None is NULL."""
    return "{" + ",".join(map(_element, values)) + "}"


def _element(value: Any) -> str:
    match value:
        case None:
            return "NULL"
        case int() | UUID():
            return str(value)
        case bytes():
            return '"\\\\x' + value.hex() + '"'
        case _:
            return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'
