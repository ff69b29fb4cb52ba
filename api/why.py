"""Why an incident went where it went: the rule, the schedule, the policy, who was on call and who could see it."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from fastapi import APIRouter

from api import why_shapes as shapes
from api.reads import history
from api.settings import Look
from api.shapes import PROBLEMS, shows
from api.views import Answer
from domain import events as e
from domain.access import SEES_INCIDENTS
from domain.errors import IncidentNotFound
from domain.escalating import policy_for, schedule_for
from domain.incident import Incident, fold
from domain.oncall import on_call_at
from domain.organization import Organization
from domain.organization_events import Role
from domain.recorded import Recorded
from domain.routing import Rule
from domain.words import rfc3339

router = APIRouter(prefix="/api/v1/incidents", tags=["incidents"], responses=PROBLEMS)


@router.get("/{id}/why", responses=shows(shapes.Why))
async def get_why(look: Look, id: str) -> Answer:
    """Which rule chose its team and why, which schedule and policy applied, who was on call and who could see it:
    when it was triggered, or with `at` then. All from the ledger, by what was recorded until that time."""
    incident_id = await look.services.incident_id(look.caller.organization_id, id)
    entries = await _entries(look, incident_id)
    at = look.at or entries[0].recorded_at
    incident = fold(incident_id, (entry.event for entry in entries))
    assert incident is not None
    chosen = next((n for n in reversed(entries) if isinstance(n.event, e.TeamAssigned)), None)
    organization = await look.as_of(at)
    routed_by = await look.as_of(chosen.recorded_at) if chosen is not None else organization
    rule = _rule(routed_by, chosen)
    schedule = schedule_for(organization, rule, incident.team)
    policy = policy_for(organization, rule, incident.team, incident.severity)
    on_call = on_call_at(organization.schedules[schedule], at) if schedule is not None else None
    since = await _on_record_since(look)
    seeing = await _seeing(look, organization, at) if since is not None and since <= at else None
    names = await look.names({incident.assignee, on_call, *(seeing or ())})
    return look.answer(
        organization,
        {
            "incident": {"id": incident.id, "number": f"INC-{incident.number}"},
            "at": rfc3339(at),
            "severity": incident.severity,
            "category": incident.category,
            "status": incident.status,
            "team": incident.team,
            "because": _because(incident, chosen),
            "rule": _rule_view(routed_by, rule),
            "schedule": schedule,
            "on_call": _somebody(on_call, names),
            "assignee": _somebody(incident.assignee, names),
            "policy": policy.model_dump(mode="json") if policy else None,
            "maintenance": incident.maintenance,
            "could_see": None
            if seeing is None
            else [{"id": person, "name": names.get(str(person)), "role": role} for person, role in seeing.items()],
            "on_record_since": rfc3339(since) if since is not None else None,
        },
    )


async def _entries(look: Look, incident_id: UUID) -> Sequence[Recorded]:
    """What was recorded of it by then; without a time, what the request that triggered it led to.

    Raises IncidentNotFound.
    """
    entries = await history(look.services, look.caller.organization_id, incident_id)
    if not entries:
        raise IncidentNotFound("There is no such incident.")
    known = [entry for entry in entries if _counts(entry, entries[0], look.at)]
    if not known:
        raise IncidentNotFound("There was no such incident then.")
    return known


async def _on_record_since(look: Look) -> datetime | None:
    """When the organisation's first role was put on record."""
    async with look.services.pool.connection() as connection:
        row = await (await connection.execute(_FIRST_ROLE, (look.caller.organization_id,))).fetchone()
    return row[0] if row is not None else None


async def _seeing(look: Look, organization: Organization, at: datetime) -> dict[UUID, Role]:
    """Who sees the organisation's incidents: its own people, and super admins wherever they belong."""
    async with look.services.pool.connection() as connection:
        rows = await (await connection.execute(_WITH_SUPER_ADMINS, (organization.id,))).fetchall()
    seeing = {person: role for person, role in organization.roles.items() if role in SEES_INCIDENTS}
    for (id,) in rows:
        others = await asyncio.to_thread(look.services.executor.organizations.as_of, id, at)
        seeing |= {person: role for person, role in others.roles.items() if role == "super_admin"}
    return seeing


def _counts(entry: Recorded, first: Recorded, at: datetime | None) -> bool:
    if at is None:
        return entry.event.causation_id == first.event.causation_id
    return entry.recorded_at <= at


def _rule(organization: Organization, chosen: Recorded | None) -> Rule | None:
    """The rule that chose the team, as it was when it did."""
    if chosen is None or not isinstance(chosen.event, e.TeamAssigned) or chosen.event.rule is None:
        return None
    return next((rule for rule in organization.rules if rule.id == chosen.event.rule), None)


def _rule_view(organization: Organization, rule: Rule | None) -> dict[str, Any] | None:
    if rule is None:
        return None
    return {"number": organization.rules.index(rule) + 1, **rule.model_dump(mode="json")}


def _because(incident: Incident, chosen: Recorded | None) -> str:
    if chosen is not None and isinstance(chosen.event, e.TeamAssigned):
        return chosen.event.because or "assigned by hand"
    if incident.team is not None:
        return "named by who opened it"
    return "no rule held, and the organisation had no default team"


def _somebody(id: UUID | None, names: dict[str, str]) -> dict[str, Any] | None:
    return None if id is None else {"id": id, "name": names.get(str(id))}


_FIRST_ROLE = """
    select min(recorded_at) from ledger.events
     where originator_id = %s and split_part(topic, '/', 1) = 'RoleGranted'"""
_WITH_SUPER_ADMINS = """
    select o.id from access.organizations o
     where o.id <> %s and exists (
           select from ledger.events e where e.originator_id = o.id and split_part(e.topic, '/', 1) = 'RoleGranted'
              and convert_from(e.state, 'UTF8') ~ '"role":"super_admin"')"""
