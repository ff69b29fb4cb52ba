"""The incident aggregate: its state, folded from its events. What may happen next is in `decisions`."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Self
from uuid import UUID

from domain import events as e
from domain.facts import IncidentFacts

CHANGES_STATUS = (
    e.IncidentTriggered,
    e.IncidentAcknowledged,
    e.InvestigationStarted,
    e.IncidentResolved,
    e.IncidentReopened,
    e.IncidentMerged,
    e.PostmortemStarted,
)


@dataclass(kw_only=True)
class Incident(IncidentFacts):
    """Everything known about one incident after `version` events. team_rule: the routing rule that chose its
    team, if one did."""

    id: UUID
    organization_id: UUID
    number: int
    title: str
    status_by: e.Actor
    status_at: datetime
    description: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    source: str = "api"
    source_id: UUID | None = None
    dedup_key: str | None = None
    maintenance: str | None = None
    team_rule: UUID | None = None
    team_by_hand: bool = False
    lead_by_hand: bool = False
    investigating_at: datetime | None = None
    alert_count: int = 0
    version: int = 1

    @classmethod
    def opened(cls, id: UUID, event: e.IncidentTriggered) -> Self:
        """The incident as its first event leaves it."""
        return cls(
            id=id,
            organization_id=event.organization_id,
            number=event.number,
            title=event.title,
            description=event.description,
            severity=event.severity,
            category=event.category,
            response_target_s=event.response_target_s,
            labels=event.labels,
            source=event.source,
            source_id=event.actor.id if event.actor.kind == "integration" else None,
            dedup_key=event.dedup_key,
            maintenance=event.maintenance,
            team=event.team,
            team_by_hand=event.team is not None,
            triggered_at=event.occurred_at,
            status_by=event.actor,
            status_at=event.occurred_at,
            alert_count=sum(alert.count for alert in event.alerts),
        )

    def copy(self) -> Self:
        """The incident as it is now, whatever is applied to this one later."""
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__)
        return twin

    def apply(self, event: e.IncidentEvent) -> None:
        """Take one more event into account."""
        acknowledged_at = self.acknowledged_at
        IncidentFacts.apply(self, event)
        self.version += 1
        match event:
            case e.InvestigationStarted() | e.IncidentReopened():
                if self.investigating_at is None:
                    self.investigating_at = event.occurred_at
            case e.TeamAssigned():
                self.team_rule = event.rule
                self.team_by_hand = event.team is not None and event.because is None
            case e.ResponderAssigned():
                self.lead_by_hand = event.person_id is not None and event.because is None
            case e.AlertReceived():
                self.alert_count += event.count
            case e.IncidentAbsorbed():
                self.alert_count += event.alert_count
            case e.DetailsCorrected():
                self._move_investigation(event, acknowledged_at)
                self.title = event.title if event.title is not None else self.title
                self.description = event.description if event.description is not None else self.description
                self.labels = event.labels if event.labels is not None else self.labels
        if isinstance(event, CHANGES_STATUS):
            self.status_by = event.actor
            self.status_at = event.occurred_at

    def _move_investigation(self, event: e.DetailsCorrected, acknowledged_before: datetime | None) -> None:
        """It moves with an acknowledgement that was the same event, and is never left behind a corrected start."""
        if self.investigating_at is None or not (event.acknowledged_at or event.triggered_at):
            return
        start = self.acknowledged_at or self.triggered_at
        if self.investigating_at == acknowledged_before or self.investigating_at < start:
            self.investigating_at = start


def fold(id: UUID, events: Iterable[e.IncidentEvent]) -> Incident | None:
    """The incident after `events`, its whole stream (or a prefix of it) in order; None without events.

    Raises ValueError where the stream does not begin with IncidentTriggered: that is no incident.
    """
    incident: Incident | None = None
    for event in events:
        if incident is not None:
            incident.apply(event)
        elif isinstance(event, e.IncidentTriggered):
            incident = Incident.opened(id, event)
        else:
            raise ValueError(f"the stream {id} begins with {type(event).__name__}")
    return incident
