"""How each command is decided: the incident as it stands in, events and claims out."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, Protocol, assert_never
from uuid import UUID

from commands.append import Append, Claim, Held, Key, Waiting
from commands.incident import (
    Acknowledge,
    AssignResponder,
    AssignTeam,
    ChangeCategory,
    ChangeSeverity,
    ClearAlerts,
    Correct,
    EndMaintenance,
    Escalate,
    FoldAlerts,
    IncidentCommand,
    Investigate,
    Merge,
    MissTarget,
    PostUpdate,
    RecordAlert,
    Reopen,
    Resolve,
    Trigger,
    dedup_claim,
)
from commands.organizations import Known
from domain import decisions, reactions
from domain import events as e
from domain.conditions import Facts
from domain.errors import DedupKeyTaken, IncidentNotFound, InvalidField
from domain.escalating import chosen_by
from domain.incident import Incident
from domain.placing import Place, place
from domain.words import Category, Severity


class Workspace(Protocol):
    """What a decision may look at."""

    def incident(self, organization_id: UUID, incident_id: UUID) -> Incident:
        """The incident as it stands. Raises IncidentNotFound, also for another organisation's."""

    def holder(self, key: Key) -> Held | None:
        """Who holds a claim."""

    def organization(self, organization_id: UUID) -> Known:
        """The organisation as it stands, or stood a moment ago."""


@dataclass(slots=True)
class Draft:
    """What a command would change: events by stream, and the rest of an Append. `incident_id`: its answer."""

    incident_id: UUID
    events: dict[UUID, decisions.Events]
    rest: Append = field(default_factory=Append)


def decide(command: IncidentCommand, look: Workspace) -> Draft:
    """The changes that a command leads to. Raises a Refusal where it may not be."""
    request, id = command.request, command.incident_id
    if isinstance(command, Trigger):
        return _trigger(command, look)
    incident = look.incident(request.organization_id, id)
    events: decisions.Events
    match command:
        case Acknowledge():
            events = decisions.acknowledge(incident, request, note=command.note)
        case Investigate():
            events = decisions.investigate(incident, request, note=command.note)
        case Resolve():
            events = decisions.resolve(incident, request, note=command.note)
            return Draft(id, {id: events}, _release(incident))
        case Reopen():
            events = decisions.reopen(incident, request, reason=command.reason)
            return Draft(id, {id: events}, _hold_again(incident, look))
        case PostUpdate():
            events = decisions.post_update(incident, request, body=command.body)
        case ChangeSeverity():
            known = look.organization(request.organization_id)
            events = decisions.change_severity(
                incident,
                request,
                severity=command.severity,
                targets=known.organization.targets,
                reason=command.reason,
                place=_place(known, incident, request, severity=command.severity),
            )
        case ChangeCategory():
            known = look.organization(request.organization_id)
            place = _place(known, incident, request, category=command.category)
            events = decisions.change_category(incident, request, category=command.category, place=place)
        case AssignResponder():
            events = decisions.assign_responder(incident, request, person_id=command.person_id)
        case AssignTeam():
            events = decisions.assign_team(incident, request, team=command.team)
        case Correct():
            events = decisions.correct(
                incident,
                request,
                title=command.title,
                description=command.description,
                labels=command.labels,
                triggered_at=command.triggered_at,
                acknowledged_at=command.acknowledged_at,
                resolved_at=command.resolved_at,
                reason=command.reason,
            )
        case Merge():
            try:
                into = look.incident(request.organization_id, command.into)
            except IncidentNotFound as missing:
                raise InvalidField("into", missing.detail) from missing
            merged, absorbed = decisions.merge(incident, into, request)
            heir = Claim("move", Key(request.organization_id, "dedup", str(into.id)), incident.id)
            rest = Append(claims=[heir]) if into.is_open else _release(incident)
            return Draft(id, {id: merged, into.id: absorbed}, rest)
        case ClearAlerts():
            return _clear(command, incident)
        case FoldAlerts():
            while incident.merged_into is not None:
                incident = look.incident(request.organization_id, incident.merged_into)
            events = reactions.receive_alerts(
                incident,
                request,
                first_at=min(row.received_at for row in command.waiting),
                last_at=max(row.received_at for row in command.waiting),
                alerts=distinct(alert for row in command.waiting for alert in row.alerts),
            )
            return Draft(incident.id, {incident.id: events}, Append(folds=[row.id for row in command.waiting]))
        case RecordAlert():
            events = reactions.record_alert(
                request,
                outcome=command.outcome,
                delivery_id=command.delivery_id,
                recipient_id=command.recipient_id,
                channel=command.channel,
                attempt=command.attempt,
                reason=command.reason,
            )
        case Escalate():
            events = reactions.escalate(
                incident,
                request,
                step=command.step,
                people=command.people,
                everybody=command.everybody,
                round=command.round,
                reason=command.reason,
            )
        case MissTarget():
            events = reactions.miss_target(incident, request)
        case EndMaintenance():
            known = look.organization(request.organization_id)
            place = _place(known, incident, request)
            events = reactions.end_maintenance(incident, request, place=place)
        case _:
            assert_never(command)
    return Draft(id, {id: events})


def distinct(alerts: Iterable[e.AlertSeen], *, at_most: int = 100) -> tuple[e.AlertSeen, ...]:
    """The alerts with equal ones counted together. Beyond `at_most` kinds the rest is one entry: all count."""
    kinds: dict[str, e.AlertSeen] = {}
    others = 0
    for alert in alerts:
        seen = kinds.get(alert.fingerprint)
        if seen is not None:
            kinds[alert.fingerprint] = seen.model_copy(update={"count": seen.count + alert.count})
        elif len(kinds) < at_most:
            kinds[alert.fingerprint] = alert
        else:
            others += alert.count
    rest = e.AlertSeen(fingerprint="", summary=f"other alerts beyond {at_most} kinds", count=others or 1)
    return (*kinds.values(), rest) if others else tuple(kinds.values())


def _trigger(command: Trigger, look: Workspace) -> Draft:
    request, key = command.request, command.dedup()
    held = look.holder(key) if key else None
    if key and held:
        return _attach(command, look.incident(request.organization_id, held.stream_id), key)
    known = look.organization(request.organization_id)
    facts = Facts(command.severity, command.category, command.source, command.labels)
    events = decisions.trigger(
        request,
        number=0,  # the ledger puts the organisation's next one there
        title=command.title,
        severity=command.severity,
        targets=known.organization.targets,
        category=command.category,
        description=command.description,
        labels=command.labels,
        source=command.source,
        dedup_key=command.dedup_key,
        team=command.team,
        alerts=distinct(command.alerts),
        place=place(
            known.organization,
            known.router,
            facts,
            request.asked_at,
            team=command.team,
            windows=known.windows,
        ),
    )
    id = command.incident_id
    claims = [Claim("take", key, id)] if key else []
    return Draft(id, {id: events}, Append(claims=claims, opens=True))


def _place(
    known: Known,
    incident: Incident,
    request: decisions.Request,
    *,
    severity: Severity | None = None,
    category: Category | Literal["as it is"] | None = "as it is",
) -> Place:
    """Where an incident goes by itself, with another severity or category. With another category it is routed
    anew, unless by hand. Somebody looked at it, or the window is over: maintenance does not hold it back."""
    routed = category != "as it is" and not incident.team_by_hand
    return place(
        known.organization,
        known.router,
        Facts(
            severity or incident.severity,
            incident.category if category == "as it is" else category,
            incident.source,
            incident.labels,
        ),
        request.asked_at,
        team=None if routed else incident.team,
        rule=chosen_by(known.organization, incident),
        windows=(),
    )


def _attach(command: Trigger, incident: Incident, key: Key) -> Draft:
    """Count a further alert: a person's at once, an integration's by way of the intake, which folds storms."""
    request = command.request
    still_held = Claim("held", key, incident.id)
    alerts = command.alerts or (e.AlertSeen(fingerprint=command.dedup_key or "", summary=command.title),)
    if request.actor.kind == "integration" and request.actor.id is not None:
        row = Waiting(
            command.incident_id, request.organization_id, incident.id, request.actor.id, request.asked_at, alerts
        )
        return Draft(incident.id, {}, Append(claims=[still_held], intake=[row]))
    events = reactions.receive_alerts(
        incident, request, first_at=request.at, last_at=request.at, alerts=distinct(alerts)
    )
    return Draft(incident.id, {incident.id: events}, Append(claims=[still_held]))


def _clear(command: ClearAlerts, incident: Incident) -> Draft:
    """Resolve what the alerts opened. Where they were merged into it, or it was told apart since, say so."""
    request, id = command.request, incident.id
    if not incident.is_open:
        return Draft(id, {})
    if incident.dedup_key == command.dedup_key and incident.source_id == request.actor.id:
        events = decisions.resolve(incident, request, note=command.summary)
        return Draft(id, {id: events}, _release(incident))
    # Said once: with the key given up, the sender's repeats concern nobody, and its next alert opens a new one.
    key = dedup_claim(request.organization_id, request.actor, command.dedup_key)
    events = decisions.post_update(incident, request, body=command.summary)
    return Draft(id, {id: events}, Append(claims=[Claim("free", key, id)]))


def _release(incident: Incident) -> Append:
    """Free the deduplication keys of an incident that is over: the next alert opens a new one."""
    return Append(claims=[Claim("release", Key(incident.organization_id, "dedup", ""), incident.id)])


def _hold_again(incident: Incident, look: Workspace) -> Append:
    if incident.dedup_key is None:
        return Append()
    sender = e.Actor(kind="integration" if incident.source_id else "person", id=incident.source_id)
    key = dedup_claim(incident.organization_id, sender, incident.dedup_key)
    held = look.holder(key)
    if held is not None and held.stream_id != incident.id:
        other = look.incident(incident.organization_id, held.stream_id)
        raise DedupKeyTaken(
            f"INC-{other.number} is open for the same alerts. Work there, or resolve or merge it first.",
            incident_id=other.id,
        )
    return Append(claims=[Claim("take", key, incident.id)])
