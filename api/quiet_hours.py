"""Quiet hours: when a person is not to be woken but for critical. One's own, or set by an admin."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from fastapi import APIRouter
from psycopg import Cursor
from starlette.responses import Response

from api import setting_shapes as shapes
from api.bodies import nothing_else
from api.person_rows import may_change
from api.problems import NotThere
from api.settings import REMOVED, STALE, Change, Changing, ChangingOwn, Look, LookOwn, people_of
from api.shapes import PROBLEMS, shows
from api.views import Answer
from domain import organization_decisions as decisions
from domain.organization import Organization
from domain.quiet import HELD, QuietHours, held_until

router = APIRouter(prefix="/api/v1", tags=["on-call"], responses=PROBLEMS)

QUIET = [nothing_else(QuietHours)]
SHOWS: dict[int | str, dict[str, Any]] = {**shows(shapes.Quiet), **STALE}


@router.get("/me/quiet-hours", responses=shows(shapes.Quiet))
async def get_my_quiet_hours(look: LookOwn) -> Answer:
    """One's own; null: at any hour."""
    organization = await look.organization()
    return look.answer(organization, _view(organization, look.caller.person_id))


@router.put("/me/quiet-hours", dependencies=QUIET, responses=SHOWS)
async def put_my_quiet_hours(change: ChangingOwn, body: QuietHours) -> Answer:
    """Set one's own."""
    return await _set(change, change.caller.person_id, body)


@router.delete("/me/quiet-hours", status_code=204, response_class=Response, responses={**REMOVED, **STALE})
async def delete_my_quiet_hours(change: ChangingOwn) -> Response:
    """Have none."""
    return await _remove(change, change.caller.person_id)


@router.get("/people/{id}/quiet-hours", responses=shows(shapes.Quiet))
async def get_quiet_hours(look: Look, id: UUID) -> Answer:
    """A person's; null: at any hour."""
    organization = await look.organization()
    if id not in organization.quiet and id not in await people_of(look.services, look.caller.organization_id):
        raise NotThere("There is no such person in this organisation.")
    return look.answer(organization, _view(organization, id))


@router.put("/people/{id}/quiet-hours", dependencies=QUIET, responses=SHOWS)
async def put_quiet_hours(change: Changing, id: UUID, body: QuietHours) -> Answer:
    """Set a person's."""
    await may_change(change.services, change.caller, id)
    return await _set(change, id, body)


@router.delete(
    "/people/{id}/quiet-hours", status_code=204, response_class=Response, responses={**REMOVED, **STALE}
)
async def delete_quiet_hours(change: Changing, id: UUID) -> Response:
    """Let a person have none."""
    await may_change(change.services, change.caller, id)
    return await _remove(change, id)


async def _set(change: Change, person: UUID, quiet: QuietHours) -> Answer:
    people = await change.people()
    organization, headers = await change.run(
        lambda now, request: decisions.set_quiet_hours(now, request, person, quiet, people),
        _releasing(person, quiet),
    )
    return Answer(_view(organization, person), headers=headers)


async def _remove(change: Change, person: UUID) -> Response:
    people = await change.people()
    return await change.remove(
        lambda now, request: decisions.set_quiet_hours(now, request, person, None, people),
        _releasing(person, None),
    )


def _releasing(person: UUID, quiet: QuietHours | None) -> Callable[[Cursor[Any]], None]:
    """What waits for the end of the person's quiet hours goes by the new ones. What is critical never waits."""

    def write(cursor: Cursor[Any]) -> None:
        until = held_until(quiet, "high", datetime.now(UTC)) if quiet is not None else None
        cursor.execute(_RELEASE, {"until": until, "person": person, "held": HELD})

    return write


def _view(organization: Organization, person: UUID) -> dict[str, Any]:
    quiet = organization.quiet.get(person)
    return {"person": person, "quiet_hours": quiet.model_dump(mode="json") if quiet else None}


_RELEASE = """
    update notify.deliveries d set due_at = coalesce(%(until)s, clock_timestamp())
      from notify.recipients r
     where r.id = d.recipient_id and r.person_id = %(person)s and d.state = 'queued' and d.reason = %(held)s"""
