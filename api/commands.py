"""Commands to incidents: each answers with the incident as it then stands."""

from typing import Annotated

from fastapi import APIRouter, Body, Depends

from api import schemas
from api.call import Call, call
from api.shapes import CONFLICTS, PROBLEMS, Incident, shows
from api.views import Answer
from commands import incident as c
from commands.ids import new_id
from domain.errors import IncidentNotFound, InvalidField

router = APIRouter(
    prefix="/api/v1/incidents", tags=["commands"], responses={**PROBLEMS, **CONFLICTS, **shows(Incident)}
)

A = Annotated[Call, Depends(call)]


@router.post("", status_code=201, responses=shows(Incident, 201))
async def trigger(this: A, body: schemas.TriggerBody) -> Answer:
    """Open an incident: 201. Where an open one has the same dedup_key, that one counts one more alert: 200."""
    fields = body.model_dump(exclude={"occurred_at"})
    return await this.run(
        c.Trigger(
            request=this.request(body.occurred_at),
            incident_id=new_id(),
            idempotency=await this.idempotency(),
            **fields,
        )
    )


@router.post("/{id}/acknowledge")
async def acknowledge(this: A, id: str, body: Annotated[schemas.NoteBody | None, Body()] = None) -> Answer:
    """Take it on; stops the clock of the time to acknowledge. 409 unless it is triggered."""
    body = body or schemas.NoteBody()
    return await this.run(c.Acknowledge(**await this.base(id, body.occurred_at), note=body.note))


@router.post("/{id}/investigate")
async def investigate(this: A, id: str, body: Annotated[schemas.NoteBody | None, Body()] = None) -> Answer:
    """Start work; from triggered this acknowledges too. 409 unless it is triggered or acknowledged."""
    body = body or schemas.NoteBody()
    return await this.run(c.Investigate(**await this.base(id, body.occurred_at), note=body.note))


@router.post("/{id}/resolve")
async def resolve(this: A, id: str, body: Annotated[schemas.NoteBody | None, Body()] = None) -> Answer:
    """Declare it over. 409 unless it is open."""
    body = body or schemas.NoteBody()
    return await this.run(c.Resolve(**await this.base(id, body.occurred_at), note=body.note))


@router.post("/{id}/reopen")
async def reopen(this: A, id: str, body: schemas.ReopenBody) -> Answer:
    """Declare that it is not over after all. 409 unless it is resolved or in its postmortem."""
    return await this.run(c.Reopen(**await this.base(id, body.occurred_at), reason=body.reason))


@router.post("/{id}/updates")
async def post_update(this: A, id: str, body: schemas.UpdateBody) -> Answer:
    """Say something on its timeline."""
    return await this.run(c.PostUpdate(**await this.base(id, body.occurred_at), body=body.body))


@router.post("/{id}/severity")
async def change_severity(this: A, id: str, body: schemas.SeverityBody) -> Answer:
    """Set its severity, and with it the response target."""
    base = await this.base(id, body.occurred_at)
    return await this.run(c.ChangeSeverity(**base, severity=body.severity, reason=body.reason))


@router.post("/{id}/category")
async def change_category(this: A, id: str, body: schemas.CategoryBody) -> Answer:
    """Set its category; null is unclassified."""
    return await this.run(c.ChangeCategory(**await this.base(id, body.occurred_at), category=body.category))


@router.post("/{id}/assign")
async def assign(this: A, id: str, body: schemas.AssignBody) -> Answer:
    """Set who leads it (`person`) or which team owns it (`team`); null takes that away."""
    given = body.model_fields_set & {"person", "team"}
    if len(given) != 1:
        raise InvalidField("person", "Name exactly one of person and team.")
    base = await this.base(id, body.occurred_at)
    if "team" in given:
        return await this.run(c.AssignTeam(**base, team=body.team))
    directory, organization_id = this.services.directory, this.caller.organization_id
    if body.person is not None and not await directory.person_exists(organization_id, body.person):
        raise InvalidField("person", "There is no such person in this organisation.")
    return await this.run(c.AssignResponder(**base, person_id=body.person))


@router.post("/{id}/merge")
async def merge(this: A, id: str, body: schemas.MergeBody) -> Answer:
    """Declare it the same as another (`into`: its id or number), which goes on in its place."""
    base = await this.base(id, body.occurred_at)
    try:
        into = await this.services.incident_id(this.caller.organization_id, body.into)
    except IncidentNotFound as missing:
        raise InvalidField("into", missing.detail) from missing
    return await this.run(c.Merge(**base, into=into))


@router.post("/{id}/correct")
async def correct(this: A, id: str, body: schemas.CorrectBody) -> Answer:
    """Put right what was written down wrongly; times too, and every figure follows at once."""
    fields = body.model_dump(exclude={"occurred_at"})
    if body.model_fields_set <= {"occurred_at", "reason"}:
        raise InvalidField("title", "Name at least one thing to correct.")
    return await this.run(c.Correct(**await this.base(id, body.occurred_at), **fields))
