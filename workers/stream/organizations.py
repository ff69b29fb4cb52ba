"""Organisations for those who react to the ledger: one that cannot be asked for is waited for."""

from collections.abc import Callable
from uuid import UUID

from commands.event_store import LostConnection
from domain.errors import Overloaded
from domain.organization import Organization
from workers.stream.source import Away

Look = Callable[[UUID], Organization]


def patient(look: Look) -> Look:
    """The same. Raises Away where the database gives no connection: an entry must not become a dead letter for
    that, nor the process end."""

    def found(id: UUID) -> Organization:
        try:
            return look(id)
        except (Overloaded, LostConnection) as problem:
            raise Away(f"the organisation cannot be read: {problem}") from problem

    return found
