"""Who is who: tokens, integrations and people's names, from the database and remembered for a moment."""

import hashlib
import secrets
import time
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from psycopg_pool import AsyncConnectionPool

from domain.access import Power, powers
from domain.words import Category, Severity

T = TypeVar("T")

REMEMBER_S = 1.0
"""How long a token that was revoked may still work."""

REMEMBER_NAMES_S = 10.0
"""How long a name may still be shown after another process changed it."""


class Caller(NamedTuple):
    """The person who asks, and what they may do in the organisation that they ask about.

    home: the person's own organisation, which differs for a super admin who names another one. scoped: it is by
    a token that may not do all that its person may. Of session and token one is null. what: method and path
    template of the request, by which its refusal is put on record.
    """

    organization_id: UUID
    person_id: UUID
    role: str
    powers: frozenset[Power]
    home: UUID
    session: UUID | None = None
    token: UUID | None = None
    scoped: bool = False
    what: str = ""


class Integration(NamedTuple):
    """A source of alerts."""

    id: UUID
    organization_id: UUID
    name: str
    kind: str
    default_severity: Severity | None
    default_category: Category | None


def new_secret(prefix: str) -> str:
    """A new token or key with 256 random bits; `prefix` tells people what it is."""
    return f"{prefix}_{secrets.token_urlsafe(32)}"


def secret_hash(secret: str) -> bytes:
    """What is stored of a token or key. It is random itself, so it needs neither salt nor stretching."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()


class Directory:
    """Looks up by secret or id; what is found is remembered for REMEMBER_S."""

    def __init__(self, pool: AsyncConnectionPool[Any]) -> None:
        self._pool = pool
        self._seen: dict[tuple[str, bytes], tuple[float, Any]] = {}
        self._names: dict[UUID, tuple[float, str]] = {}

    async def caller(self, token: str, *, used: bool = True) -> Caller | None:
        """Whose token this is, if it works. Its last use is kept to the minute."""
        return await self._find("token", secret_hash(token), _OF_API, _by_token, _API_USED if used else None)

    async def session(self, secret: str, *, used: bool = True) -> Caller | None:
        """Whose session this is, if it works. When it was last used is kept to the minute."""
        key = secret_hash(secret)
        return await self._find("session", key, _SESSION, _by_session, _USED_SESSION if used else None)

    async def integration(self, key: str) -> Integration | None:
        """Whose integration key this is."""
        return await self._find("integration", secret_hash(key), _INTEGRATION, _integration)

    async def organization_exists(self, id: UUID) -> bool:
        """Whether there is such an organisation."""
        return await self._find("organization", id.bytes, _ORGANIZATION, lambda _: True) or False

    def forget(self) -> None:
        """Access has changed: this process goes by what is so now. Others do within REMEMBER_S."""
        self._seen.clear()

    async def person_exists(self, organization_id: UUID, person_id: UUID) -> bool:
        """Whether the organisation has this person."""
        query = "select 1 from access.people where organization_id = %s and id = %s and disabled_at is null"
        async with self._pool.connection() as connection:
            return await (await connection.execute(query, (organization_id, person_id))).fetchone() is not None

    async def role(self, organization_id: UUID, person_id: UUID) -> str | None:
        """A person's role; None where the organisation has no such person."""
        query = "select role from access.people where organization_id = %s and id = %s and disabled_at is null"
        async with self._pool.connection() as connection:
            row = await (await connection.execute(query, (organization_id, person_id))).fetchone()
        return row[0] if row else None

    async def names(self, ids: set[UUID]) -> dict[UUID, str]:
        """The names of people, integrations and recipients; those unknown or erased are left out."""
        now = time.monotonic()
        known = {id: seen[1] for id in ids if (seen := self._names.get(id)) is not None and seen[0] >= now}
        missing = [id for id in ids if id not in known]
        if missing:
            async with self._pool.connection() as connection:
                rows = await (await connection.execute(_NAMES, {"ids": missing})).fetchall()
            if len(self._names) > 10_000:
                self._names.clear()
            self._names.update({id: (now + REMEMBER_NAMES_S, name) for id, name in rows})
            known.update(rows)
        return known

    def forget_name(self, id: UUID) -> None:
        """It has changed: this process shows the new one from now on."""
        self._names.pop(id, None)

    def forget_names(self) -> None:
        """Somebody was erased: this process shows no remembered name from now on."""
        self._names.clear()

    async def actor(self, kind: str, id: UUID | None) -> dict[str, Any]:
        """An actor as the API shows it."""
        names = await self.names({id}) if id else {}
        via = {"via": "whatsapp"} if kind == "whatsapp" else {}
        return {"kind": kind, "id": str(id) if id else None, "name": names.get(id) if id else None, **via}

    async def _find(
        self, what: str, key: bytes, query: str, make: Callable[[Any], T], used: str | None = None
    ) -> T | None:
        """used: what is written, at most once a minute, when it is found; it gets the first column."""
        now = time.monotonic()
        seen = self._seen.get((what, key))
        if seen is None or seen[0] < now:
            async with self._pool.connection() as connection:
                row = await (await connection.execute(query, (key,))).fetchone()
                if used is not None and row is not None and row[1]:
                    await connection.execute(used, {"id": row[0]})
            if len(self._seen) > 10_000:
                self._seen.clear()
            seen = self._seen[what, key] = (now + REMEMBER_S, make(row) if row else None)
        found: T | None = seen[1]
        return found


def _by_token(row: Any) -> Caller:
    id, _, organization, person, role, scopes = row
    return Caller(
        organization, person, role, powers(role, scopes), organization, token=id, scoped=scopes is not None
    )


def _by_session(row: Any) -> Caller:
    id, _, organization, person, role = row
    return Caller(organization, person, role, powers(role, None), organization, session=id)


def _integration(row: Any) -> Integration:
    return Integration(*row)


SESSION_IDLE = "12 hours"
SESSION_AT_MOST = "30 days"
SESSION_WORKS = f"""
    s.revoked_at is null and s.last_seen_at > now() - interval '{SESSION_IDLE}'
    and s.created_at > now() - interval '{SESSION_AT_MOST}'"""
"""SQL: whether a session still counts."""

_OF_API = """
    select t.id, t.last_used_at is null or t.last_used_at < now() - interval '1 minute',
           p.organization_id, p.id, p.role, t.scopes
      from access.tokens t join access.people p on p.id = t.person_id
     where t.hash = %s and t.revoked_at is null and (t.expires_at is null or t.expires_at > now())
       and p.disabled_at is null"""
_API_USED = """
    with used as (
        update access.tokens set last_used_at = date_trunc('minute', now()) where id = %(id)s
               and (last_used_at is null or last_used_at < now() - interval '1 minute') returning person_id)
    update access.people set last_seen_at = date_trunc('minute', now()) where id in (select person_id from used)"""
_SESSION = f"""
    select s.id, s.last_seen_at < now() - interval '1 minute', p.organization_id, p.id, p.role
      from access.sessions s join access.people p on p.id = s.person_id
     where s.hash = %s and {SESSION_WORKS} and p.disabled_at is null"""
_USED_SESSION = """
    with used as (
        update access.sessions set last_seen_at = now() where id = %(id)s
               and last_seen_at < now() - interval '1 minute' returning person_id)
    update access.people set last_seen_at = date_trunc('minute', now()) where id in (select person_id from used)"""
_ORGANIZATION = "select 1 from access.organizations where id = encode(%s, 'hex')::uuid"
_INTEGRATION = """
    select id, organization_id, name, kind, default_severity, default_category from access.integrations
     where key_hash = %s and disabled_at is null"""
_NAMES = """
    select id, name from access.people where id = any (%(ids)s)
    union all select id, name from access.integrations where id = any (%(ids)s)
    union all select id, name from notify.recipients where id = any (%(ids)s)"""
