"""Every route of the application, and the power that it needs. A route without a rule here does not start."""

from collections.abc import Iterator
from typing import Literal

from fastapi import FastAPI, Request
from fastapi.routing import iter_route_contexts

from domain.access import Power

Rule = Literal["open"] | Power
"""open: nobody has to say who they are (or says it otherwise: by a key, a signature, a password)."""

RULES: dict[str, Rule] = {
    "GET /healthz": "open",
    "GET /readyz": "open",
    "GET /metrics": "open",
    "GET /openapi.json": "open",
    "GET /webhooks/whatsapp": "open",
    "POST /webhooks/whatsapp": "open",
    "POST /api/v1/integrations/{key}/alertmanager": "open",
    "POST /api/v1/integrations/{key}/grafana": "open",
    "GET /feeds/{key}.ics": "open",
    # signing in, and what is one's own
    "POST /auth/sign-in": "open",
    "POST /auth/sign-out": "open",
    "GET /auth/link/{secret}": "open",
    "POST /auth/link/{secret}": "open",
    "GET /auth/oidc": "open",
    "GET /auth/oidc/callback": "open",
    "GET /auth/session": "self",
    "POST /auth/password": "self",
    "GET /auth/sessions": "self",
    "DELETE /auth/sessions/{id}": "self",
    "GET /api/v1/me": "self",
    "PATCH /api/v1/me": "self",
    "POST /api/v1/me/whatsapp/confirm": "self",
    "GET /api/v1/me/quiet-hours": "self",
    "PUT /api/v1/me/quiet-hours": "self",
    "DELETE /api/v1/me/quiet-hours": "self",
    "GET /api/v1/calendar-feeds": "self",
    "POST /api/v1/calendar-feeds": "self",
    "DELETE /api/v1/calendar-feeds/{id}": "self",
    "GET /api/v1/tokens": "self",
    "POST /api/v1/tokens": "self",
    "DELETE /api/v1/tokens/{id}": "self",
    # people and the organisation
    "GET /api/v1/people": "read",
    "GET /api/v1/people/{id}": "read",
    "POST /api/v1/people": "manage",
    "PATCH /api/v1/people/{id}": "manage",
    "DELETE /api/v1/people/{id}": "manage",
    "POST /api/v1/people/{id}/role": "manage",
    "POST /api/v1/people/{id}/erase": "manage",
    "POST /api/v1/people/{id}/sign-in-link": "manage",
    "GET /api/v1/people/{id}/sessions": "manage",
    "DELETE /api/v1/people/{id}/sessions": "manage",
    "GET /api/v1/organization": "read",
    "PATCH /api/v1/organization": "manage",
    "GET /api/v1/organizations": "install",
    "POST /api/v1/organizations": "install",
    "POST /api/v1/integrations": "manage",
    "GET /api/v1/notifications/recipients": "read",
    "POST /api/v1/notifications/recipients": "manage",
    "GET /api/v1/notifications/recipients/{id}": "read",
    "PATCH /api/v1/notifications/recipients/{id}": "manage",
    "DELETE /api/v1/notifications/recipients/{id}": "manage",
    # teams, routing, on-call, escalation
    "GET /api/v1/organization/events": "manage",
    "GET /api/v1/organization/response-targets": "read",
    "PUT /api/v1/organization/response-targets": "manage",
    "DELETE /api/v1/organization/response-targets": "manage",
    "GET /api/v1/teams": "read",
    "POST /api/v1/teams": "manage",
    "GET /api/v1/teams/{name}": "read",
    "PUT /api/v1/teams/{name}": "manage",
    "DELETE /api/v1/teams/{name}": "manage",
    "GET /api/v1/routing-rules": "read",
    "PUT /api/v1/routing-rules": "manage",
    "POST /api/v1/routing-rules": "manage",
    "POST /api/v1/routing-rules/test": "read",
    "GET /api/v1/schedules": "read",
    "POST /api/v1/schedules": "manage",
    "GET /api/v1/schedules/{name}": "read",
    "PUT /api/v1/schedules/{name}": "manage",
    "DELETE /api/v1/schedules/{name}": "manage",
    "POST /api/v1/schedules/{name}/overrides": "manage",
    "DELETE /api/v1/schedules/{name}/overrides/{id}": "manage",
    "GET /api/v1/schedules/{name}/on-call": "read",
    "GET /api/v1/schedules/{name}/shifts": "read",
    "GET /api/v1/schedules/{name}/calendar.ics": "read",
    "GET /api/v1/on-call": "read",
    "GET /api/v1/escalation-policies": "read",
    "POST /api/v1/escalation-policies": "manage",
    "GET /api/v1/escalation-policies/{name}": "read",
    "PUT /api/v1/escalation-policies/{name}": "manage",
    "DELETE /api/v1/escalation-policies/{name}": "manage",
    "GET /api/v1/maintenance-windows": "read",
    "POST /api/v1/maintenance-windows": "manage",
    "DELETE /api/v1/maintenance-windows/{id}": "manage",
    "GET /api/v1/people/{id}/quiet-hours": "read",
    "PUT /api/v1/people/{id}/quiet-hours": "manage",
    "DELETE /api/v1/people/{id}/quiet-hours": "manage",
    # incidents
    "GET /api/v1/incidents": "read",
    "GET /api/v1/incidents/{id}": "read",
    "GET /api/v1/incidents/{id}/timeline": "read",
    "GET /api/v1/incidents/{id}/events": "read",
    "GET /api/v1/incidents/{id}/deliveries": "read",
    "GET /api/v1/incidents/{id}/why": "read",
    "GET /api/v1/incidents/{id}/stream": "read",
    "GET /api/v1/stream": "read",
    "GET /api/v1/ledger/events": "read",
    "GET /api/v1/analytics/summary": "read",
    "POST /api/v1/incidents": "respond",
    "POST /api/v1/incidents/{id}/acknowledge": "respond",
    "POST /api/v1/incidents/{id}/investigate": "respond",
    "POST /api/v1/incidents/{id}/resolve": "respond",
    "POST /api/v1/incidents/{id}/reopen": "respond",
    "POST /api/v1/incidents/{id}/updates": "respond",
    "POST /api/v1/incidents/{id}/severity": "respond",
    "POST /api/v1/incidents/{id}/category": "respond",
    "POST /api/v1/incidents/{id}/assign": "respond",
    "POST /api/v1/incidents/{id}/merge": "respond",
    "POST /api/v1/incidents/{id}/correct": "respond",
}

SAFE = frozenset(("GET", "HEAD", "OPTIONS"))

WHY: dict[Rule, str] = {
    "self": "A token of limited scopes may not change what is its person's own.",
    "read": "Incidents are for responders and admins; an admin can make you one.",
    "respond": "This takes a responder, and a token with the scope respond.",
    "manage": "This is decided by admins; a token needs the scope manage.",
    "install": "This is decided by super admins.",
}
"""What is said to whom a power is missing."""


class RouteWithoutRule(Exception):
    """The table above does not say who may use a route."""


def operation(request: Request) -> str:
    """The request's method and path template, which name its rule."""
    return f"{request.method} {request.scope['route'].path}"


def operations(app: FastAPI) -> Iterator[str]:
    """All that the application answers, as method and path template."""
    for route in iter_route_contexts(app.routes):
        for method in route.methods or ():
            if method != "HEAD":
                yield f"{method} {route.path}"


def check(app: FastAPI) -> None:
    """Raises RouteWithoutRule."""
    missing = sorted(set(operations(app)) - RULES.keys())
    if missing:
        raise RouteWithoutRule(f"api/access.py has no rule for {', '.join(missing)}")
