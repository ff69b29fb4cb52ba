"""Who is who: tokens, integrations and people's names, from the database and remembered for a moment."""

import hashlib
import secrets
import time
from typing import Any, NamedTuple
from uuid import UUID

from psycopg_pool import AsyncConnectionPool

from domain.words import Category, Severity

REMEMBER_S = 1.0
"""How long a token that was revoked may still work."""

REMEMBER_NAMES_S = 10.0
"""How long a name may still be shown after another process changed it."""


class Caller(NamedTuple):
    """The person who asks, and the role in the organisation."""

    organization_id: UUID
    person_id: UUID
    role: str


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

    async def caller(self, token: str) -> Caller | None:
        """Whose token this is."""
        row = await self._row("token", secret_hash(token), _CALLER)
        return Caller(*row) if row else None

    async def integration(self, key: str) -> Integration | None:
        """Whose integration key this is."""
        row = await self._row("integration", secret_hash(key), _INTEGRATION)
        return Integration(*row) if row else None

    async def person_exists(self, organization_id: UUID, person_id: UUID) -> bool:
        """Whether the organisation has this person."""
        query = "select 1 from access.people where organization_id = %s and id = %s"
        async with self._pool.connection() as connection:
            return await (await connection.execute(query, (organization_id, person_id))).fetchone() is not None

    async def role(self, organization_id: UUID, person_id: UUID) -> str | None:
        """A person's role; None where the organisation has no such person."""
        query = "select role from access.people where organization_id = %s and id = %s"
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

    async def actor(self, kind: str, id: UUID | None) -> dict[str, Any]:
        """An actor as the API shows it."""
        names = await self.names({id}) if id else {}
        via = {"via": "whatsapp"} if kind == "whatsapp" else {}
        return {"kind": kind, "id": str(id) if id else None, "name": names.get(id) if id else None, **via}

    async def _row(self, what: str, hash: bytes, query: str) -> Any:
        now = time.monotonic()
        seen = self._seen.get((what, hash))
        if seen is None or seen[0] < now:
            async with self._pool.connection() as connection:
                row = await (await connection.execute(query, (hash,))).fetchone()
            if len(self._seen) > 10_000:
                self._seen.clear()
            seen = self._seen[what, hash] = (now + REMEMBER_S, row)
        return seen[1]


_CALLER = """
    select p.organization_id, p.id, p.role from access.tokens t join access.people p on p.id = t.person_id
     where t.hash = %s and t.revoked_at is null"""
_INTEGRATION = """
    select id, organization_id, name, kind, default_severity, default_category from access.integrations
     where key_hash = %s and disabled_at is null"""
_NAMES = """
    select id, name from access.people where id = any (%(ids)s)
    union all select id, name from access.integrations where id = any (%(ids)s)
    union all select id, name from notify.recipients where id = any (%(ids)s)"""
