"""The organisation's settings: what happened to them, and the response targets."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic_core import from_json
from starlette.responses import Response

from api import setting_shapes as shapes
from api.reads import Limit
from api.settings import REMOVED, STALE, Changing, Look, LookNow
from api.shapes import PROBLEMS, shows
from api.views import Answer, from_cursor, to_cursor
from domain import organization_decisions as decisions
from domain.organization_events import Targets
from domain.words import rfc3339
from projections import ledger

router = APIRouter(prefix="/api/v1/organization", tags=["organization"], responses=PROBLEMS)


@router.get("/events", responses=shows(shapes.OrganizationEntries))
async def get_organization_events(
    look: LookNow, cursor: Annotated[str | None, Query(max_length=1000)] = None, limit: Limit = 50
) -> Answer:
    """Its entries in the ledger as they were written, the first one first: who was given which role, what became
    of teams, rules, schedules and policies. For admins."""
    organization, id = await look.organization(), look.caller.organization_id
    after = (from_cursor("organization", cursor, (int,)) or [0])[0]
    async with look.services.readers.of(id) as connection:
        found = await ledger.after(connection, id, after, incident_id=id, limit=limit + 1)
    page = found[:limit]
    place = to_cursor("organization", [page[-1].position]) if len(found) > limit else None
    return look.answer(organization, {"items": [_entry(entry) for entry in page], "next_cursor": place})


@router.get("/response-targets", responses=shows(shapes.TargetsBody))
async def get_targets(look: Look) -> Answer:
    """Seconds within which incidents have to be acknowledged, by severity; with `at` as they stood then."""
    organization = await look.organization()
    return look.answer(organization, dict(organization.targets))


@router.put("/response-targets", responses={**shows(shapes.TargetsBody), **STALE})
async def put_targets(change: Changing, body: shapes.TargetsBody) -> Answer:
    """Set them; incidents that are open keep theirs."""
    targets = Targets(**body.model_dump())
    organization, headers = await change.run(
        lambda now, request: decisions.set_response_targets(now, request, targets)
    )
    return Answer(dict(organization.targets), headers=headers)


@router.delete("/response-targets", status_code=204, response_class=Response, responses={**REMOVED, **STALE})
async def delete_targets(change: Changing) -> Response:
    """Go back to the usual ones."""
    return await change.remove(lambda now, request: decisions.set_response_targets(now, request, None))


def _entry(entry: ledger.Entry) -> dict[str, Any]:
    type, _, schema = entry.topic.partition("/")
    return {
        "position": entry.position,
        "version": entry.version,
        "type": type,
        "schema_version": int(schema),
        "recorded_at": rfc3339(entry.recorded_at),
        "payload": from_json(bytes(entry.state)),
    }
