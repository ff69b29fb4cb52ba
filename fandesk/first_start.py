"""What a new installation begins with: an organisation, its first super admin, a sign-in link and an API token."""

from datetime import UTC, datetime
from typing import Any, NamedTuple, cast
from uuid import UUID

import psycopg

from api.directory import new_secret, secret_hash
from commands.directly import change_directly, load_directly
from commands.ids import new_id
from domain.access import LINK_FOR, SCOPES, catch_up, grant, issue, link
from domain.decisions import SYSTEM, Request
from domain.organization_events import Role

_LOCK = 7308604899


class FirstStart(NamedTuple):
    """What was made. Token and link's secret are shown once; only their hashes are kept."""

    organization_id: UUID
    token: str
    link: str


def first_start(dsn: str, organization: str, token: str | None) -> FirstStart | None:
    """Make the first organisation and super admin; None where there are some already."""
    with psycopg.connect(dsn) as connection:
        connection.execute("select pg_advisory_xact_lock(%s)", (_LOCK,))
        if connection.execute("select 1 from access.organizations limit 1").fetchone():
            return None
        organization_id = new_id()
        connection.execute(
            "insert into access.organizations (id, name) values (%s, %s)", (organization_id, organization)
        )
        made = add_token(connection, organization_id, "Super admin", "super_admin", token)
        return FirstStart(organization_id, made, _add_link(connection, organization_id))


def _add_link(connection: psycopg.Connection[Any], organization_id: UUID) -> str:
    """A link's secret, for the only person that there is."""
    secret, ask = new_secret("fdl"), _ask(organization_id)
    expires_at = ask.asked_at + LINK_FOR
    row = connection.execute(
        "insert into access.links (hash, person_id, expires_at)"
        " select %s, id, %s from access.people where organization_id = %s returning person_id",
        (secret_hash(secret), expires_at, organization_id),
    ).fetchone()
    assert row is not None
    change_directly(connection, organization_id, lambda _: link(ask, row[0], expires_at))
    return secret


def add_token(
    connection: psycopg.Connection[Any],
    organization_id: UUID,
    person: str,
    role: str,
    token: str | None = None,
) -> str:
    """An API token for the person of that name in the organisation, who is added if there is none. It may do all
    that its person may."""
    with connection.transaction():
        row = connection.execute(
            "select id, role from access.people where organization_id = %s and name = %s and disabled_at is null"
            " order by created_at limit 1",
            (organization_id, person),
        ).fetchone()
        person_id = row[0] if row else new_id()
        held = cast(Role, row[1] if row else role)
        if row is None:
            connection.execute(
                "insert into access.people (id, organization_id, name, role) values (%s, %s, %s, %s)",
                (person_id, organization_id, person, role),
            )
        token, token_id = token or new_secret("fdt"), new_id()
        made = connection.execute(
            "insert into access.tokens (id, organization_id, person_id, name, hash) values (%s, %s, %s, %s, %s)"
            " on conflict (hash) do nothing",
            (token_id, organization_id, person_id, f"{person}'s", secret_hash(token)),
        )
        ask = _ask(organization_id)
        change_directly(
            connection,
            organization_id,
            lambda now: (
                *(() if person_id in now.roles else grant(ask, now, person_id, held, None)),
                *(issue(ask, token_id, person_id, SCOPES, None) if made.rowcount else ()),
            ),
        )
    return token


def put_access_on_record(dsn: str) -> None:
    """Events for people and tokens that are there without: they are of before there were such events, or came with
    an import. Does nothing where there are none."""
    with psycopg.connect(dsn) as connection:
        for (organization_id,) in connection.execute("select id from access.organizations").fetchall():
            people: dict[UUID, Role] = dict(connection.execute(_PEOPLE, (organization_id,)).fetchall())
            tokens = {
                id: (person, tuple(scopes or SCOPES))
                for id, person, scopes in connection.execute(_TOKENS, (organization_id,)).fetchall()
            }
            ask = _ask(organization_id)
            if catch_up(ask, load_directly(connection, organization_id), people, tokens):
                change_directly(
                    connection,
                    organization_id,
                    lambda now, ask=ask, people=people, tokens=tokens: catch_up(  # type: ignore[misc]
                        ask, now, people, tokens
                    ),
                )
            connection.commit()


def _ask(organization_id: UUID) -> Request:
    id = new_id()
    return Request(organization_id, SYSTEM, datetime.now(UTC), id, id)


_PEOPLE = "select id, role from access.people where organization_id = %s and disabled_at is null"
_TOKENS = """
    select t.id, t.person_id, t.scopes from access.tokens t join access.people p on p.id = t.person_id
     where t.organization_id = %s and t.revoked_at is null and p.disabled_at is null"""
