"""Teams: who owns incidents together, who is on call for them, and how they escalate."""

from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from api import setting_shapes as shapes
from api.bodies import required
from api.settings import REMOVED, STALE, TAKEN, USED, Change, Changing, Decide, Look, Named
from api.shapes import PROBLEMS, shows
from api.views import Answer
from domain import organization_decisions as decisions
from domain.errors import InvalidField, NotDefined
from domain.organization import Team

router = APIRouter(prefix="/api/v1/teams", tags=["teams"], responses=PROBLEMS)


@router.get("", responses=shows(shapes.Teams))
async def list_teams(look: Look) -> Answer:
    """All teams, by name; with `at` as they stood then."""
    organization = await look.organization()
    teams = [organization.teams[name] for name in sorted(organization.teams)]
    people = await look.names(person for team in teams for person in team.members)
    return look.answer(organization, {"items": [_view(team) for team in teams], "people": people})


@router.get("/{name}", responses=shows(shapes.Team))
async def get_team(look: Look, name: Named) -> Answer:
    """One team; with `at` as it stood then."""
    organization = await look.organization()
    if name not in organization.teams:
        raise NotDefined(f"There is no team “{name}”.")
    return look.answer(organization, _view(organization.teams[name]))


@router.put("/{name}", responses={**shows(shapes.Team), **STALE})
async def put_team(change: Changing, name: Named, body: shapes.TeamBody) -> Answer:
    """Make a team, or make it so. Members have to be people who see incidents."""
    if body.name is not None and body.name != name:
        raise InvalidField("name", "Is not the one in the address; a team cannot be renamed.")
    team, define = await _defining(change, name, body)
    organization, headers = await change.run(define)
    return Answer(_view(organization.teams[team]), headers=headers)


@router.post("", status_code=201, responses={**shows(shapes.Team, 201), **STALE, **TAKEN})
async def post_team(change: Changing, body: shapes.TeamBody) -> Answer:
    """Make a new team: 201."""
    team, define = await _defining(change, required("name", body.name), body)
    organization, headers = await change.create(define, lambda now: team in now.teams)
    return Answer(_view(organization.teams[team]), 201, headers)


@router.delete("/{name}", status_code=204, response_class=Response, responses={**REMOVED, **STALE, **USED})
async def delete_team(change: Changing, name: Named) -> Response:
    """Remove a team that no rule, default or policy names. Incidents keep its name."""
    return await change.remove(lambda now, request: decisions.remove_team(now, request, name))


async def _defining(change: Change, name: str, body: shapes.TeamBody) -> tuple[str, Decide]:
    people = await change.people()
    team = Team(name, tuple(body.members), body.schedule, body.policy)
    return name, lambda now, request: decisions.define_team(now, request, team, people)


def _view(team: Team) -> dict[str, Any]:
    return {"name": team.name, "members": team.members, "schedule": team.schedule, "policy": team.policy}
