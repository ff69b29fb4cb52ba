"""People as the database has them, found in the organisation that is asked about."""

from typing import Any
from uuid import UUID

from psycopg import Cursor
from psycopg.rows import dict_row

from api.directory import Caller
from api.problems import NotThere
from api.refused import forbidden
from api.services import Services
from api.views import time_or_null

ERASED = "erased person"


async def find(services: Services, caller: Caller, id: UUID) -> dict[str, Any]:
    """A person of the organisation. Raises NotThere."""
    rows = await people(services, "p.organization_id = %s and p.id = %s", (caller.organization_id, id), 1)
    if not rows:
        raise NotThere("There is no such person.")
    return rows[0]


async def may_change(services: Services, caller: Caller, id: UUID) -> dict[str, Any]:
    """A person whom the caller may change: whoever could change a super admin could become one. Raises NotThere,
    Forbidden."""
    row = await find(services, caller, id)
    if row["role"] == "super_admin" and row["disabled_at"] is None:
        await of_super_admins(services, caller, "Super admins are changed by super admins.")
    return row


async def of_super_admins(services: Services, caller: Caller, why: str) -> None:
    """Only they may do this: what others try is put on record. Raises Forbidden."""
    if "install" not in caller.powers:
        raise await forbidden(services, caller, why)


async def people(services: Services, which: str, values: Any, limit: int) -> list[dict[str, Any]]:
    """Rows in the order in which they were added."""
    async with services.pool.connection() as connection, connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_PEOPLE.format(which=which).encode(), (*values, limit))
        rows: list[dict[str, Any]] = await cursor.fetchall()
    return rows


def email_taken(cursor: Cursor[Any], email: str, but: UUID) -> bool:
    """Whether somebody else signs in with it. Asked before it is written: PostgreSQL's log says of a row that it
    refuses what is in it."""
    return cursor.execute(_WITH_EMAIL, (email, but)).fetchone() is not None


def person_view(row: dict[str, Any]) -> dict[str, Any]:
    """A person as the API shows them."""
    return {
        "id": row["id"],
        "name": row["name"],
        "email": row["email"],
        "role": row["role"] if row["disabled_at"] is None else None,
        "whatsapp": row["whatsapp"],
        "whatsapp_confirmed": row["opted_in_at"] is not None,
        "time_zone": row["time_zone"],
        "created_at": time_or_null(row["created_at"]),
        "last_seen_at": time_or_null(row["last_seen_at"]),
        "erased_at": time_or_null(row["erased_at"]),
    }


_WITH_EMAIL = """
    select 1 from access.people where lower(email) = lower(%s) and id <> %s and disabled_at is null"""
_PEOPLE = """
    select p.id, p.organization_id, p.name, p.email, p.role, p.time_zone, p.created_at, p.last_seen_at,
           p.disabled_at, p.erased_at, p.password_hash is not null as has_password, r.whatsapp, r.opted_in_at
      from access.people p
      left join lateral (
           select whatsapp, opted_in_at from notify.recipients
            where person_id = p.id and removed_at is null order by severities <> '{{}}', created_at
            limit 1) r on true
     where {which}
     order by p.created_at, p.id limit %s"""
