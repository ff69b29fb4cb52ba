"""The ledger over HTTP: live streams of Server-Sent Events, and pages of entries."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.responses import StreamingResponse

from api.call import caller, services, still
from api.directory import Caller
from api.problems import Forbidden, NotThere, Unauthorized
from api.reads import Limit, R, ledger_page
from api.services import Services
from api.shapes import PROBLEMS, LedgerPage, shows
from api.views import Answer
from domain.errors import IncidentNotFound, InvalidField
from projections import ledger

router = APIRouter(prefix="/api/v1", tags=["ledger"], responses=PROBLEMS)

S = Annotated[Services, Depends(services)]
C = Annotated[Caller, Depends(caller)]
LastId = Annotated[str | None, Header(alias="Last-Event-ID", max_length=30)]
Position = Annotated[int, Query(ge=0, lt=2**62)]


@router.get("/stream")
async def stream(
    request: Request, services: S, caller: C, last_event_id: LastId = None, after: Position | None = None
) -> StreamingResponse:
    """Every event of the organisation as it is recorded, `id:` its position. Resumes after Last-Event-ID (or
    `after`), else begins with what comes next. Ends when whoever asked may not see them any more."""
    last = _last(last_event_id, after)
    return _sse(services.tail.stream(caller.organization_id, None, last, _allowed(request, caller)))


@router.get("/incidents/{id}/stream")
async def incident_stream(
    request: Request,
    services: S,
    caller: C,
    id: str,
    last_event_id: LastId = None,
    after: Position | None = None,
) -> StreamingResponse:
    """The same for one incident."""
    incident_id: UUID = await services.incident_id(caller.organization_id, id)
    async with services.readers.of(caller.organization_id) as connection:
        if not await ledger.after(connection, caller.organization_id, 0, incident_id=incident_id, limit=1):
            raise IncidentNotFound("There is no such incident.")
    last = _last(last_event_id, after)
    return _sse(services.tail.stream(caller.organization_id, incident_id, last, _allowed(request, caller)))


@router.get("/ledger/events", responses=shows(LedgerPage))
async def ledger_events(read: R, after: Position = 0, limit: Limit = 50) -> Answer:
    """The organisation's entries after a position, as they were written; go on after the last one's position."""
    return await ledger_page(read, after, limit)


def _allowed(request: Request, began: Caller) -> Callable[[], Awaitable[bool]]:
    """Asks anew who sent the request, by the same token or session, and whether that is in the same organisation
    and may what it takes."""

    async def allowed() -> bool:
        try:
            return (await still(request)).organization_id == began.organization_id
        except (Unauthorized, Forbidden, NotThere):
            return False

    return allowed


def _sse(messages: AsyncIterator[bytes]) -> StreamingResponse:
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(messages, media_type="text/event-stream", headers=headers)


def _last(last_event_id: str | None, after: int | None) -> int | None:
    if last_event_id is None or not last_event_id.strip():
        return after
    if not (last_event_id.isascii() and last_event_id.isdigit() and len(last_event_id) < 19):
        raise InvalidField("Last-Event-ID", "Must be a ledger position.")
    return int(last_event_id)
