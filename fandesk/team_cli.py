"""`fandesk team`: the teams of an organisation, for first set-up."""

import json
from typing import Annotated, Any
from uuid import UUID

import typer

from domain import organization_decisions as decisions
from domain.organization import Team
from fandesk.options import Data, Json, Organization
from fandesk.organizing import opened

team_app = typer.Typer(no_args_is_help=True, help="Teams.")

Name = Annotated[str, typer.Argument(help="The team's name.")]


@team_app.command(name="set")
def set_team(
    name: Name,
    member: Annotated[
        list[str] | None, typer.Option(help="An e-mail address, a name or an id; repeat it.")
    ] = None,
    schedule: Annotated[str | None, typer.Option(help="The schedule that says who is on call for it.")] = None,
    policy: Annotated[str | None, typer.Option(help="The escalation policy of its incidents.")] = None,
    organization: Organization = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Make a team, or make it so: what is not named it does not have."""
    if not 1 <= len(name.strip()) <= 100:
        raise typer.BadParameter("must have 1 to 100 characters", param_hint="NAME")
    with opened(data, organization) as place:
        team = Team(name.strip(), tuple(place.person(said).id for said in member or ()), schedule, policy)
        roles, names = place.roles(), place.names()
        now = place.change(lambda now, request: decisions.define_team(now, request, team, roles))
        made = now.teams[team.name]
    typer.echo(json.dumps(_shown(made, names)) if as_json else _line(made, names))


@team_app.command(name="list")
def list_teams(organization: Organization = None, data: Data = None, as_json: Json = False) -> None:
    """All teams."""
    with opened(data, organization) as place:
        teams, names = sorted(place.organization().teams.values(), key=lambda team: team.name), place.names()
    if as_json:
        typer.echo(json.dumps({"teams": [_shown(team, names) for team in teams]}))
        return
    for team in teams:
        typer.echo(_line(team, names))
    if not teams:
        typer.echo("There are no teams.")


@team_app.command()
def remove(name: Name, organization: Organization = None, data: Data = None, as_json: Json = False) -> None:
    """Remove a team that nothing names any more."""
    with opened(data, organization) as place:
        place.change(lambda now, request: decisions.remove_team(now, request, name))
    typer.echo(json.dumps({"removed": name}) if as_json else f"{name} is no team any more.")


def _shown(team: Team, names: dict[UUID, str]) -> dict[str, Any]:
    members = [{"id": str(id), "name": names.get(id)} for id in team.members]
    return {"name": team.name, "members": members, "schedule": team.schedule, "policy": team.policy}


def _line(team: Team, names: dict[UUID, str]) -> str:
    members = ", ".join(names.get(id, str(id)) for id in team.members) or "nobody"
    return f"{team.name}: {members}; schedule {team.schedule or 'none'}, policy {team.policy or 'none'}"
