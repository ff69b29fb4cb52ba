"""What a new installation begins with: an organisation, its first super admin, and that one's API token."""

from typing import NamedTuple
from uuid import UUID

import psycopg

from api.directory import new_secret, secret_hash
from commands.ids import new_id

_LOCK = 7308604899


class FirstStart(NamedTuple):
    """What was made. The token is shown once; only its hash is kept."""

    organization_id: UUID
    token: str


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
        return FirstStart(organization_id, made)


def add_token(
    connection: psycopg.Connection[tuple[object, ...]],
    organization_id: UUID,
    person: str,
    role: str,
    token: str | None = None,
) -> str:
    """An API token for the person of that name in the organisation, who is added if there is none."""
    row = connection.execute(
        "select id from access.people where organization_id = %s and name = %s order by created_at limit 1",
        (organization_id, person),
    ).fetchone()
    person_id = row[0] if row else new_id()
    if row is None:
        connection.execute(
            "insert into access.people (id, organization_id, name, role) values (%s, %s, %s, %s)",
            (person_id, organization_id, person, role),
        )
    token = token or new_secret("fdt")
    connection.execute(
        "insert into access.tokens (id, organization_id, person_id, name, hash) values (%s, %s, %s, %s, %s)"
        " on conflict (hash) do nothing",
        (new_id(), organization_id, person_id, f"{person}'s", secret_hash(token)),
    )
    return token
