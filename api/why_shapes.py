"""What the answer to "why did it go there" looks like."""

from uuid import UUID

from pydantic import BaseModel

from api.setting_shapes import SomebodyNamed
from domain.escalation import Policy
from domain.routing import Rule
from domain.words import Category, Severity, Status


class AppliedRule(Rule):
    """A rule as it was then; number: its place in the list, from 1."""

    number: int


class Seer(BaseModel):
    """Somebody whose role let them see incidents."""

    id: UUID
    name: str | None
    role: str


class NumberedIncident(BaseModel):
    id: UUID
    number: str


class Why(BaseModel):
    """Why it went where it went. on_call: by the schedule that applied, at that time. could_see: null for a time
    before on_record_since, from when on the ledger says who may do what (an installation that was upgraded has
    older incidents than that); null: it does not yet."""

    incident: NumberedIncident
    at: str
    severity: Severity
    category: Category | None
    status: Status
    team: str | None
    because: str
    rule: AppliedRule | None
    schedule: str | None
    on_call: SomebodyNamed | None
    assignee: SomebodyNamed | None
    policy: Policy | None
    maintenance: str | None
    could_see: list[Seer] | None
    on_record_since: str | None
