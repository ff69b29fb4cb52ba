"""Every refusal, by name. The class docstring is what a person reads first; the edge maps each to HTTP once."""

from datetime import datetime
from uuid import UUID

from domain.events import Actor
from domain.words import Status


class Refusal(Exception):
    """The request was understood and refused; nothing was recorded."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class IncidentNotFound(Refusal):
    """There is no such incident in this organisation."""


class NotAllowedNow(Refusal):
    """The incident's status does not allow this.

    status, acted_by, acted_at: its present status, and who brought it there and when (UTC).
    """

    def __init__(
        self, detail: str, *, incident_id: UUID, number: int, status: Status, acted_by: Actor, acted_at: datetime
    ) -> None:
        super().__init__(detail)
        self.incident_id = incident_id
        self.number = number
        self.status = status
        self.acted_by = acted_by
        self.acted_at = acted_at


class StaleVersion(Refusal):
    """What was asked for has changed since the version that the request names."""

    def __init__(self, detail: str, *, current: int) -> None:
        super().__init__(detail)
        self.current = current


class InvalidField(Refusal):
    """A value is well-formed but cannot be accepted. `field` names it."""

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(detail)
        self.field = field


class NotDefined(Refusal):
    """The organisation has nothing of that kind and name."""


class NameTaken(Refusal):
    """There is another of that kind and name already."""


class InUse(Refusal):
    """It cannot be removed while something else names it. `by` says what, in words."""

    def __init__(self, detail: str, *, by: tuple[str, ...]) -> None:
        super().__init__(detail)
        self.by = by


class IdempotencyKeyReused(Refusal):
    """This Idempotency-Key already belongs to another request."""


class DedupKeyTaken(Refusal):
    """Another open incident has this deduplication key."""

    def __init__(self, detail: str, *, incident_id: UUID) -> None:
        super().__init__(detail)
        self.incident_id = incident_id


class Overloaded(Refusal):
    """The system cannot take this now. Try again after `retry_after_s` seconds; nothing was recorded."""

    def __init__(self, detail: str, *, retry_after_s: int = 1) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s
