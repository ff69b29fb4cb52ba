"""Who is on call, by every schedule."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from fastapi import APIRouter

from api import setting_shapes as shapes
from api.settings import Look, Looking
from api.shapes import PROBLEMS, shows
from api.views import Answer
from domain.oncall import Schedule
from domain.shifts import LONGEST_LOOK_DAYS, on_call_until
from domain.words import rfc3339

router = APIRouter(prefix="/api/v1/on-call", tags=["on-call"], responses=PROBLEMS)


@router.get("", responses=shows(shapes.OnCallNow))
async def get_all_on_call(look: Look) -> Answer:
    """Who is on call by each schedule, and until when; with `at` then, by the definitions of then."""
    organization, at = await look.organization(), look.at or datetime.now(UTC)
    found = [organization.schedules[name] for name in sorted(organization.schedules)]
    return look.answer(organization, {"at": rfc3339(at), "items": await on_call_view(look, found, at)})


async def on_call_view(look: Looking, schedules: Sequence[Schedule], at: datetime) -> list[dict[str, Any]]:
    """Who is on call by each of them. until: null where it is for longer than a year."""
    found = await asyncio.to_thread(lambda: [on_call_until(schedule, at) for schedule in schedules])
    names = await look.names(shift.person for shift in found)
    ever = at + timedelta(days=LONGEST_LOOK_DAYS)
    return [
        {
            "schedule": schedule.name,
            "person": {"id": shift.person, "name": names.get(str(shift.person))} if shift.person else None,
            "until": rfc3339(shift.end) if shift.end < ever else None,
        }
        for schedule, shift in zip(schedules, found, strict=True)
    ]
