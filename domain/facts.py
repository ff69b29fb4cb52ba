"""The facts of an incident that the figures are computed from, and what each figure means."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import assert_never
from uuid import UUID

from domain import events as e
from domain.words import OPEN, Category, Severity, Status

SECOND = timedelta(seconds=1)


@dataclass(kw_only=True)
class IncidentFacts:
    """When an incident reached each status, and the words it is grouped by. Folded from its events in order."""

    triggered_at: datetime
    severity: Severity
    response_target_s: int
    status: Status = "triggered"
    category: Category | None = None
    team: str | None = None
    assignee: UUID | None = None
    acknowledged_at: datetime | None = None
    first_resolved_at: datetime | None = None
    resolved_at: datetime | None = None
    reopen_count: int = 0
    merged_into: UUID | None = None

    @property
    def is_open(self) -> bool:
        return self.status in OPEN

    @property
    def waits(self) -> bool:
        """Whether nobody has taken it on yet, and somebody should."""
        return self.status == "triggered" and self.merged_into is None

    @property
    def time_to_acknowledge_s(self) -> float | None:
        """Seconds from trigger to the first acknowledgement; null without one. Negative is kept."""
        return _seconds(self.triggered_at, self.acknowledged_at)

    @property
    def time_to_resolve_s(self) -> float | None:
        """Seconds from trigger to the final resolve; null while open, also when open again."""
        return _seconds(self.triggered_at, self.resolved_at)

    @property
    def time_to_first_resolve_s(self) -> float | None:
        """Seconds from trigger to the first resolve, whatever came after."""
        return _seconds(self.triggered_at, self.first_resolved_at)

    @property
    def response_due_at(self) -> datetime:
        """Until when it has to be acknowledged, by its present severity."""
        return self.triggered_at + timedelta(seconds=self.response_target_s)

    def response_breached(self, at: datetime) -> bool:
        """Whether, seen from `at`, the due time went by without an acknowledgement."""
        end = self.acknowledged_at or self.resolved_at or at
        return end > self.response_due_at

    def apply(self, event: e.IncidentEvent) -> None:
        """Take one more event into account. Tolerates any order: imports record what really happened."""
        match event:
            case e.IncidentAcknowledged():
                self._acknowledge(event.occurred_at)
                if self.status == "triggered":
                    self.status = "acknowledged"
            case e.InvestigationStarted():
                if self.status == "triggered":
                    self._acknowledge(event.occurred_at)
                self.status = "investigating"
                self.resolved_at = None
            case e.IncidentResolved():
                self._resolve(event.occurred_at)
            case e.IncidentReopened():
                self.status = "investigating"
                self.resolved_at = None
                self.reopen_count += 1
            case e.IncidentMerged():
                if self.is_open:
                    self._resolve(event.occurred_at)
                self.merged_into = event.into
            case e.PostmortemStarted():
                self.status = "postmortem"
            case e.SeverityChanged():
                self.severity = event.severity
                self.response_target_s = event.response_target_s
            case e.CategoryChanged():
                self.category = event.category
            case e.TeamAssigned():
                self.team = event.team
            case e.ResponderAssigned():
                self.assignee = event.person_id
            case e.DetailsCorrected():
                self._correct(event)
            case (
                e.IncidentTriggered()
                | e.UpdatePosted()
                | e.AlertReceived()
                | e.IncidentEscalated()
                | e.ResponseTargetMissed()
                | e.MaintenanceEnded()
                | e.IncidentAbsorbed()
                | e.AlertSent()
                | e.AlertDelivered()
                | e.AlertRead()
                | e.AlertFailed()
            ):
                pass
            case _:
                assert_never(event)

    def _acknowledge(self, at: datetime) -> None:
        if self.acknowledged_at is None:
            self.acknowledged_at = at

    def _resolve(self, at: datetime) -> None:
        self.status = "resolved"
        self.resolved_at = at
        if self.first_resolved_at is None:
            self.first_resolved_at = at

    def _correct(self, event: e.DetailsCorrected) -> None:
        if event.triggered_at is not None:
            self.triggered_at = event.triggered_at
        if event.acknowledged_at is not None:
            self.acknowledged_at = event.acknowledged_at
        if event.resolved_at is not None:
            if self.reopen_count == 0 and self.first_resolved_at == self.resolved_at:
                self.first_resolved_at = event.resolved_at
            self.resolved_at = event.resolved_at


def _seconds(start: datetime, end: datetime | None) -> float | None:
    return None if end is None else (end - start) / SECOND
