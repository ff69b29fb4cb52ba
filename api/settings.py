"""One request about an organisation's settings: how it is changed, and as of when it is read."""

import asyncio
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Annotated, Any, NamedTuple
from uuid import UUID, uuid5

from fastapi import Depends, Path
from psycopg import Cursor
from starlette.responses import Response

from api.call import Call, call, caller, services
from api.changes import change
from api.directory import Caller
from api.moments import Moment, moment
from api.services import Services
from api.shapes import Problem
from api.views import Answer
from commands.ids import new_id
from domain.decisions import Request
from domain.errors import NameTaken
from domain.organization import Organization
from domain.organization_decisions import Events, unchanged_since
from domain.values import Name

Decide = Callable[[Organization, Request], Events]

Named = Annotated[Name, Path()]
"""A name in an address, without the blanks around it: as it is in bodies."""

REMOVED: dict[int | str, dict[str, Any]] = {204: {"description": "Removed"}}
STALE: dict[int | str, dict[str, Any]] = {
    412: {"model": Problem, "description": "The settings have changed since the version in If-Match"}
}
TAKEN: dict[int | str, dict[str, Any]] = {409: {"model": Problem, "description": "There is another of that name"}}
USED: dict[int | str, dict[str, Any]] = {409: {"model": Problem, "description": "In use, and by what"}}


class Person(NamedTuple):
    """Somebody of the organisation."""

    name: str
    role: str


async def people_of(services: Services, organization_id: UUID) -> dict[UUID, Person]:
    """Everybody of the organisation who has access, as it is now."""
    query = "select id, name, role from access.people where organization_id = %s and disabled_at is null"
    async with services.pool.connection() as connection:
        rows = await (await connection.execute(query, (organization_id,))).fetchall()
    return {id: Person(name, role) for id, name, role in rows}


class Looking:
    """A request to read settings: as they stand, whoever changed them a moment ago, or as they stood `at`."""

    def __init__(self, services: Services, caller: Caller, at: datetime | None) -> None:
        self.services = services
        self.caller = caller
        self.at = at
        self._position = max(services.tail.position, services.written)  # what is read now is at least that new

    async def organization(self) -> Organization:
        """The organisation as of `at`, by what was recorded until then."""
        known, id = self.services.executor.organizations, self.caller.organization_id
        return await (asyncio.to_thread(known.now, id) if self.at is None else self.as_of(self.at))

    async def as_of(self, at: datetime) -> Organization:
        """The organisation by what was recorded until then."""
        return await asyncio.to_thread(self.services.executor.organizations.as_of, self.caller.organization_id, at)

    async def names(self, ids: Iterable[UUID | None]) -> dict[str, str]:
        """The names of these people, by id; who was erased has none."""
        found = await self.services.directory.names({id for id in ids if id is not None})
        return {str(id): name for id, name in found.items()}

    def answer(self, organization: Organization, content: Any) -> Answer:
        return Answer(content, headers=headers(organization, self._position))


async def looking(
    services: Annotated[Services, Depends(services)],
    caller: Annotated[Caller, Depends(caller)],
    at: Moment | None = None,
) -> Looking:
    return Looking(services, caller, moment("at", at))


async def looking_now(
    services: Annotated[Services, Depends(services)], caller: Annotated[Caller, Depends(caller)]
) -> Looking:
    return Looking(services, caller, None)


async def looking_own(
    services: Annotated[Services, Depends(services)],
    caller: Annotated[Caller, Depends(caller)],
    at: Moment | None = None,
) -> Looking:
    """What is the caller's own is in their own organisation, whichever they name."""
    return Looking(services, caller._replace(organization_id=caller.home), moment("at", at))


class Change:
    """A request to change settings. The answer's headers: the new version, the position of what was written."""

    def __init__(self, call: Call) -> None:
        self.services = call.services
        self.caller = call.caller
        self.request = call.request(None)
        self._call = call

    async def people(self) -> dict[UUID, str]:
        """The roles of everybody of the organisation."""
        found = await people_of(self.services, self.caller.organization_id)
        return {id: person.role for id, person in found.items()}

    async def new_id(self) -> UUID:
        """An id for what is added: the same one for the same Idempotency-Key."""
        key = await self._call.idempotency()
        return new_id() if key is None else uuid5(self.caller.organization_id, key.key)

    async def run(
        self, decide: Decide, write: Callable[[Cursor[Any]], None] = lambda _: None
    ) -> tuple[Organization, dict[str, str]]:
        """The organisation afterwards, and the headers. write: rows that belong to the change. Raises the Refusal
        of `decide`, StaleVersion."""

        def decided(organization: Organization) -> Events:
            unchanged_since(organization, self._call.if_match)
            return decide(organization, self.request)

        organization, position = await change(self.services, self.caller, decided, write)
        return organization, headers(organization, position)

    async def create(
        self, decide: Decide, there: Callable[[Organization], bool]
    ) -> tuple[Organization, dict[str, str]]:
        """Run it, for what is new. Raises NameTaken where it is there already, and is not the very same."""

        def decided(organization: Organization, request: Request) -> Events:
            events = decide(organization, request)
            if events and there(organization):
                raise NameTaken("There is another of that name.")
            return events

        return await self.run(decided)

    async def remove(self, decide: Decide, write: Callable[[Cursor[Any]], None] = lambda _: None) -> Response:
        """Run it and answer 204."""
        _, sent = await self.run(decide, write)
        return Response(status_code=204, headers=sent)


async def changing(call: Annotated[Call, Depends(call)]) -> Change:
    """A request to change the organisation's settings."""
    return Change(call)


async def changing_own(call: Annotated[Call, Depends(call)]) -> Change:
    """A request to change what is the caller's own: that is in their own organisation, whichever they name."""
    call.caller = call.caller._replace(organization_id=call.caller.home)
    return Change(call)


def headers(organization: Organization, position: int) -> dict[str, str]:
    return {"ETag": f'"{organization.version}"', "Ledger-Position": str(position)}


Look = Annotated[Looking, Depends(looking)]
LookOwn = Annotated[Looking, Depends(looking_own)]
LookNow = Annotated[Looking, Depends(looking_now)]
Changing = Annotated[Change, Depends(changing)]
ChangingOwn = Annotated[Change, Depends(changing_own)]
