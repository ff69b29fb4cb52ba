"""Passwords: hashed by argon2id, compared in threads, and never faster for accounts that are not there."""

import asyncio
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from domain.errors import InvalidField

AT_LEAST = 12
"""Characters. Length is what counts; no rules on digits or signs (NIST SP 800-63B)."""

_HASHER = PasswordHasher()  # RFC 9106's second profile: 64 MiB, 3 passes
_AT_ONCE = asyncio.Semaphore(4)
"""Each takes 64 MiB and a processor for a while."""


def check_new(password: str, email: str | None) -> None:
    """Raises InvalidField for one that is too easy to guess."""
    if len(password) < AT_LEAST:
        raise InvalidField("new", f"Must have at least {AT_LEAST} characters.")
    if email is not None and password.strip().casefold() == email.casefold():
        raise InvalidField("new", "Must not be the e-mail address.")
    if len(set(password)) < 4:
        raise InvalidField("new", "Must have more than a few different characters.")


async def hashed(secret: str) -> str:
    """What is kept of it."""
    async with _AT_ONCE:
        return await asyncio.to_thread(_HASHER.hash, _writable(secret))


async def matches(secret: str, hash: str | None) -> bool:
    """Whether it is the one that was hashed. Takes as long where there is none."""
    async with _AT_ONCE:
        found = await asyncio.to_thread(_verify, _writable(secret), hash or _nobodys())
    return found and hash is not None


def is_outdated(hash: str) -> bool:
    """Whether it was made with less effort than is usual by now."""
    return _HASHER.check_needs_rehash(hash)


def _verify(secret: bytes, hash: str) -> bool:
    try:
        return _HASHER.verify(hash, secret)
    except (VerificationError, InvalidHashError):
        return False


def _writable(secret: str) -> bytes:
    return secret.encode("utf-8", "surrogatepass")


@cache
def _nobodys() -> str:
    return _HASHER.hash("nobody's password")
