"""What the edge works with, and how a command is run for it."""

import asyncio
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from psycopg_pool import AsyncConnectionPool

from api.directory import Directory
from api.live import Tail
from api.oidc_provider import Provider
from api.reading_pool import ReadingPool
from commands.append import Key
from commands.batch import Outcome
from commands.event_store import LedgerRecorder
from commands.executor import Executor
from commands.incident import IncidentCommand
from commands.vault import Vault
from domain.errors import IncidentNotFound

ANSWER_WITHIN_S = 20.0


@dataclass(frozen=True)
class WhatsAppWebhook:
    """What Meta's webhooks are checked by. app_secret: signs them; verify_token: answers the challenge;
    phone_number_id: only what is for this number is taken. None: not configured."""

    app_secret: str | None = field(default=None, repr=False)
    verify_token: str | None = field(default=None, repr=False)
    phone_number_id: str | None = None


@dataclass(slots=True)
class Services:
    """What the edge works with; made by the composition root."""

    pool: AsyncConnectionPool[Any]
    readers: ReadingPool
    store: LedgerRecorder
    executor: Executor
    directory: Directory
    tail: Tail
    public_url: str
    vault: Vault | None = None
    """None: there is no key, so nothing that needs one can be kept."""
    oidc: Provider | None = None
    """Signs people in; None: none is set up."""
    webhook: WhatsAppWebhook = field(default_factory=WhatsAppWebhook)
    written: int = 0
    """The last position that this process has answered: what its readers may expect to see."""
    probe: asyncio.Task[Any] | None = None
    """The question after the state of things that is under way, or the last one."""

    async def run(self, command: IncidentCommand) -> Outcome:
        """Run a command. Raises its Refusal, OutcomeUnknown when no answer comes in time."""
        outcome = await self.executor.run(command, within_s=ANSWER_WITHIN_S)
        self.written = max(self.written, outcome.position)
        return outcome

    async def incident_id(self, organization_id: UUID, id: str) -> UUID:
        """The id that an id or a number (INC-12) stands for. Raises IncidentNotFound."""
        try:
            return UUID(id)
        except ValueError:
            number = incident_number(id)
        found = await self.holder(Key(organization_id, "number", str(number)))
        if found is None:
            raise IncidentNotFound(f"There is no INC-{number}.")
        return found

    async def holder(self, key: Key) -> UUID | None:
        """The incident that holds a claim now."""
        query = "select stream_id from ledger.claims where organization_id = %s and scope = %s and key = %s"
        async with self.readers.of(key.organization_id) as connection:
            row = await (await connection.execute(query, key)).fetchone()
        return row[0] if row else None


def incident_number(id: str) -> int:
    """12 for `INC-12`. Raises IncidentNotFound for what is no number."""
    digits = id[4:]
    if id[:4].upper() != "INC-" or not (digits.isascii() and digits.isdigit() and len(digits) < 19):
        raise IncidentNotFound("That is neither an incident's id nor a number like INC-12.")
    return int(digits)
