"""The words of the field: severities, categories, statuses, and the response targets they imply."""

from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Final, Literal, get_args

from pydantic import PlainSerializer

Severity = Literal["critical", "high", "medium", "low"]
Category = Literal["outage", "security", "performance", "bug", "infrastructure", "data"]
Status = Literal["triggered", "acknowledged", "investigating", "resolved", "postmortem"]

AlertOutcome = Literal["sent", "delivered", "read", "failed"]

SEVERITIES: Final[tuple[Severity, ...]] = get_args(Severity)
CATEGORIES: Final[tuple[Category, ...]] = get_args(Category)
STATUSES: Final[tuple[Status, ...]] = get_args(Status)

OPEN: Final[frozenset[Status]] = frozenset(("triggered", "acknowledged", "investigating"))
"""An incident in one of these still needs somebody."""

RESPONSE_TARGETS_S: Final[dict[Severity, int]] = {
    "critical": 5 * 60,
    "high": 60 * 60,
    "medium": 4 * 60 * 60,
    "low": 24 * 60 * 60,
}
"""Seconds from trigger to acknowledgement that an organisation promises unless it sets its own."""


@lru_cache(maxsize=4096)  # the events of one moment are many, and writing its time was a third of writing an event
def rfc3339(at: datetime) -> str:
    """`at` in UTC with microseconds and a `Z`: the one form in which times leave this program."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")[:-6] + "Z"


Instant = Annotated[datetime, PlainSerializer(rfc3339, return_type=str, when_used="json")]
"""A point in time, time zone known; written as RFC 3339 UTC with microseconds."""
