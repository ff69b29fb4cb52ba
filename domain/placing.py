"""Where a new incident goes by itself: the team that a rule names, and of it the person on call."""

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from domain.alerting import ALERTED
from domain.conditions import Facts
from domain.escalating import schedule_for
from domain.oncall import on_call_at
from domain.organization import Organization
from domain.quiet import Maintenance, under_maintenance
from domain.router import Router
from domain.routing import Rule


class Place(NamedTuple):
    """What was found, and why, in words for the timeline. maintenance: the window that it falls into, by name."""

    team: str | None = None
    team_because: str | None = None
    rule: UUID | None = None
    person: UUID | None = None
    person_because: str | None = None
    maintenance: str | None = None


NOWHERE = Place()


def place(
    organization: Organization,
    router: Router,
    facts: Facts,
    at: datetime,
    *,
    team: str | None,
    rule: Rule | None = None,
    windows: Collection[Maintenance] | None = None,
) -> Place:
    """Where an incident of these facts goes at that instant. team: the one that it has and keeps; rule: the one
    that chose it. windows: the maintenance to look at, where the caller knows which is long over; else all.

    Only what wakes people gets a person at once; what can wait is the team's, which looks at it in its hours.
    """
    looked_at = organization.windows.values() if windows is None else windows
    window = under_maintenance(looked_at, facts, at) if looked_at else None
    found, because = team, None
    if team is None:
        routed = router.route(facts)
        found, because, rule = routed.team, routed.because if routed.team is not None else None, routed.rule
    placed = Place(found, because, rule.id if rule else None, maintenance=window.name if window else None)
    if facts.severity not in ALERTED or window is not None:
        return placed
    schedule = schedule_for(organization, rule, found)
    if schedule is None:
        return placed
    person = on_call_at(organization.schedules[schedule], at)
    if person is None:
        return placed
    return placed._replace(person=person, person_because=f"on call by the schedule “{schedule}”")
