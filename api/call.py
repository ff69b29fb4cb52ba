"""One request: who asks, how a command is run for it, and how reads wait for what they must show.

The headers are read here by hand, and described in `openapi`: FastAPI's own way takes it longer than the command.
"""

import hashlib
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg
from fastapi import Request

from api import access, cookies
from api.directory import Caller
from api.problems import NotThere, Unauthorized
from api.refused import forbidden
from api.services import Services
from api.views import Answer, incident_view
from commands.ids import new_id
from commands.incident import OWN_KEYS, Idempotency, IncidentCommand
from domain.decisions import Request as CommandRequest
from domain.errors import InvalidField
from domain.events import Actor
from domain.incident import Incident

READ_WITHIN_S = 5.0
LONGEST_KEY = 255


async def services(request: Request) -> Services:
    """What the edge works with. A coroutine, like all dependencies here: FastAPI runs others in threads."""
    found: Services = request.app.state.services
    return found


async def caller(request: Request) -> Caller:
    """Who asks, by bearer token or session, and may do what the route's rule says. Raises Unauthorized, Forbidden,
    NotThere."""
    return await _caller(request)


async def still(request: Request) -> Caller:
    """The same of a request that goes on, which is no new use of the session or token."""
    return await _caller(request, used=False)


async def _caller(request: Request, *, used: bool = True) -> Caller:
    serving = await services(request)
    found = await _signed_in(request, serving, used)
    what = access.operation(request)
    need = access.RULES[what]
    own = need == "self" and found.scoped and "manage" not in found.powers and request.method not in access.SAFE
    found = found._replace(what=what)
    if need not in found.powers or own:
        raise await forbidden(serving, found, access.WHY[need])
    named = request.headers.get("fandesk-organization")
    return found if named is None else await _elsewhere(serving, found, named)


async def _signed_in(request: Request, serving: Services, used: bool) -> Caller:
    """Raises Unauthorized; Forbidden where another site may be behind a request by cookie."""
    authorization = request.headers.get("authorization")
    secret = cookies.session_of(request) if authorization is None else None
    if secret is not None:
        found = await serving.directory.session(secret, used=used)
        if found is None:
            raise Unauthorized("The session has ended: sign in again.")
        if request.method not in access.SAFE:
            cookies.check_csrf(request, secret, serving.public_url)
        return found
    scheme, _, token = (authorization or "").partition(" ")
    found = await serving.directory.caller(token.strip(), used=used) if scheme.lower() == "bearer" else None
    if found is None:
        raise Unauthorized("Send a valid API token as Authorization: Bearer.")
    return found


async def _elsewhere(serving: Services, found: Caller, named: str) -> Caller:
    """The caller in the organisation that the header names. Raises NotThere, also where it is not theirs."""
    try:
        id = UUID(named)
    except ValueError:
        raise InvalidField("fandesk-organization", "Must be an organisation's id.") from None
    if id == found.home:
        return found
    if "install" not in found.powers or not await serving.directory.organization_exists(id):
        raise NotThere("There is no such organisation.")
    return found._replace(organization_id=id)


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
        headers = {"ETag": f'"{incident.version}"', "Ledger-Position": str(outcome.position)}
        if outcome.created:
            headers["Location"] = f"/api/v1/incidents/{incident.id}"
        if outcome.replayed:
            headers["Idempotent-Replayed"] = "true"
        return Answer(
            incident_view(incident, await self._names(incident)), 201 if outcome.created else 200, headers
        )

    async def _names(self, incident: Incident) -> dict[UUID, str]:
        """The lead's name; none where the database has just gone away: the command is written all the same."""
        try:
            return await self.services.directory.names({incident.assignee} if incident.assignee else set())
        except psycopg.Error:
            return {}


async def call(request: Request) -> Call:
    """The request, with the headers that commands may carry. Raises InvalidField for those that are wrong."""
    found = await caller(request)
    key = request.headers.get("idempotency-key")
    if key is not None and not 1 <= len(key) <= LONGEST_KEY:
        raise InvalidField("idempotency-key", f"Must have 1 to {LONGEST_KEY} characters.")
    if key is not None and key.startswith(OWN_KEYS):
        raise InvalidField("idempotency-key", f"Must not begin with {OWN_KEYS}: those are the program's own.")
    if_match = _version(request.headers.get("if-match"))
    return Call(request, await services(request), found, key, if_match)


class Reading:
    """A request to read: it sees at least what this process has answered, and the Ledger-Position it names."""

    def __init__(self, services: Services, caller: Caller) -> None:
        self.services = services
        self.caller = caller
        self.organization_id = caller.organization_id
        self._position = services.tail.projected  # by the time of the answer it may be past what was read

    def answer(self, content: Any, headers: dict[str, str] | None = None) -> Answer:
        return Answer(content, headers={"Ledger-Position": str(self._position), **(headers or {})})


async def reading(request: Request) -> Reading:
    """Waits until the read models are far enough. Raises Overloaded when a named position takes too long."""
    found, serving = await caller(request), await services(request)
    named = request.headers.get("ledger-position")
    if named is not None:
        await serving.tail.reached(_number("ledger-position", named), within_s=READ_WITHIN_S)
    await serving.tail.caught_up(serving.written)
    return Reading(serving, found)


def _version(if_match: str | None) -> int | None:
    if if_match is None or if_match.strip() == "*":
        return None
    return _number("if-match", if_match.strip().removeprefix("W/").strip('"'))


def _number(header: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20 and int(text) < 2**63):
        raise InvalidField(header, "Must be a whole number.")
    return int(text)
