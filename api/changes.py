"""Changes of organisations, all of them: events and rows in one transaction, off the event loop's thread."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from psycopg import Cursor

from api.directory import Caller
from api.services import Services
from commands.ids import new_id
from commands.organizations import Decide
from domain.decisions import Request
from domain.events import Actor
from domain.organization import Organization


def asking(caller: Caller) -> Request:
    """The caller, now."""
    actor, id = Actor(kind="person", id=caller.person_id), new_id()
    return Request(caller.organization_id, actor, datetime.now(UTC), id, id)


async def change(
    services: Services, caller: Caller, decide: Decide, write: Callable[[Cursor[Any]], None] = lambda _: None
) -> tuple[Organization, int]:
    """Change the organisation that the caller asks about: as it is then, and a position up to which it has been
    written. `write` may be called again after a lost connection. All
    writers of the ledger wait for each other, so what `write` finds holds until its commit.

    Raises the refusals of both, Overloaded, OutcomeUnknown.
    """
    organizations = services.executor.organizations
    organization, position = await asyncio.to_thread(organizations.change, caller.organization_id, decide, write)
    services.written = max(services.written, position or 0)
    services.directory.forget()
    return organization, position or services.written
