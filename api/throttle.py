"""Attempts to sign in are counted in the database: for every process, and through restarts.

An attempt counts before it is looked at, so that many at once do not get through; a success takes it back.
"""

import hashlib
from typing import Any
from uuid import UUID

from fastapi import Request
from psycopg import AsyncConnection

from api.problems import TooManyAttempts
from api.services import Services

WINDOW_S = 900
PER_ACCOUNT = 10
PER_ADDRESS = 100
"""In WINDOW_S seconds. An address may be a whole office."""


async def count(services: Services, request: Request, account: UUID | str) -> None:
    """Count an attempt at a password, for the address it comes from and for the account: a person, or an e-mail
    address that is nobody's, in the case that the database compares by. Raises TooManyAttempts."""
    async with services.pool.connection() as connection:
        await _count(connection, _address(request), PER_ADDRESS)
        await _count(connection, _account(account), PER_ACCOUNT)


async def succeeded(services: Services, request: Request, account: UUID) -> None:
    """That attempt was right: it does not count, nor do those before it on this account."""
    async with services.pool.connection() as connection:
        await connection.execute(
            "update access.attempts set count = greatest(0, count - 1) where key = %s", (_address(request),)
        )
        await connection.execute("delete from access.attempts where key = %s", (_account(account),))
        await connection.execute(
            "delete from access.attempts where since < now() - make_interval(secs => %s)", (WINDOW_S,)
        )


async def count_codes(services: Services, person: str, at_most: int) -> None:
    """Count a code that is about to be sent to a number. Raises TooManyAttempts."""
    async with services.pool.connection() as connection:
        await _count(connection, _key("code", person), at_most)


async def _count(connection: AsyncConnection[Any], key: bytes, at_most: int) -> None:
    row = await (await connection.execute(_COUNT, {"key": key, "window": WINDOW_S})).fetchone()
    assert row is not None
    if row[0] > at_most:
        raise TooManyAttempts("Too many attempts: wait a while.", retry_after_s=max(1, row[1]))


def _address(request: Request) -> bytes:
    return _key("address", request.client.host if request.client else "")


def _account(account: UUID | str) -> bytes:
    return _key("person" if isinstance(account, UUID) else "account", str(account))


def _key(kind: str, value: str) -> bytes:
    return hashlib.sha256(f"{kind}:{value}".encode("utf-8", "surrogatepass")).digest()


_COUNT = """
    insert into access.attempts as a (key, count, since) values (%(key)s, 1, now())
    on conflict (key) do update set
           count = case when a.since < now() - make_interval(secs => %(window)s) then 1 else a.count + 1 end,
           since = case when a.since < now() - make_interval(secs => %(window)s) then now() else a.since end
    returning count, ceil(extract(epoch from since + make_interval(secs => %(window)s) - now()))::int"""
