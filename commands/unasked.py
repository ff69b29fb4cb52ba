"""Whether PostgreSQL has said something on a connection that is idle: mostly that it has closed it."""

import select
from typing import Any

from psycopg import BaseConnection


def said_unasked(connection: BaseConnection[Any]) -> bool:
    """Costs a look at the socket, no round trip."""
    if connection.closed:
        return True
    poll = select.poll()
    poll.register(connection.pgconn.socket, select.POLLIN)
    return bool(poll.poll(0))
