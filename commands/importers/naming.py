"""Ids that follow from names: the same at every run."""

from hashlib import sha1
from uuid import UUID

_VERSION_5 = 5 << 76
_VARIANT = 1 << 63
_FREE = ~(0xF000 << 64 | 0xC000 << 48)


def named(namespace: UUID, name: str) -> UUID:
    """What `uuid.uuid5` gives, in half its time: an import makes one per row."""
    digest = sha1(namespace.bytes + name.encode("utf-8", "surrogatepass"), usedforsecurity=False).digest()
    return UUID(int=int.from_bytes(digest[:16], "big") & _FREE | _VERSION_5 | _VARIANT)
