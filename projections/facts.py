"""Read model: per incident the facts that the figures are computed from, in narrow rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self
from uuid import UUID

from psycopg import Cursor

from domain.engagement import Engagement
from domain.events import AlertReceived, DetailsCorrected, IncidentAbsorbed, IncidentEvent, IncidentTriggered
from domain.recorded import Recorded
from projections.folded import FoldedTable


@dataclass(kw_only=True)
class FactsRow(Engagement):
    """The facts of one incident, who had it in hand, and what it may be grouped by."""

    incident_id: UUID
    organization_id: UUID
    source: str = "api"
    source_id: UUID | None = None
    alert_count: int = 0
    labels: dict[str, str] = field(default_factory=dict)

    @classmethod
    def opened(cls, id: UUID, event: IncidentTriggered) -> Self:
        return cls(
            incident_id=id,
            organization_id=event.organization_id,
            triggered_at=event.occurred_at,
            severity=event.severity,
            response_target_s=event.response_target_s,
            category=event.category,
            team=event.team,
            source=event.source,
            source_id=event.actor.id if event.actor.kind == "integration" else None,
            alert_count=sum(alert.count for alert in event.alerts),
            labels=event.labels,
        )

    def apply(self, event: IncidentEvent) -> None:
        Engagement.apply(self, event)
        match event:
            case DetailsCorrected() if event.labels is not None:
                self.labels = event.labels
            case AlertReceived():
                self.alert_count += event.count
            case IncidentAbsorbed():
                self.alert_count += event.alert_count


class Facts:
    """One row per incident; the durations, in seconds, are computed by the database from the times."""

    name: str = "facts"
    rules: int = 2
    names: tuple[str, ...] = ("facts",)
    doors: Mapping[str, str] = {}
    tables: str = """
        create table facts (
            incident_id       uuid primary key,
            organization_id   uuid not null,
            triggered_at      timestamptz not null,
            severity          text not null,
            category          text,
            team              text,
            assignee          uuid,
            labels            jsonb not null,
            status            text not null,
            acknowledged_at   timestamptz,
            first_resolved_at timestamptz,
            resolved_at       timestamptz,
            reopen_count      int not null,
            merged_into       uuid,
            response_target_s int not null,
            source            text not null,
            source_id         uuid,
            alert_count       bigint not null,
            engaged           uuid[] not null,
            engaged_from      timestamptz[] not null,
            engaged_until     timestamptz[] not null,
            position          bigint not null,
            tta_s double precision generated always as
                (extract(epoch from acknowledged_at - triggered_at)::double precision) stored,
            ttr_s double precision generated always as
                (extract(epoch from resolved_at - triggered_at)::double precision) stored,
            ttr_first_s double precision generated always as
                (extract(epoch from first_resolved_at - triggered_at)::double precision) stored
        )"""
    indexes: str = """
        create index on facts (organization_id, triggered_at)
            include (severity, tta_s, ttr_s, ttr_first_s, status, reopen_count, response_target_s)
            where merged_into is null"""

    def write(self, cursor: Cursor[Any], entries: Sequence[Recorded]) -> None:
        ROWS.write(cursor, entries)


ROWS = FoldedTable("facts", FactsRow, FactsRow.opened, key="incident_id")
