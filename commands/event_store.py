"""The ledger's write side and its ordered reading, behind the interface of the library `eventsourcing`.

`LedgerRecorder` is the library's PostgreSQL recorder with one thing exchanged: how events are inserted. The
library's own way holds an EXCLUSIVE table lock across client round trips (or, with its database functions,
lets readers miss events); ours is one call of `ledger.append` (see migrations/0001_ledger.sql).
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
from eventsourcing.persistence import IntegrityError, StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore
from psycopg import Connection, Cursor
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row

from commands import codec
from commands.append import (
    APPEND,
    Append,
    Appended,
    Held,
    Key,
    Loaded,
    NewEvent,
    Waiting,
    array_literal,
    parameters,
    text_array,
)
from commands.unasked import said_unasked
from domain.events import AlertSeen
from domain.organization_events import OrganizationChange, OrganizationEvent
from domain.recorded import Page, Recorded

log = logging.getLogger(__name__)


class LostConnection(psycopg.OperationalError):
    """The database could not be reached or went away: whether a change was made is not known."""


TOO_LARGE = "54"
"""The class of SQL states of what exceeds a limit of PostgreSQL: no use in sending that again."""

CHANNEL = "ledger"
"""The PostgreSQL notification channel on which each append tells the last position."""


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
            pre_ping=True,
            schema="ledger",
        )
        assert isinstance(self.pool.kwargs, dict)
        self.pool.kwargs.update(options)

    def register_type_adapters(self) -> None:
        """The library's composite types are not used here, and looking for them would need the database: a
        process may start while it is away."""


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
        connection = None
        try:
            connection = self._connection()
            with connection.cursor(row_factory=tuple_row) as cursor:
                yield cursor
        except (psycopg.OperationalError, psycopg.InterfaceError) as problem:
            if (problem.sqlstate or "").startswith(TOO_LARGE):
                raise
            raise LostConnection(str(problem)) from problem
        finally:
            if connection is not None and connection.info.transaction_status == TransactionStatus.IDLE:
                self._at_hand.append(connection)
            elif connection is not None:
                self.datastore.pool.putconn(connection)

    def _connection(self) -> Connection[Any]:
        with suppress(IndexError):
            while said_unasked(connection := self._at_hand.pop()):
                connection.close()  # or the command would be refused for it
                self.datastore.pool.putconn(connection)
            return connection
        self.datastore.pool.open()
        return self.datastore.pool.getconn()

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
            cursor.execute(APPEND, parameters(appends), prepare=True)
            return [Appended(*row) for row in cursor.fetchall()]

    def append_with(self, append: Append, write: Callable[[Cursor[Any]], None]) -> Appended:
        """Write one command's changes and, if they are appended, what `write` does, in one transaction: rows that
        hold what must not be in the ledger stay in step with it. Raises LostConnection as `append` does; `write`
        has to bear being called again then."""
        with self._cursor() as cursor, cursor.connection.transaction():
            cursor.execute(APPEND, parameters([append]), prepare=True)
            (row,) = cursor.fetchall()
            result = Appended(*row)
            if result.outcome == "appended":
                write(cursor)
            return result

    def transact(self, work: Callable[[Cursor[Any]], None]) -> None:
        """Do something that is no part of the ledger in one transaction. Raises LostConnection."""
        with self._cursor() as cursor, cursor.connection.transaction():
            work(cursor)

    def load(self, stream_ids: Sequence[UUID], keys: Sequence[Key] = ()) -> "Loaded":
        """The streams named, those that hold the keys named, and who holds the keys; in one round trip."""
        if not stream_ids and not keys:
            return Loaded({}, {})
        with self._cursor() as cursor:
            if not keys:
                cursor.execute(_LOAD_STREAMS, (array_literal(stream_ids),), prepare=True, binary=True)
                return Loaded(_streams(cursor.fetchall()), {})
            organizations, scopes, names = zip(*keys, strict=True)
            wanted = (array_literal(organizations), text_array(scopes), text_array(names))
            cursor.execute(_LOAD, (*wanted, array_literal(stream_ids)), prepare=True, binary=True)
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
            except codec.OfAnOrganization:
                continue
            except codec.UnknownEvent as unknown:
                log.warning("position %d is passed over: %s", row[0], unknown)
        return Page(entries, rows[-1][0] if rows else after)

    def load_organization(
        self, organization_id: UUID, *, until: datetime | None = None
    ) -> list[OrganizationEvent]:
        """What happened to an organisation, in order: its team, rules, roles. until: what was recorded by then."""
        with self._cursor() as cursor:
            cursor.execute(_LOAD_STREAMS, (array_literal([organization_id]),), prepare=True, binary=True)
            rows = cursor.fetchall()
        events = [codec.decode_any(row[4], row[5]) for row in rows if until is None or row[3] <= until]
        return [event for event in events if isinstance(event, OrganizationChange)]

    def versions(self, stream_ids: Sequence[UUID]) -> dict[UUID, int]:
        """How many events each of these streams has; none is left out."""
        with self._cursor() as cursor:
            cursor.execute(_VERSIONS, (array_literal(stream_ids),), prepare=True)
            return dict(cursor.fetchall())

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

    def prune_intake(self) -> int:
        """Forget waiting alerts that were accounted for more than an hour ago; how many rows."""
        with self._cursor() as cursor:
            row = cursor.execute("select ledger.prune_intake()").fetchone()
        return int(row[0]) if row else 0


_COLUMNS = "notification_id, originator_id, originator_version, recorded_at, topic, state"
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
_VERSIONS = """
    select id, coalesce((select max(originator_version) from ledger.events where originator_id = id), 0)
      from unnest(%s::uuid[]) id"""
_WAITING = """
    with due as (
        select stream_id from ledger.intake where not folded group by stream_id
        having max(arrived_at) < now() - make_interval(secs => %s)
            or min(arrived_at) < now() - make_interval(secs => %s)
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
        with suppress(codec.OfAnOrganization):  # the id is an organisation's: there is no such incident
            entry = recorded(row)
            streams.setdefault(entry.stream_id, []).append(entry)
    return streams
