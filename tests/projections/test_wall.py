"""The second wall: with the program's own filters switched off, the database shows one organisation alone."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from given import triggered
from psycopg import AsyncConnection, AsyncCursor
from unfiltered import without_conditions

from api.reading_pool import ReadingPool
from api.recipients import _ROWS
from commands.append import Append, NewEvent
from commands.event_store import LedgerDatastore, LedgerRecorder
from fandesk.migrate import MigrationError, migrate, migrations
from projections import deliveries, figures, incidents, ledger, timeline
from projections.facts import Facts
from projections.incidents import Incidents
from projections.rebuild import rebuild
from projections.runner import Runner, ensure_tables
from projections.timeline import Timeline

MODELS = (Incidents(), Timeline(), Facts())


class Unfiltered(AsyncCursor[Any]):
    """A cursor that leaves out every condition on the organisation."""

    async def execute(self, query: Any, *args: Any, **kwargs: Any) -> Any:
        return await super().execute(without_conditions(self, query), *args, **kwargs)


async def _connected(dsn: str) -> AsyncConnection[Any]:
    return await AsyncConnection.connect(dsn, autocommit=True, cursor_factory=Unfiltered)


async def _search(at: Any, org: UUID, _: UUID) -> list[UUID]:
    page, _place = await incidents.search(at, incidents.Filter(organization_id=org, text="gone"))
    return [each.id for each in page]


async def _find(at: Any, org: UUID, theirs: UUID) -> list[UUID]:
    found = await incidents.find(at, org, theirs)
    return [found.id] if found else []


async def _timeline(at: Any, org: UUID, theirs: UUID) -> list[Any]:
    return (await timeline.of_incident(at, org, theirs))[0]


async def _deliveries(at: Any, org: UUID, theirs: UUID) -> list[Any]:
    return (await deliveries.of_incident(at, org, theirs))[0]


async def _ledger(at: Any, org: UUID, theirs: UUID) -> list[Any]:
    return list(await ledger.after(at, org, 0, incident_id=theirs, limit=100))


async def _figures(at: Any, org: UUID, _: UUID) -> list[Any]:
    from datetime import UTC, datetime

    cohort = figures.Cohort(organization_id=org)
    (overall,) = await figures.summary(at, cohort, group_by="none", now=datetime.now(UTC))
    return [1] * overall["incidents"]


async def _recipients(at: Any, org: UUID, _: UUID) -> list[Any]:
    return await (await at.execute(_ROWS.format(which="true").encode(), (org, 100))).fetchall()


async def _holder(at: Any, org: UUID, _: UUID) -> list[Any]:
    query = "select stream_id from ledger.claims where organization_id = %s"
    return await (await at.execute(query, (org,))).fetchall()


READS: dict[str, tuple[Callable[[Any, UUID, UUID], Awaitable[list[Any]]], int]] = {
    "search": (_search, 1),
    "find": (_find, 0),
    "timeline": (_timeline, 0),
    "deliveries": (_deliveries, 0),
    "ledger": (_ledger, 0),
    "figures": (_figures, 1),
    "recipients": (_recipients, 1),
    "claims": (_holder, 1),
}
"""Each read, and how many rows it has of one's own."""


@pytest.fixture(scope="module")
def two(database: Any) -> tuple[UUID, UUID, UUID]:
    """Two organisations with an incident, a recipient and a delivery each; and the second one's incident."""
    store = LedgerRecorder(LedgerDatastore(database.dsn))
    made = []
    for _ in range(2):
        org, incident, recipient = uuid4(), uuid4(), uuid4()
        event = triggered().model_copy(update={"organization_id": org, "number": 0, "title": "Database gone"})
        append = Append(events=[NewEvent(incident, 1, event)], opens=True)
        assert store.append([append])[0].outcome == "appended"
        with psycopg.connect(database.dsn, autocommit=True) as connection:
            connection.execute("insert into access.organizations (id, name) values (%s, 'O')", (org,))
            connection.execute(
                "insert into notify.recipients (id, organization_id, name, whatsapp) values (%s, %s, 'R', %s)",
                (recipient, org, "+15550100001"),
            )
            connection.execute(
                "insert into notify.deliveries (id, kind, organization_id, recipient_id, channel, incident_id,"
                " content) values (%s, 'alert', %s, %s, 'whatsapp', %s, '{}')",
                (uuid4(), org, recipient, incident),
            )
        made.append((org, incident))
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        ensure_tables(connection, MODELS)
        runner = Runner(database.dsn, store.read, MODELS)
        while runner.step(connection):
            pass
    store.close()
    return made[0][0], made[1][0], made[1][1]


@pytest.mark.parametrize("rebuilt", [False, True], ids=["as made", "after a rebuild"])
@pytest.mark.parametrize("name", READS)
def test_nothing_leaks_without_our_own_filters(
    database: Any, two: tuple[UUID, UUID, UUID], name: str, rebuilt: bool
) -> None:
    mine, _, theirs = two
    read, own_rows = READS[name]
    if rebuilt:
        store = LedgerRecorder(LedgerDatastore(database.dsn))
        rebuild(database.dsn, store.read, MODELS)
        store.close()

    async def counted(walled: bool) -> int:
        async with await _connected(database.dsn) as connection:
            if walled:
                await connection.execute("set role fandesk_reader")
                await connection.execute("select set_config('fandesk.organization', %s, false)", (str(mine),))
            return len(await read(connection, mine, theirs))

    assert asyncio.run(counted(walled=False)) == own_rows + 1  # else the filters would still be there
    assert asyncio.run(counted(walled=True)) == own_rows


def test_the_pool_shows_each_its_own_and_writes_nothing(database: Any, two: tuple[UUID, UUID, UUID]) -> None:
    first, second, _ = two
    query = "select distinct organization_id from ledger.events"

    async def look() -> None:
        pool = ReadingPool(database.dsn, max_size=1)
        await pool.open()
        try:
            for org in (first, second, second, first, uuid4()):
                async with pool.of(org) as connection:
                    seen = [row[0] for row in await (await connection.execute(query)).fetchall()]
                    assert seen == ([org] if org in (first, second) else [])
                    for forbidden in (
                        "select * from access.tokens",
                        "select * from access.people",
                        "select * from notify.inbox",
                        "delete from read.incidents",
                        "update notify.recipients set name = 'x'",
                    ):
                        with pytest.raises(psycopg.errors.InsufficientPrivilege):
                            await connection.execute(forbidden.encode())
        finally:
            await pool.close()

    asyncio.run(look())


def test_every_table_of_a_read_model_has_its_wall(database: Any, two: tuple[UUID, UUID, UUID]) -> None:
    with psycopg.connect(database.dsn) as connection:
        open_ones = connection.execute(
            "select relname from pg_class c join pg_namespace n on n.oid = c.relnamespace"
            " where n.nspname = 'read' and c.relkind = 'r' and not c.relrowsecurity and relname <> 'checkpoints'"
        ).fetchall()
        readable = connection.execute(
            "select format('%I.%I', schemaname, tablename) from pg_tables"
            " where has_table_privilege('fandesk_reader', format('%I.%I', schemaname, tablename), 'select')"
            " and not rowsecurity and schemaname not in ('pg_catalog', 'information_schema')"
        ).fetchall()
    assert (open_ones, readable) == ([], [])


def test_where_the_role_may_not_be_had_it_says_what_to_run(postgres: Any, database: Any) -> None:
    name = f"poor_{uuid4().hex}"
    with psycopg.connect(postgres.dsn("postgres", "postgres"), autocommit=True) as connection:
        connection.execute(f"create role {name} login nosuperuser nocreaterole".encode())
        connection.execute(f"create database {name} owner {name} template template0".encode())
        dsn = postgres.dsn(name, name)
        with pytest.raises(MigrationError, match=f'create role fandesk_reader nologin;\n  grant .* to "{name}";'):
            migrate(dsn)
        connection.execute(f"grant fandesk_reader to {name}".encode())
        assert migrate(dsn) == [step.name for step in migrations()]
        assert migrate(dsn) == []
        connection.execute(f"drop database {name} with (force)".encode())
        connection.execute(f"drop role {name}".encode())
