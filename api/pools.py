"""The API's pools of connections."""

from collections.abc import Awaitable, Callable
from typing import Any

import psycopg
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from commands.unasked import said_unasked

Pool = AsyncConnectionPool[AsyncConnection[Any]]


class LastingPool(Pool):
    """Lends connections in autocommit, and none that PostgreSQL has closed since: when it was away and is back,
    each of those would fail one request. Who gets none for 5 s gets PoolTimeout."""

    def __init__(
        self,
        dsn: str,
        *,
        max_size: int = 8,
        configure: Callable[[AsyncConnection[Any]], Awaitable[None]] | None = None,
    ) -> None:
        super().__init__(
            dsn,
            min_size=1,
            max_size=max_size,
            timeout=5,
            open=False,
            kwargs={"autocommit": True},
            max_waiting=500,
            configure=configure,
            check=self._usable,
        )

    async def _usable(self, connection: AsyncConnection[Any]) -> None:
        """Raises psycopg's Error where it is not. That costs a look at the socket; a round trip only where the
        server has sent something unasked, which is mostly its end."""
        if said_unasked(connection):
            try:
                await self.check_connection(connection)
            except psycopg.Error:
                await self.check()  # the others have mostly died with it, and each costs the lender a longer wait
                raise
