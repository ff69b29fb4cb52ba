"""Commands to incidents: each answers with the incident as it then stands."""

from typing import Annotated

from fastapi import APIRouter, Body, Depends

from api import schemas
from api.call import Call
from api.shapes import CONFLICTS, PROBLEMS, Incident, shows
from api.views import Answer
from commands import incident as c
from commands.ids import new_id
from domain.errors import IncidentNotFound, InvalidField

router = APIRouter(
    prefix="/api/v1/incidents", tags=["commands"], responses={**PROBLEMS, **CONFLICTS, **shows(Incident)}
)

A = Annotated[Call, Depends()]


@router.post("", status_code=201, responses=shows(Incident, 201))
async def trigger(call: A, body: schemas.TriggerBody) -> Answer:
    """Open an incident: 201. Where an open one has the same dedup_key, that one counts one more alert: 200."""
    fields = body.model_dump(exclude={"occurred_at"})
    return await call.run(
        c.Trigger(
            request=call.request(body.occurred_at),
            incident_id=new_id(),
            idempotency=await call.idempotency(),
            **fields,
        )
    )


@router.post("/{id}/acknowledge")
async def acknowledge(call: A, id: str, body: Annotated[schemas.NoteBody | None, Body()] = None) -> Answer:
    """Take it on; stops the clock of the time to acknowledge. 409 unless it is triggered."""
    body = body or schemas.NoteBody()
    return await call.run(c.Acknowledge(**await call.base(id, body.occurred_at), note=body.note))


@router.post("/{id}/investigate")
async def investigate(call: A, id: str, body: Annotated[schemas.NoteBody | None, Body()] = None) -> Answer:
    """Start work; from triggered this acknowledges too. 409 unless it is triggered or acknowledged."""
    body = body or schemas.NoteBody()
    return await call.run(c.Investigate(**await call.base(id, body.occurred_at), note=body.note))


@router.post("/{id}/resolve")
async def resolve(call: A, id: str, body: Annotated[schemas.NoteBody | None, Body()] = None) -> Answer:
    """Declare it over. 409 unless it is open."""
    body = body or schemas.NoteBody()
    return await call.run(c.Resolve(**await call.base(id, body.occurred_at), note=body.note))


@router.post("/{id}/reopen")
async def reopen(call: A, id: str, body: schemas.ReopenBody) -> Answer:
    """Declare that it is not over after all. 409 unless it is resolved or in its postmortem."""
    return await call.run(c.Reopen(**await call.base(id, body.occurred_at), reason=body.reason))


@router.post("/{id}/updates")
async def post_update(call: A, id: str, body: schemas.UpdateBody) -> Answer:
    """Say something on its timeline."""
    return await call.run(c.PostUpdate(**await call.base(id, body.occurred_at), body=body.body))


@router.post("/{id}/severity")
async def change_severity(call: A, id: str, body: schemas.SeverityBody) -> Answer:
    """Set its severity, and with it the response target."""
    base = await call.base(id, body.occurred_at)
    return await call.run(c.ChangeSeverity(**base, severity=body.severity, reason=body.reason))


@router.post("/{id}/category")
async def change_category(call: A, id: str, body: schemas.CategoryBody) -> Answer:
    """Set its category; null is unclassified."""
    return await call.run(c.ChangeCategory(**await call.base(id, body.occurred_at), category=body.category))


@router.post("/{id}/assign")
async def assign(call: A, id: str, body: schemas.AssignBody) -> Answer:
    """Set who leads it (`person`) or which team owns it (`team`); null takes that away."""
    given = body.model_fields_set & {"person", "team"}
    if len(given) != 1:
        raise InvalidField("person", "Name exactly one of person and team.")
    base = await call.base(id, body.occurred_at)
    if "team" in given:
        return await call.run(c.AssignTeam(**base, team=body.team))
    directory, organization_id = call.services.directory, call.caller.organization_id
    if body.person is not None and not await directory.person_exists(organization_id, body.person):
        raise InvalidField("person", "There is no such person in this organisation.")
    return await call.run(c.AssignResponder(**base, person_id=body.person))


@router.post("/{id}/merge")
async def merge(call: A, id: str, body: schemas.MergeBody) -> Answer:
    """Declare it the same as another (`into`: its id or number), which goes on in its place."""
    base = await call.base(id, body.occurred_at)
    try:
        into = await call.services.incident_id(call.caller.organization_id, body.into)
    except IncidentNotFound as missing:
        raise InvalidField("into", missing.detail) from missing
    return await call.run(c.Merge(**base, into=into))


@router.post("/{id}/correct")
async def correct(call: A, id: str, body: schemas.CorrectBody) -> Answer:
    """Put right what was written down wrongly; times too, and every figure follows at once."""
    fields = body.model_dump(exclude={"occurred_at"})
    if body.model_fields_set <= {"occurred_at", "reason"}:
        raise InvalidField("title", "Name at least one thing to correct.")
    return await call.run(c.Correct(**await call.base(id, body.occurred_at), **fields))
