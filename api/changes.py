"""Changes of who may do what: events and rows in one transaction, off the event loop's thread."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from psycopg import Cursor

from api.directory import Caller
from api.services import Services
from commands.ids import new_id
from commands.organizations import Decide
from domain.access import Ask
from domain.events import Actor


def asking(caller: Caller) -> Ask:
    """The caller, now."""
    return Ask(caller.organization_id, Actor(kind="person", id=caller.person_id), datetime.now(UTC), new_id())


async def change(
    services: Services, caller: Caller, decide: Decide, write: Callable[[Cursor[Any]], None] = lambda _: None
) -> None:
    """Change the organisation that the caller asks about. `write` may be called again after a lost connection. All
    writers of the ledger wait for each other, so what `write` finds holds until its commit.

    Raises the refusals of both, Overloaded, OutcomeUnknown.
    """
    organizations = services.executor.organizations
    _, position = await asyncio.to_thread(organizations.change, caller.organization_id, decide, write)
    services.written = max(services.written, position or 0)
    services.directory.forget()
