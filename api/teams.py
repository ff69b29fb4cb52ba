"""Teams: who owns incidents together, who is on call for them, and how they escalate."""

from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from api import setting_shapes as shapes
from api.settings import REMOVED, STALE, USED, Changing, Look, Named
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
    if body.name is not None and body.name != name.strip():
        raise InvalidField("name", "Is not the one in the address; a team cannot be renamed.")
    people = await change.people()
    team = Team(name.strip(), tuple(body.members), body.schedule, body.policy)
    organization, headers = await change.run(
        lambda now, request: decisions.define_team(now, request, team, people)
    )
    return Answer(_view(organization.teams[team.name]), headers=headers)


@router.delete("/{name}", status_code=204, response_class=Response, responses={**REMOVED, **STALE, **USED})
async def delete_team(change: Changing, name: Named) -> Response:
    """Remove a team that no rule, default or policy names. Incidents keep its name."""
    return await change.remove(lambda now, request: decisions.remove_team(now, request, name))


def _view(team: Team) -> dict[str, Any]:
    return {"name": team.name, "members": team.members, "schedule": team.schedule, "policy": team.policy}
