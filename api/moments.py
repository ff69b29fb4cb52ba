"""Times in a query: RFC 3339, or a date, which begins at midnight in a time zone."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

from fastapi import Query

from api import schemas
from domain.errors import InvalidField
from domain.localtime import zone_of

Moment = Annotated[schemas.Text, Query(max_length=40)]


def zone(name: str) -> ZoneInfo:
    """The time zone of that name. Raises InvalidField."""
    try:
        return zone_of(name)
    except ValueError:
        raise InvalidField("tz", "Must be a time zone's name, like Europe/Berlin.") from None


def moment(field: str, text: str | None, zone: ZoneInfo | None = None) -> datetime | None:
    """The point in time (UTC) that `text` names: an RFC 3339 time; with a `zone`, in which it is then taken, also
    one without an offset, or a date. Raises InvalidField."""
    if text is None:
        return None
    try:
        if zone is not None and len(text) == len("2026-01-31"):
            at = datetime.combine(date.fromisoformat(text), time(), zone)
        else:
            at = datetime.fromisoformat(text.replace(" ", "+"))  # a plus sign that was not encoded
    except ValueError:
        raise InvalidField(field, "Must be an RFC 3339 time" + (" or a date." if zone else ".")) from None
    at = at if at.tzinfo else at.replace(tzinfo=zone)
    if at.tzinfo is None:
        raise InvalidField(field, "Must have an offset from UTC, like Z or +01:00.")
    if not 1 < at.year < 9999 or abs(at.utcoffset() or timedelta()) >= timedelta(days=1):
        raise InvalidField(field, "Is out of range.")
    return at.astimezone(UTC)


def past(field: str, text: str | None, zone: ZoneInfo | None = None) -> datetime | None:
    """As `moment`; what is still to come is now: nobody knows what will stand then."""
    at = moment(field, text, zone)
    return None if at is None else min(at, datetime.now(UTC))
