"""A report that is asked for while a rebuild takes the tables' place shows all that was shown before."""

import asyncio
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from given import triggered
from psycopg import AsyncConnection
from running import until

from api.standing import _ONE_MOMENT
from commands.event_store import recorded
from projections import figures, then
from projections import rebuild as at_work
from projections.cohort import Cohort

Asked = Callable[[Any, UUID], int]


def counted_now(world: Any, organization: UUID) -> int:
    async def asked() -> int:
        connected = await AsyncConnection.connect(world.dsn, autocommit=True)
        async with connected as connection, connection.transaction():
            await connection.execute(_ONE_MOMENT)
            _, overall = await figures.summary(
                connection, Cohort(organization_id=organization), group_by="none", now=datetime.now(UTC)
            )
            return int(overall["incidents"])

    return asyncio.run(asked())


def counted_as_of(world: Any, organization: UUID) -> int:
    async def asked() -> int:
        decode = lambda rows: [recorded(row) for row in rows]  # noqa: E731
        async with await AsyncConnection.connect(world.dsn, autocommit=True) as connection:
            await connection.execute("select set_config('fandesk.organization', %s, false)", (str(organization),))
            soon = datetime.now(UTC) + timedelta(hours=1)
            async with then.standing(connection, organization, soon, projected=world.ledger.head(), decode=decode):
                cursor = await connection.execute(
                    "select (select count(*) from pg_temp.facts), (select count(*) from pg_temp.timeline)"
                )
                row = await cursor.fetchone()
                assert row is not None and row[0] == row[1]
                return int(row[0])

    return asyncio.run(asked())


@pytest.mark.parametrize("counted", [counted_now, counted_as_of])
def test_nothing_is_missing(world: Any, monkeypatch: pytest.MonkeyPatch, counted: Asked) -> None:
    organization = uuid4()

    def record(number: int) -> None:
        event = triggered(number=number).model_copy(update={"organization_id": organization})
        world.record([(uuid4(), 1, event)])

    for number in (1, 2, 3):
        record(number)
    world.catch_up()
    found: list[int] = []
    asking = threading.Thread(target=lambda: found.append(counted(world, organization)))
    positions, definition = at_work._positions, at_work.definition

    def with_one_more(*args: Any) -> dict[str, int]:
        record(4)  # the switch itself has to catch up with it
        return positions(*args)

    def while_somebody_asks(model: Any) -> str:
        if model.name == "facts":  # the last one: all tables are locked
            asking.start()
            waiting = "select count(*) from pg_locks where not granted and locktype = 'relation'"
            until(lambda: world.rows(waiting) != [(0,)], what="the question to wait for the switch")
        return definition(model)

    monkeypatch.setattr(at_work, "_positions", with_one_more)
    monkeypatch.setattr(at_work, "definition", while_somebody_asks)
    at_work.rebuild(world.dsn, world.ledger.read, world.models)
    asking.join()
    assert found == [4]
