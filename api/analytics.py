"""The figures over HTTP."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query

from api import schemas
from api.moments import Moment, moment, zone
from api.reads import R, Words, known, none, split
from api.shapes import PROBLEMS, Summary, shows
from api.views import Answer
from domain.errors import InvalidField
from domain.words import CATEGORIES, SEVERITIES, rfc3339
from projections import figures

router = APIRouter(prefix="/api/v1/analytics", tags=["analytics"], responses=PROBLEMS)


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
    where = zone(tz)
    now = datetime.now(UTC)
    cohort = figures.Cohort(
        organization_id=read.organization_id,
        start=moment("from", from_, where),
        end=moment("to", to, where),
        severities=known("severity", split(severity), SEVERITIES),
        categories=[none(word) for word in known("category", split(category), (*CATEGORIES, "none"))],
        teams=[none(word) for word in team],
    )
    async with read.services.readers.of(read.organization_id) as connection, connection.transaction():
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
