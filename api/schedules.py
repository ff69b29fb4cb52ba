"""On-call schedules: their definitions, and who is on call by one of them."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from starlette.responses import Response

from api import setting_shapes as shapes
from api.bodies import made, named, nothing_else, required
from api.moments import Moment, moment
from api.oncall import on_call_view
from api.settings import REMOVED, STALE, TAKEN, USED, Change, Changing, Decide, Look, Named
from api.shapes import PROBLEMS, shows
from api.views import Answer
from commands.ids import new_id
from domain import organization_decisions as decisions
from domain.decisions import Request
from domain.errors import IdempotencyKeyReused, InvalidField, NotDefined
from domain.localtime import moment as served
from domain.oncall import Override, Schedule, everybody_on, layers_at
from domain.organization import Organization
from domain.shifts import LONGEST_LOOK_DAYS, shifts
from domain.words import rfc3339

router = APIRouter(prefix="/api/v1/schedules", tags=["on-call"], responses=PROBLEMS)

DEFAULT_LOOK_DAYS = 30

From = Annotated[Moment | None, Query(alias="from")]


@router.get("", responses=shows(shapes.Schedules))
async def list_schedules(look: Look) -> Answer:
    """All schedules, by name; with `at` as they stood then."""
    organization = await look.organization()
    found = [organization.schedules[name] for name in sorted(organization.schedules)]
    people = await look.names(person for schedule in found for person in everybody_on(schedule))
    return look.answer(organization, {"items": [view(schedule) for schedule in found], "people": people})


@router.get("/{name}", responses=shows(Schedule))
async def get_schedule(look: Look, name: Named) -> Answer:
    """One schedule; with `at` as it stood then."""
    organization = await look.organization()
    return look.answer(organization, view(find(organization, name)))


@router.put("/{name}", dependencies=[nothing_else(shapes.ScheduleBody)], responses={**shows(Schedule), **STALE})
async def put_schedule(change: Changing, name: Named, body: shapes.ScheduleBody) -> Answer:
    """Make a schedule, or make it so. Overrides without an id get one."""
    schedule, define = await _defining(change, name, body)
    organization, headers = await change.run(define)
    return Answer(view(organization.schedules[schedule]), headers=headers)


@router.post(
    "",
    status_code=201,
    dependencies=[nothing_else(shapes.ScheduleBody)],
    responses={**shows(Schedule, 201), **STALE, **TAKEN},
)
async def post_schedule(change: Changing, body: shapes.ScheduleBody) -> Answer:
    """Make a new schedule: 201."""
    schedule, define = await _defining(change, required("name", body.name), body)
    organization, headers = await change.create(define, lambda now: schedule in now.schedules)
    return Answer(view(organization.schedules[schedule]), 201, headers)


@router.delete("/{name}", status_code=204, response_class=Response, responses={**REMOVED, **STALE, **USED})
async def delete_schedule(change: Changing, name: Named) -> Response:
    """Remove a schedule that no team, rule or policy names."""
    return await change.remove(lambda now, request: decisions.remove_schedule(now, request, name))


@router.post("/{name}/overrides", status_code=201, responses={**shows(Override, 201), **STALE})
async def post_override(change: Changing, name: Named, body: shapes.OverrideBody) -> Answer:
    """Put somebody, or with null nobody, on call for a span of time, whatever the layers say: 201."""
    id = await change.new_id()
    override = made(Override, {**body.model_dump(), "id": id})
    people = await change.people()

    def decide(now: Organization, request: Request) -> decisions.Events:
        known = now.schedules[name].overrides if name in now.schedules else ()
        if any(old.id == id and old != override for old in known):
            raise IdempotencyKeyReused("This Idempotency-Key made another override.")
        return decisions.add_override(now, request, name, override, people)

    _, headers = await change.run(decide)
    return Answer(override.model_dump(mode="json"), 201, headers)


@router.delete("/{name}/overrides/{id}", status_code=204, response_class=Response, responses={**REMOVED, **STALE})
async def delete_override(change: Changing, name: Named, id: UUID) -> Response:
    """Take an override back."""
    return await change.remove(lambda now, request: decisions.remove_override(now, request, name, id))


@router.get("/{name}/on-call", responses=shows(shapes.OnCallBySchedule))
async def get_on_call(look: Look, name: Named) -> Answer:
    """Who is on call, until when, and what every layer says; with `at` then, by the definition of then."""
    organization = await look.organization()
    schedule, at = find(organization, name), look.at or datetime.now(UTC)
    standing = layers_at(schedule, at)
    [shown] = await on_call_view(look, [schedule], at)
    said = [each._asdict() for each in standing]
    return look.answer(organization, {**shown, "at": rfc3339(at), "standing": said})


@router.get("/{name}/shifts", responses=shows(shapes.Shifts))
async def get_shifts(look: Look, name: Named, from_: From = None, to: Moment | None = None) -> Answer:
    """Who is on call when, gaps included: the next 30 days, or from `from` to `to`, at most 366 days.

    With `at`, by the definition as it stood then.
    """
    organization = await look.organization()
    schedule = find(organization, name)
    start = served("from", moment("from", from_) or datetime.now(UTC))
    to_ = moment("to", to)
    end = served("to", to_) if to_ else served("from", start + timedelta(days=DEFAULT_LOOK_DAYS))
    if end <= start:
        raise InvalidField("to", "Is not after from.")
    if end - start > timedelta(days=LONGEST_LOOK_DAYS):
        raise InvalidField("to", f"Is more than {LONGEST_LOOK_DAYS} days after from.")
    found = await asyncio.to_thread(shifts, schedule, start, end)
    items = [{"start": rfc3339(s.start), "end": rfc3339(s.end), "person": s.person} for s in found]
    people = await look.names(shift.person for shift in found)
    return look.answer(organization, {"schedule": schedule.name, "items": items, "people": people})


def find(organization: Organization, name: str) -> Schedule:
    """Raises NotDefined."""
    if name not in organization.schedules:
        raise NotDefined(f"There is no schedule “{name}”.")
    return organization.schedules[name]


def view(schedule: Schedule) -> dict[str, Any]:
    return schedule.model_dump(mode="json")


async def _defining(change: Change, name: str, body: shapes.ScheduleBody) -> tuple[str, Decide]:
    schedule, people = named(Schedule, name, body), await change.people()
    return schedule.name, lambda now, request: decisions.define_schedule(now, request, schedule, people, new_id)
