"""Why the figures of one incident are what they are."""

from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter

from api.analytics_shapes import IncidentFigures
from api.moments import Moment, past
from api.reads import R, entries_of
from api.shapes import PROBLEMS, shows
from api.views import Answer
from domain.reasons import Reason, explain
from domain.words import rfc3339

router = APIRouter(prefix="/api/v1/incidents", tags=["incidents"], responses=PROBLEMS)


@router.get("/{id}/figures", responses=shows(IncidentFigures))
async def get_figures(read: R, id: str, as_of: Moment | None = None) -> Answer:
    """Its time to acknowledge, to resolve and to the first resolve, its reopenings and its response target: of
    each the rule, the result and the events it follows from. as_of: by what was recorded until then."""
    then = past("as_of", as_of)
    _, entries = await entries_of(read, id, then)
    incident, figures = explain(entries, then or datetime.now(UTC))
    return read.answer(
        {
            "id": incident.id,
            "number": f"INC-{incident.number}",
            "counted": incident.merged_into is None,
            "response_target_s": incident.response_target_s,
            "figures": {name: _view(reason) for name, reason in figures.items()},
        }
    )


def _view(reason: Reason) -> dict[str, Any]:
    events = [
        {
            "position": entry.position,
            "type": entry.type,
            "occurred_at": rfc3339(entry.event.occurred_at),
            "recorded_at": rfc3339(entry.recorded_at),
        }
        for entry in reason.events
    ]
    return {"rule": reason.rule, "result": reason.result, "events": events}
