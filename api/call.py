"""One request: who asks, how a command is run for it, and how reads wait for what they must show."""

import asyncio
import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Header, Request
from psycopg_pool import AsyncConnectionPool

from api.directory import Caller, Directory
from api.live import Tail
from api.problems import Forbidden, Unauthorized
from api.views import Answer, incident_view
from commands.append import Key
from commands.batch import Outcome, OutcomeUnknown, Pending
from commands.event_store import LedgerRecorder
from commands.executor import Executor
from commands.ids import new_id
from commands.incident import Idempotency, IncidentCommand
from domain.decisions import Request as CommandRequest
from domain.errors import IncidentNotFound, InvalidField
from domain.events import Actor

SEES_INCIDENTS = frozenset(("super_admin", "org_admin", "responder"))
ANSWER_WITHIN_S = 20.0
READ_WITHIN_S = 5.0


@dataclass(slots=True)
class Services:
    """What the edge works with; made by the composition root."""

    pool: AsyncConnectionPool[Any]
    store: LedgerRecorder
    executor: Executor
    directory: Directory
    tail: Tail
    public_url: str
    written: int = 0
    """The last position that this process has answered: what its readers may expect to see."""
    probe: asyncio.Task[Any] | None = None
    """The question after the state of things that is under way, or the last one."""

    async def run(self, command: IncidentCommand) -> Outcome:
        """Run a command. Raises its Refusal, OutcomeUnknown when no answer comes in time."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Pending] = loop.create_future()

        def settle(pending: Pending) -> None:
            if not done.done():
                done.set_result(pending)

        def wake(pending: Pending) -> None:
            loop.call_soon_threadsafe(settle, pending)

        self.executor.submit(command, wake)
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                outcome = (await done).result()
        except TimeoutError:
            raise OutcomeUnknown(
                "No answer from the database in time. It may have been recorded: send it again with the same"
                " Idempotency-Key."
            ) from None
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
        async with self.pool.connection() as connection:
            row = await (await connection.execute(query, key)).fetchone()
        return row[0] if row else None


def incident_number(id: str) -> int:
    """12 for `INC-12`. Raises IncidentNotFound for what is no number."""
    digits = id[4:]
    if id[:4].upper() != "INC-" or not (digits.isascii() and digits.isdigit() and len(digits) < 19):
        raise IncidentNotFound("That is neither an incident's id nor a number like INC-12.")
    return int(digits)


async def services(request: Request) -> Services:
    """What the edge works with. A coroutine, like all dependencies here: FastAPI runs others in threads."""
    found: Services = request.app.state.services
    return found


async def caller(
    request: Request,
    services: Annotated[Services, Depends(services)],
    authorization: Annotated[str, Header()] = "",
) -> Caller:
    """Who asks, by bearer token, and may see incidents. Raises Unauthorized, Forbidden."""
    scheme, _, token = authorization.partition(" ")
    found = await services.directory.caller(token.strip()) if scheme.lower() == "bearer" else None
    if found is None:
        raise Unauthorized("Send a valid API token as Authorization: Bearer.")
    if found.role not in SEES_INCIDENTS:
        raise Forbidden("Incidents are for responders and admins; an admin can make you one.")
    return found


class Call:
    """A request to change something."""

    def __init__(
        self, request: Request, services: Services, caller: Caller, key: str | None, if_match: int | None
    ):
        self.services = services
        self.caller = caller
        self.if_match = if_match
        self._request = request
        self._key = key

    async def idempotency(self) -> Idempotency | None:
        """The Idempotency-Key, bound to everything that the request says."""
        if self._key is None:
            return None
        said = hashlib.sha256(
            f"{self._request.method} {self._request.url.path}\n".encode("utf-8", "surrogateescape")
        )
        said.update(await self._request.body())
        return Idempotency(self._key, said.digest())

    def request(self, occurred_at: datetime | None) -> CommandRequest:
        """Who asks, and when."""
        return CommandRequest(
            organization_id=self.caller.organization_id,
            actor=Actor(kind="person", id=self.caller.person_id),
            asked_at=datetime.now(UTC),
            correlation_id=new_id(),
            causation_id=new_id(),
            occurred_at=occurred_at,
        )

    async def base(self, id: str, occurred_at: datetime | None) -> dict[str, Any]:
        """The fields that every command to an existing incident has."""
        return {
            "request": self.request(occurred_at),
            "incident_id": await self.services.incident_id(self.caller.organization_id, id),
            "idempotency": await self.idempotency(),
            "if_match": self.if_match,
        }

    async def run(self, command: IncidentCommand) -> Answer:
        """Run the command and answer with the incident."""
        outcome = await self.services.run(command)
        incident = outcome.incident
        names = await self.services.directory.names({incident.assignee}) if incident.assignee else None
        headers = {"ETag": f'"{incident.version}"', "Ledger-Position": str(outcome.position)}
        if outcome.created:
            headers["Location"] = f"/api/v1/incidents/{incident.id}"
        if outcome.replayed:
            headers["Idempotent-Replayed"] = "true"
        return Answer(incident_view(incident, names), 201 if outcome.created else 200, headers)


async def call(
    request: Request,
    services: Annotated[Services, Depends(services)],
    caller: Annotated[Caller, Depends(caller)],
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=255)] = None,
    if_match: Annotated[str | None, Header(max_length=40)] = None,
) -> Call:
    """The request, with the headers that commands may carry."""
    return Call(request, services, caller, idempotency_key, _version(if_match))


class Reading:
    """A request to read: it sees at least what this process has answered, and the Ledger-Position it names."""

    def __init__(self, services: Services, caller: Caller) -> None:
        self.services = services
        self.caller = caller
        self.organization_id = caller.organization_id
        self._position = services.tail.projected  # by the time of the answer it may be past what was read

    def answer(self, content: Any, headers: dict[str, str] | None = None) -> Answer:
        return Answer(content, headers={"Ledger-Position": str(self._position), **(headers or {})})


async def reading(
    services: Annotated[Services, Depends(services)],
    caller: Annotated[Caller, Depends(caller)],
    ledger_position: Annotated[int | None, Header(ge=0, lt=2**62)] = None,
) -> Reading:
    """Waits until the read models are far enough. Raises Overloaded when a named position takes too long."""
    if ledger_position is not None:
        await services.tail.reached(ledger_position, within_s=READ_WITHIN_S)
    await services.tail.caught_up(services.written)
    return Reading(services, caller)


def _version(if_match: str | None) -> int | None:
    if if_match is None or if_match.strip() == "*":
        return None
    version = if_match.strip().removeprefix("W/").strip('"')
    if not (version.isascii() and version.isdigit() and len(version) < 19):
        raise InvalidField("If-Match", 'Must be an ETag of the incident, like "3".')
    return int(version)
