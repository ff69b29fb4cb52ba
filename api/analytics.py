"""The figures over HTTP."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from fastapi import APIRouter, Query

from api import schemas
from api.reads import R, Words, known, split
from api.shapes import PROBLEMS, Summary, shows
from api.views import Answer
from domain.errors import InvalidField
from domain.words import CATEGORIES, SEVERITIES, rfc3339
from projections import figures

router = APIRouter(prefix="/api/v1/analytics", tags=["analytics"], responses=PROBLEMS)

Moment = Annotated[schemas.Text, Query(max_length=40)]


@router.get("/summary", responses=shows(Summary))
async def summary(
    read: R,
    from_: Annotated[Moment | None, Query(alias="from")] = None,
    to: Moment | None = None,
    tz: Annotated[schemas.Text, Query(max_length=60)] = "UTC",
    group_by: Annotated[schemas.Text, Query(max_length=220)] = "none",
    severity: Words = [],  # noqa: B006
    category: Words = [],  # noqa: B006
    team: Words = [],  # noqa: B006
) -> Answer:
    """Figures of the incidents triggered in [from, to), by group and overall. `from` and `to` are RFC 3339
    times, or dates, which begin at midnight in `tz`. group_by: severity, category, team, responder,
    label:NAME or none."""
    if group_by not in ("none", *figures.GROUPS) and not group_by.startswith("label:"):
        allowed = ", ".join((*figures.GROUPS, "label:NAME", "none"))
        raise InvalidField("group_by", f"Must be one of {allowed}.")
    zone = _zone(tz)
    now = datetime.now(UTC)
    cohort = figures.Cohort(
        organization_id=read.organization_id,
        start=_moment("from", from_, zone),
        end=_moment("to", to, zone),
        severities=known("severity", split(severity), SEVERITIES),
        categories=known("category", split(category), CATEGORIES),
        teams=split(team),
    )
    async with read.services.pool.connection() as connection, connection.transaction():
        await connection.execute("set transaction isolation level repeatable read, read only")
        (overall,) = await figures.summary(connection, cohort, group_by="none", now=now)
        groups = (
            await figures.summary(connection, cohort, group_by=group_by, now=now)
            if group_by != "none"
            else [overall]
        )
    return read.answer(
        {
            "from": rfc3339(cohort.start) if cohort.start else None,
            "to": rfc3339(cohort.end) if cohort.end else None,
            "tz": tz,
            "group_by": group_by,
            "groups": groups,
            "overall": overall,
        }
    )


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InvalidField("tz", "Must be a time zone's name, like Europe/Berlin.") from None


def _moment(field: str, text: str | None, zone: ZoneInfo) -> datetime | None:
    if text is None:
        return None
    try:
        if len(text) == len("2026-01-31"):
            at = datetime.combine(date.fromisoformat(text), time(), zone)
        else:
            at = datetime.fromisoformat(text.replace(" ", "+"))
    except ValueError:
        raise InvalidField(field, "Must be an RFC 3339 time or a date.") from None
    at = at if at.tzinfo else at.replace(tzinfo=zone)
    if not 1 < at.year < 9999 or abs(at.utcoffset() or timedelta()) >= timedelta(days=1):
        raise InvalidField(field, "Is out of range.")
    return at.astimezone(UTC)
