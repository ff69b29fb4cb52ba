"""Who may do what: the powers of roles and tokens, and what changes them, as events of the organisation.

Pure: each `decide` gets the organisation as it stands and answers with events; the rows that go with them (names,
addresses, hashes) are written by whoever asks, in the same transaction.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final, Literal, get_args
from uuid import UUID

from domain.decisions import Request
from domain.organization import Organization
from domain.organization_events import (
    AccessRefused,
    AccessRemoved,
    CalendarFeedIssued,
    CalendarFeedRevoked,
    IdentityLinked,
    IntegrationAdded,
    OrganizationEvent,
    PersonErased,
    Role,
    RoleGranted,
    SignInLinkIssued,
    TokenIssued,
    TokenRevoked,
)

Power = Literal["self", "read", "respond", "manage", "install"]
"""self: one's own name, number, tokens, sessions. read, respond: incidents. manage: the organisation's people and
settings. install: all organisations."""

Scope = Literal["read", "respond", "manage"]

ROLES: Final[tuple[Role, ...]] = get_args(Role)
SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)

POWERS: Final[dict[str, frozenset[Power]]] = {
    "super_admin": frozenset(("self", "read", "respond", "manage", "install")),
    "org_admin": frozenset(("self", "read", "respond", "manage")),
    "responder": frozenset(("self", "read", "respond")),
    "member": frozenset(("self",)),
}

LINK_FOR: Final = timedelta(hours=24)
"""How long a sign-in link works."""

SEES_INCIDENTS: Final = frozenset(role for role, may in POWERS.items() if "read" in may)
"""Roles; who is on call or a team's member has one of them."""


def powers(role: str, scopes: Iterable[str] | None) -> frozenset[Power]:
    """What somebody of that role may do with a token of these scopes; None: a session, or a token without limits.
    A token never has more than its person."""
    mine = POWERS.get(role, frozenset())
    return mine if scopes is None else mine & {"self", *scopes}


def grant(
    ask: Request, now: Organization, person: UUID, role: Role, held: Role | None
) -> tuple[OrganizationEvent, ...]:
    """The person gets the role. held: as the rows have it, which may be older than the events; None: no access."""
    previous = now.roles.get(person, held)
    if previous == role == held and person in now.roles:
        return ()
    return (RoleGranted.model_validate({**ask.meta(), "person_id": person, "role": role, "previous": previous}),)


def remove(ask: Request, now: Organization, person: UUID, held: Role) -> tuple[OrganizationEvent, ...]:
    """The person may do nothing any more, nor may their tokens."""
    previous = now.roles.get(person, held)
    return (AccessRemoved.model_validate({**ask.meta(), "person_id": person, "previous": previous}),)


def erase(ask: Request, person: UUID) -> tuple[OrganizationEvent, ...]:
    """What was known about the person goes."""
    return (PersonErased.model_validate({**ask.meta(), "person_id": person}),)


def refuse(ask: Request, person: UUID, what: str) -> tuple[OrganizationEvent, ...]:
    """They tried what they may not. what: method and route, without values."""
    return (AccessRefused.model_validate({**ask.meta(), "person_id": person, "what": what}),)


def issue(
    ask: Request, token: UUID, person: UUID, scopes: Iterable[str], expires_at: datetime | None
) -> tuple[OrganizationEvent, ...]:
    """A token begins to work."""
    fields = {"token_id": token, "person_id": person, "scopes": tuple(scopes), "expires_at": expires_at}
    return (TokenIssued.model_validate({**ask.meta(), **fields}),)


def revoke(ask: Request, token: UUID, person: UUID) -> tuple[OrganizationEvent, ...]:
    """A token works no more."""
    return (TokenRevoked.model_validate({**ask.meta(), "token_id": token, "person_id": person}),)


def link(ask: Request, person: UUID, expires_at: datetime) -> tuple[OrganizationEvent, ...]:
    """A link signs the person in, once."""
    return (SignInLinkIssued.model_validate({**ask.meta(), "person_id": person, "expires_at": expires_at}),)


def identify(ask: Request, person: UUID) -> tuple[OrganizationEvent, ...]:
    """The provider signs the person in."""
    return (IdentityLinked.model_validate({**ask.meta(), "person_id": person}),)


def feed(ask: Request, feed: UUID, schedule: str | None, person: UUID | None) -> tuple[OrganizationEvent, ...]:
    """A calendar feed begins to work: a schedule's, or a person's."""
    fields = {"feed_id": feed, "schedule": schedule, "person_id": person}
    return (CalendarFeedIssued.model_validate({**ask.meta(), **fields}),)


def end_feed(ask: Request, feed: UUID) -> tuple[OrganizationEvent, ...]:
    """A calendar feed works no more."""
    return (CalendarFeedRevoked.model_validate({**ask.meta(), "feed_id": feed}),)


def integrate(ask: Request, integration: UUID, kind: str) -> tuple[OrganizationEvent, ...]:
    """A source of alerts may send."""
    return (IntegrationAdded.model_validate({**ask.meta(), "integration_id": integration, "kind": kind}),)


def catch_up(
    ask: Request, now: Organization, people: dict[UUID, Role], tokens: dict[UUID, tuple[UUID, tuple[str, ...]]]
) -> tuple[OrganizationEvent, ...]:
    """Events for people and tokens who are there without any: of before organisations had events, or imported."""
    unknown = {person: role for person, role in people.items() if person not in now.roles}
    found = [event for person, role in unknown.items() for event in grant(ask, now, person, role, None)]
    for token, (person, scopes) in tokens.items():
        if token not in now.tokens:
            found += issue(ask, token, person, scopes, None)
    return tuple(found)
