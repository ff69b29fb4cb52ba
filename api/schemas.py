"""What a request's body may hold. Anything else is refused, with the field's name."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, StrictBool

from domain.words import SEVERITIES, Category, Severity


def _no_nul(text: str) -> str:
    if "\x00" in text:
        raise ValueError("must not contain the NUL character")
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("must not contain a lone surrogate")
    return text


def _is_text(value: Any) -> Any:
    if value is not None and (not isinstance(value, str) or value.lstrip("+-").replace(".", "").isdigit()):
        raise ValueError("must be a time in RFC 3339, as text")
    return value


def _is_writable(at: datetime) -> datetime:
    if not 1 < at.year < 9999:
        raise ValueError("is out of range")
    return at


def _without_doubles(severities: list[Severity]) -> list[Severity]:
    return [severity for severity in SEVERITIES if severity in severities]


Text = Annotated[str, AfterValidator(_no_nul)]
Line = Annotated[Text, Field(min_length=1, max_length=300)]
Name = Annotated[Text, Field(min_length=1, max_length=100)]
Long = Annotated[Text, Field(max_length=100_000)]
Labels = Annotated[
    dict[Annotated[Text, Field(min_length=1, max_length=200)], Annotated[Text, Field(max_length=2000)]],
    Field(max_length=100),
]
Time = Annotated[
    AwareDatetime, BeforeValidator(_is_text, json_schema_input_type=str), AfterValidator(_is_writable)
]

Severities = Annotated[list[Severity], Field(max_length=50), AfterValidator(_without_doubles)]


class Body(BaseModel):
    """A request's body: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid")


class Change(Body):
    """A change to an incident. occurred_at: when it really happened, if not now."""

    occurred_at: Time | None = None


class TriggerBody(Change):
    title: Line
    severity: Severity
    category: Category | None = None
    description: Long = ""
    labels: Labels = {}
    dedup_key: Annotated[Text, Field(min_length=1, max_length=500)] | None = None
    team: Name | None = None


class NoteBody(Change):
    note: Long | None = None


class ReopenBody(Change):
    reason: Annotated[Long, Field(min_length=1)]


class UpdateBody(Change):
    body: Annotated[Long, Field(min_length=1)]


class SeverityBody(Change):
    severity: Severity
    reason: Long | None = None


class CategoryBody(Change):
    category: Category | None


class AssignBody(Change):
    """Exactly one of person and team; null takes it away."""

    person: UUID | None = None
    team: Name | None = None


class MergeBody(Change):
    into: Name


class CorrectBody(Change):
    """What was written down wrongly, put right; at least one of them besides the reason."""

    title: Line | None = None
    description: Long | None = None
    labels: Labels | None = None
    triggered_at: Time | None = None
    acknowledged_at: Time | None = None
    resolved_at: Time | None = None
    reason: Long | None = None


class IntegrationBody(Body):
    name: Name
    kind: Literal["alertmanager", "grafana"]
    default_severity: Severity | None = None
    default_category: Category | None = None


class RecipientBody(Body):
    """Who is to be alerted. whatsapp: an international number; fallback: an apprise URL, such as mailto://...

    The number's and the address's own rules are in `recipient_rules`.
    """

    name: Name
    whatsapp: Name
    severities: Severities = ["critical", "high"]
    person: UUID | None = None
    opt_in: StrictBool = True
    fallback: Annotated[Text, Field(min_length=1, max_length=2000)] | None = None


class RecipientPatch(Body):
    """What to change; what is not named stays. null takes `person` or `fallback` away."""

    name: Name = Field(default_factory=str)  # which, unlike a default, the OpenAPI document does not promise
    whatsapp: Name = Field(default_factory=str)
    severities: Severities = Field(default_factory=list)
    person: UUID | None = None
    opt_in: StrictBool = Field(default_factory=bool)
    fallback: Annotated[Text, Field(min_length=1, max_length=2000)] | None = None
