"""Bodies and answers of people, tokens, sessions and organisations."""

from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, BaseModel, Field

from api.schemas import Body, Name, Text, Time
from api.shapes import Named
from domain.access import Power, Scope
from domain.alerting import DeliveryState
from domain.localtime import zone_of
from domain.organization_events import Role


def _zone(name: str) -> str:
    return zone_of(name).key


def _address(text: str) -> str:
    local, at, host = text.rpartition("@")
    if not (at and local and "." in host.strip(".")) or any(c.isspace() or not c.isprintable() for c in text):
        raise ValueError("is no e-mail address")
    return text


Zone = Annotated[Text, Field(min_length=1, max_length=60), AfterValidator(_zone)]
Email = Annotated[Text, Field(min_length=3, max_length=254), AfterValidator(_address)]
Password = Annotated[Text, Field(min_length=1, max_length=1000)]
Number = Annotated[Text, Field(min_length=1, max_length=40)]
NewRole = Annotated[Role, Field(description="super_admin may only be given by super admins")]


class SignInBody(Body):
    """Who wants to sign in. next: where a form's answer leads to, a path of ours."""

    email: Annotated[Text, Field(min_length=1, max_length=254)]
    password: Password
    next: Annotated[Text, Field(max_length=500)] = "/"


class PasswordBody(Body):
    """current: not needed where there is none yet, or for an hour after signing in by a link."""

    current: Password | None = None
    new: Password


class PersonBody(Body):
    """Somebody new."""

    name: Name
    email: Email | None = None
    role: NewRole = "member"
    whatsapp: Number | None = None
    time_zone: Zone | None = None


class PersonPatch(Body):
    """What shall change about a person; what is not named stays."""

    name: Name = ""
    email: Email | None = None
    whatsapp: Number | None = None
    time_zone: Zone | None = None


class RoleBody(Body):
    """The role that a person shall have."""

    role: NewRole


class MePatch(Body):
    """What shall change about oneself. whatsapp: counts once its code is confirmed; null takes it away."""

    name: Name = ""
    whatsapp: Number | None = None
    time_zone: Zone | None = None


class CodeBody(Body):
    """The six digits that came on WhatsApp."""

    code: Annotated[Text, Field(min_length=1, max_length=20)]


class TokenBody(Body):
    """A new token."""

    name: Name
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=10)] | None = None
    expires_at: Time | None = None
    person: UUID | None = None


class Token(BaseModel):
    """scopes: null for a token that may do all that its person may. last_used_at: to the minute."""

    id: UUID
    name: str
    person: Named
    scopes: list[Scope] | None
    created_at: str
    expires_at: str | None
    last_used_at: str | None


class NewToken(Token):
    """A token that was just made."""

    token: str


class TokenPage(BaseModel):
    """A page of tokens."""

    items: list[Token]
    next_cursor: str | None


class Person(BaseModel):
    """role: null for whose access was removed. whatsapp_confirmed: they have shown that it is theirs, or said that
    they agree to be written to."""

    id: UUID
    name: str
    email: str | None
    role: Role | None
    whatsapp: str | None
    whatsapp_confirmed: bool
    time_zone: str | None
    created_at: str
    last_seen_at: str | None
    erased_at: str | None


class PersonPage(BaseModel):
    """A page of people."""

    items: list[Person]
    next_cursor: str | None


class CodeSent(BaseModel):
    """What became of the message with a code. reason: why it is not on its way."""

    state: DeliveryState
    reason: str | None


class Me(Person):
    """Oneself. whatsapp_waiting: a number that waits for its code; whatsapp_code: what became of that."""

    organization: Named
    powers: list[Power]
    has_password: bool
    whatsapp_waiting: str | None
    whatsapp_code: CodeSent | None


class SessionInfo(BaseModel):
    """Who is signed in. csrf_token: to be sent as X-CSRF-Token with whatever changes something; null by token."""

    person: Named
    role: Role
    organization: Named
    powers: list[Power]
    csrf_token: str | None


class Session(BaseModel):
    """A session that counts. current: this very one."""

    id: UUID
    method: str
    user_agent: str | None
    created_at: str
    last_seen_at: str
    current: bool


class SessionList(BaseModel):
    """Sessions, the latest first."""

    items: list[Session]


class SignInLink(BaseModel):
    """Works once. url: shown only now."""

    url: str
    expires_at: str


class Targets(BaseModel):
    """Seconds from trigger to acknowledgement."""

    critical: int
    high: int
    medium: int
    low: int


class Organization(BaseModel):
    """An organisation and what it promises."""

    id: UUID
    name: str
    created_at: str
    response_targets: Targets


class OrganizationItem(BaseModel):
    """An organisation by name."""

    id: UUID
    name: str
    created_at: str


class OrganizationPage(BaseModel):
    """A page of organisations."""

    items: list[OrganizationItem]
    next_cursor: str | None


Seconds = Annotated[int, Field(ge=1, le=366 * 86400, strict=True)]


class TargetsBody(Body):
    """Within how many seconds incidents have to be acknowledged."""

    critical: Seconds
    high: Seconds
    medium: Seconds
    low: Seconds


class OrganizationPatch(Body):
    """What shall change. response_targets: null for the usual ones."""

    name: Name = ""
    response_targets: TargetsBody | None = None


class OrganizationBody(Body):
    """A new organisation."""

    name: Name
