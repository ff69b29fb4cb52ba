"""Alerts in: what monitoring posts becomes incidents. A 2xx means that the alert is in the database for good."""

import hashlib
import json
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from psycopg import Cursor
from pydantic import BaseModel, BeforeValidator, ValidationError

from api import schemas
from api.call import caller, services
from api.changes import asking, change
from api.directory import Caller, Integration, new_secret, secret_hash
from api.problems import NotThere
from api.services import Services
from api.shapes import PROBLEMS
from api.views import Answer
from commands.ids import new_id
from commands.incident import ClearAlerts, Trigger, dedup_claim
from domain.access import integrate
from domain.decisions import Request as CommandRequest
from domain.errors import InvalidField
from domain.events import Actor, AlertSeen
from domain.words import CATEGORIES, Category, Severity

router = APIRouter(prefix="/api/v1", tags=["alerts"], responses=PROBLEMS)

S = Annotated[Services, Depends(services)]

SEVERITY_WORDS: dict[str, Severity] = {
    **dict.fromkeys(("critical", "page", "fatal", "emergency", "disaster", "p1", "sev1"), "critical"),
    **dict.fromkeys(("high", "error", "major", "p2", "sev2"), "high"),
    **dict.fromkeys(("medium", "warning", "warn", "minor", "average", "p3", "sev3"), "medium"),
    **dict.fromkeys(("low", "info", "informational", "notice", "none", "p4", "sev4", "p5"), "low"),
}
"""What senders write in their `severity` label, and what we take it for."""

UNKNOWN_SEVERITY: Severity = "medium"


def _texts(labels: Any) -> Any:
    """Some senders write numbers into labels; the alert counts all the same."""
    if not isinstance(labels, dict):
        return labels
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in labels.items()}


Labels = Annotated[dict[str, str], BeforeValidator(_texts)]


class Alert(BaseModel):
    """One alert of a group."""

    status: str = "firing"
    labels: Labels = {}
    annotations: Labels = {}
    startsAt: str | None = None
    generatorURL: str = ""
    fingerprint: str | None = None


class AlertGroup(BaseModel):
    """Alertmanager's webhook, version 4 (and 3, whose groupKey is a number)."""

    status: str
    groupKey: str | int | None = None
    alerts: list[Alert] = []
    groupLabels: Labels = {}
    commonLabels: Labels = {}
    commonAnnotations: Labels = {}
    externalURL: str = ""

    def key(self) -> str:
        """What makes two groups the same."""
        if self.groupKey:
            return _short(str(self.groupKey))
        same = json.dumps(self.groupLabels or self.commonLabels, sort_keys=True)
        return "labels:" + hashlib.sha256(same.encode()).hexdigest()

    def title(self) -> str:
        name = self.commonLabels.get("alertname") or self.groupLabels.get("alertname")
        said = self.commonAnnotations.get("summary") or self.commonAnnotations.get("title")
        if not said and self.alerts:
            said = self.alerts[0].annotations.get("summary")
        where = (
            self.commonLabels.get("service") or self.commonLabels.get("job") or self.commonLabels.get("instance")
        )
        if name and said:
            return f"{name}: {said}"[:300]
        return (" ".join(part for part in (name, where) if part) or said or "Alert without a name")[:300]

    def description(self) -> str:
        alert = self.alerts[0] if self.alerts else Alert()
        notes = {**alert.annotations, **self.commonAnnotations}
        lines = [notes.pop("description", ""), notes.pop("message", "")]
        notes.pop("summary", None)
        lines += [f"{name}: {text}" for name, text in sorted(notes.items())]
        lines += [f"source: {alert.generatorURL}" if alert.generatorURL else ""]
        return "\n".join(line for line in lines if line)[:20_000]


def _short(key: str, at_most: int = 500) -> str:
    """The key itself, or where it is too long for an index its beginning and a hash of the whole of it."""
    written = key.encode()
    if len(written) <= at_most:
        return key
    return written[: at_most - 65].decode("utf-8", "ignore") + "#" + hashlib.sha256(written).hexdigest()


@router.post("/integrations", status_code=201)
async def create_integration(
    services: S, caller: Annotated[Caller, Depends(caller)], body: schemas.IntegrationBody
) -> Answer:
    """Make a source of alerts. Its key is in this answer and nowhere else: only a hash of it is kept."""
    id, key, ask = new_id(), new_secret("fdi"), asking(caller)
    row = (id, caller.organization_id, body.name, body.kind, body.default_severity, body.default_category,
           secret_hash(key))  # fmt: skip

    def write(cursor: Cursor[Any]) -> None:
        cursor.execute(_INTEGRATION, row)

    await change(services, caller, lambda _: integrate(ask, id, body.kind), write)
    url = f"{services.public_url}/api/v1/integrations/{key}/{body.kind}"
    shown = body.model_dump() | {"id": id, "key": key, "url": url}
    return Answer(shown, 201)


@router.post("/integrations/{key}/alertmanager", status_code=202)
@router.post("/integrations/{key}/grafana", status_code=202)
async def alertmanager(services: S, key: str, request: Request) -> Answer:
    """Prometheus Alertmanager's webhook, and Grafana's, which has its form. One open incident per group;
    `resolved` resolves what it opened."""
    integration = await services.directory.integration(key)
    if integration is None:
        raise NotThere("There is no integration with this key.")
    group = await _group(request)
    return await _receive(services, integration, group)


async def _receive(services: Services, integration: Integration, group: AlertGroup) -> Answer:
    actor = Actor(kind="integration", id=integration.id)
    request = CommandRequest(
        organization_id=integration.organization_id,
        actor=actor,
        asked_at=datetime.now(UTC),
        correlation_id=new_id(),
        causation_id=new_id(),
    )
    if group.status == "resolved":
        holder = await services.holder(dedup_claim(integration.organization_id, actor, group.key()))
        if holder is None:
            return Answer({"status": "accepted", "incident": None}, 202)
        note = "The alerts are resolved, says " + integration.name
        outcome = await services.run(
            ClearAlerts(request=request, incident_id=holder, dedup_key=group.key(), summary=note)
        )
    else:
        labels = {name: group.commonLabels[name] for name in sorted(group.commonLabels)[:100]}
        outcome = await services.run(
            Trigger(
                request=request,
                incident_id=new_id(),
                title=group.title(),
                severity=_severity(group, integration),
                category=_category(group, integration),
                description=group.description(),
                labels=labels,
                source=integration.kind,
                dedup_key=group.key(),
                alerts=tuple(_seen(alert) for alert in group.alerts if alert.status != "resolved")
                or (AlertSeen(fingerprint=group.key(), summary=group.title()),),
            )
        )
    incident = {"id": outcome.incident.id, "number": f"INC-{outcome.incident.number}"}
    return Answer({"status": "accepted", "incident": incident, "created": outcome.created}, 202)


def _seen(alert: Alert) -> AlertSeen:
    identity = (
        alert.fingerprint or hashlib.sha256(json.dumps(alert.labels, sort_keys=True).encode()).hexdigest()[:16]
    )
    said = alert.annotations.get("summary") or alert.annotations.get("description") or ""
    summary = ": ".join(part for part in (alert.labels.get("alertname", ""), said) if part)
    labels = {name[:100]: alert.labels[name][:300] for name in sorted(alert.labels)[:30]}
    return AlertSeen(
        fingerprint=identity[:100], summary=summary[:500] or "alert", labels=labels, starts_at=alert.startsAt
    )


def _severity(group: AlertGroup, integration: Integration) -> Severity:
    """The worst that any of the alerts names, else the integration's default."""
    named = {alert.labels.get("severity", "") for alert in group.alerts} | {group.commonLabels.get("severity", "")}
    found = {SEVERITY_WORDS.get(word.strip().lower()) for word in named}
    for severity in ("critical", "high", "medium", "low"):
        if severity in found:
            return severity
    return integration.default_severity or UNKNOWN_SEVERITY


def _category(group: AlertGroup, integration: Integration) -> Category | None:
    named = group.commonLabels.get("category", "").strip().lower()
    return next((c for c in CATEGORIES if c == named), integration.default_category)


async def _group(request: Request) -> AlertGroup:
    """The posted group. A capture of such a request (an object with method, path and body) counts as its body."""
    try:
        sent = json.loads(await request.body())
    except (ValueError, RecursionError):
        raise InvalidField("body", "Is not valid JSON.") from None
    if isinstance(sent, dict) and {"method", "path", "body"} <= sent.keys():
        sent = sent["body"]
    try:
        return AlertGroup.model_validate(_writable(sent))
    except RecursionError:
        raise InvalidField("body", "Is nested too deeply.") from None
    except ValidationError as wrong:
        first = wrong.errors()[0]
        raise InvalidField(".".join(map(str, first["loc"])) or "body", str(first["msg"])) from None


def _writable(value: Any) -> Any:
    """The same without what no text in the database can hold: an alert is not lost for one odd character."""
    if isinstance(value, str):
        return value.replace("\x00", "\ufffd").encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, list):
        return [_writable(each) for each in value]
    if isinstance(value, dict):
        return {_writable(name): _writable(each) for name, each in value.items()}
    return value


_INTEGRATION = """
    insert into access.integrations
           (id, organization_id, name, kind, default_severity, default_category, key_hash)
    values (%s, %s, %s, %s, %s, %s, %s) on conflict (id) do nothing"""
