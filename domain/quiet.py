"""When nobody is woken: an organisation's maintenance windows, and a person's quiet hours."""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated
from uuid import UUID
from zoneinfo import ZoneInfo

from pydantic import Field, ValidationInfo, field_validator

from domain.conditions import Conditions, Facts
from domain.events import Value
from domain.localtime import Moment, ZoneName, moment, zone_of
from domain.values import SOME, Name
from domain.windows import Window, always_open, closes_at
from domain.words import Severity

HELD = "It is the recipient's quiet hours."
"""Why a delivery waits."""


class Maintenance(Value):
    """From `start` (included) to `end` (not included), what meets the conditions is expected and wakes nobody."""

    id: UUID | None = None
    name: Name
    start: Moment
    end: Moment
    conditions: Conditions = Conditions()

    @field_validator("end")
    @classmethod
    def _after_the_start(cls, end: datetime, info: ValidationInfo) -> datetime:
        if "start" in info.data and end <= info.data["start"]:
            raise ValueError("is not after start")
        return end


class QuietHours(Value):
    """Local windows in the person's zone in which only what is critical reaches them."""

    time_zone: ZoneName
    windows: Annotated[tuple[Window, ...], SOME] = Field(max_length=50)

    @field_validator("windows")
    @classmethod
    def _end(cls, windows: tuple[Window, ...]) -> tuple[Window, ...]:
        if always_open(windows):
            raise ValueError("leave no minute of the week free: what is held back would never arrive")
        return windows

    @property
    def zone(self) -> ZoneInfo:
        return zone_of(self.time_zone)


def under_maintenance(windows: Iterable[Maintenance], facts: Facts, at: datetime) -> Maintenance | None:
    """The window that an alert at that instant belongs to: the first that is open and whose conditions hold.

    Raises InvalidField where `at` has no time zone.
    """
    at = moment("at", at)
    return next((w for w in windows if w.start <= at < w.end and w.conditions.hold(facts)), None)


def held_until(quiet: QuietHours, severity: Severity, at: datetime) -> datetime | None:
    """Until when (UTC) an alert for this person is held back; None where it may go now.

    Windows that overlap or meet are one. What is critical is never held. Raises InvalidField where `at` has no
    time zone.
    """
    at = moment("at", at)
    if severity == "critical":
        return None
    return closes_at(quiet.windows, quiet.zone, at)
