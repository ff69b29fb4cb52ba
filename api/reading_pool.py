"""Connections that see one organisation: the database itself holds back the rows of all others."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID
from weakref import WeakKeyDictionary

from psycopg import AsyncConnection

from api.pools import LastingPool

ROLE = "fandesk_reader"


class ReadingPool:
    """Lends connections on which `set role` has given up all rights but to read, behind row-level security."""

    def __init__(self, dsn: str, *, max_size: int = 8) -> None:
        self._sees: WeakKeyDictionary[AsyncConnection[Any], UUID] = WeakKeyDictionary()
        self._pool = LastingPool(dsn, max_size=max_size, configure=_give_up_rights)

    async def open(self) -> None:
        await self._pool.open()

    async def close(self) -> None:
        await self._pool.close()

    @asynccontextmanager
    async def of(self, organization_id: UUID) -> AsyncIterator[AsyncConnection[Any]]:
        """A connection that sees this organisation's rows alone. It is told so only where it saw another one's
        before: that costs a round trip."""
        async with self._pool.connection() as connection:
            if self._sees.get(connection) != organization_id:
                self._sees.pop(connection, None)
                await connection.execute(
                    "select set_config('fandesk.organization', %s, false)", (str(organization_id),)
                )
                self._sees[connection] = organization_id
            yield connection


async def _give_up_rights(connection: AsyncConnection[Any]) -> None:
    await connection.execute(f"set role {ROLE}".encode())
