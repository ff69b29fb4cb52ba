"""The organisation: its name and what it promises; and, for super admins, all organisations."""

import asyncio
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query

from api.access_shapes import (
    Organization,
    OrganizationBody,
    OrganizationItem,
    OrganizationPage,
    OrganizationPatch,
)
from api.call import caller, services
from api.changes import asking, change
from api.directory import Caller
from api.services import Services
from api.shapes import PROBLEMS, shows
from api.views import Answer, from_cursor, time_or_null, to_cursor
from commands.ids import new_id
from domain.organization_decisions import set_response_targets
from domain.organization_events import Targets

router = APIRouter(prefix="/api/v1", tags=["organisation"], responses=PROBLEMS)

S = Annotated[Services, Depends(services)]
C = Annotated[Caller, Depends(caller)]


@router.get("/organization", responses=shows(Organization))
async def get_organization(services: S, caller: C) -> Answer:
    """The organisation that one asks about."""
    return await _shown(services, caller)


@router.patch("/organization", responses=shows(Organization))
async def change_organization(services: S, caller: C, body: OrganizationPatch) -> Answer:
    """Change its name, or within how many seconds incidents have to be acknowledged: that holds for incidents from
    now on."""
    if "name" in body.model_fields_set:
        async with services.pool.connection() as connection:
            query = "update access.organizations set name = %s where id = %s"
            await connection.execute(query, (body.name, caller.organization_id))
    if "response_targets" in body.model_fields_set:
        targets = Targets(**body.response_targets.model_dump()) if body.response_targets else None
        ask = asking(caller)
        await change(services, caller, lambda now: set_response_targets(now, ask, targets))
    return await _shown(services, caller)


@router.get("/organizations", responses=shows(OrganizationPage))
async def list_organizations(
    services: S,
    caller: C,
    cursor: Annotated[str | None, Query(max_length=1000)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> Answer:
    """All organisations, in the order in which they were made."""
    after = from_cursor("organizations", cursor, (datetime, UUID))
    where = "where (created_at, id) > (%s, %s)" if after else ""
    query = f"select id, name, created_at from access.organizations {where} order by created_at, id limit %s"
    async with services.pool.connection() as connection:
        rows = await (await connection.execute(query.encode(), (*(after or ()), limit + 1))).fetchall()
    page = rows[:limit]
    items = [{"id": id, "name": name, "created_at": time_or_null(at)} for id, name, at in page]
    place = [page[-1][2], page[-1][0]] if len(rows) > limit else None
    return Answer({"items": items, "next_cursor": to_cursor("organizations", place)})


@router.post("/organizations", status_code=201, responses=shows(OrganizationItem, 201))
async def make_organization(services: S, caller: C, body: OrganizationBody) -> Answer:
    """Make an organisation: 201. Name it by the header Fandesk-Organization to add its people."""
    id = new_id()
    async with services.pool.connection() as connection:
        query = "insert into access.organizations (id, name) values (%s, %s) returning created_at"
        row = await (await connection.execute(query, (id, body.name))).fetchone()
    assert row is not None
    services.directory.forget()
    shown: dict[str, Any] = {"id": id, "name": body.name, "created_at": time_or_null(row[0])}
    return Answer(shown, 201, {"Location": "/api/v1/organization"})


async def _shown(services: Services, caller: Caller) -> Answer:
    async with services.pool.connection() as connection:
        query = "select name, created_at from access.organizations where id = %s"
        row = await (await connection.execute(query, (caller.organization_id,))).fetchone()
    assert row is not None
    state = await asyncio.to_thread(services.executor.organizations.now, caller.organization_id)
    shown = {
        "id": caller.organization_id,
        "name": row[0],
        "created_at": time_or_null(row[1]),
        "response_targets": dict(state.targets),
    }
    return Answer(shown)
