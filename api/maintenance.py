"""Maintenance windows: when alerts are expected, and wake nobody."""

from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response

from api import setting_shapes as shapes
from api.bodies import made, nothing_else
from api.settings import REMOVED, STALE, Changing, Look
from api.shapes import PROBLEMS, shows
from api.views import Answer
from domain import organization_decisions as decisions
from domain.decisions import Request
from domain.errors import IdempotencyKeyReused
from domain.organization import Organization
from domain.quiet import Maintenance

router = APIRouter(prefix="/api/v1/maintenance-windows", tags=["on-call"], responses=PROBLEMS)


@router.get("", responses=shows(shapes.Windows))
async def list_windows(look: Look) -> Answer:
    """All windows that were not cancelled, those that are over too, the latest start first; with `at` as they
    stood then."""
    organization = await look.organization()
    found = sorted(organization.windows.values(), key=lambda window: (window.start, window.name), reverse=True)
    return look.answer(organization, {"items": [window.model_dump(mode="json") for window in found]})


@router.post(
    "",
    status_code=201,
    dependencies=[nothing_else(shapes.WindowBody)],
    responses={**shows(Maintenance, 201), **STALE},
)
async def post_window(change: Changing, body: shapes.WindowBody) -> Answer:
    """Announce one: 201. Alerts that meet its conditions while it lasts attach to it and wake nobody."""
    id = await change.new_id()
    window = made(Maintenance, {**{name: getattr(body, name) for name in type(body).model_fields}, "id": id})

    def decide(now: Organization, request: Request) -> decisions.Events:
        if now.windows.get(id, window) != window:
            raise IdempotencyKeyReused("This Idempotency-Key made another window.")
        return decisions.schedule_maintenance(now, request, id, window)

    _, headers = await change.run(decide)
    return Answer(window.model_dump(mode="json"), 201, headers)


@router.delete("/{id}", status_code=204, response_class=Response, responses={**REMOVED, **STALE})
async def delete_window(change: Changing, id: UUID) -> Response:
    """Cancel one: its alerts wake people again."""
    return await change.remove(lambda now, request: decisions.cancel_maintenance(now, request, id))
