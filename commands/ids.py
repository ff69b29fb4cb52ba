"""New ids: UUID version 7 (RFC 9562), whose order is that of their making, so that indexes stay compact."""

import os
import time
from uuid import UUID


def new_id() -> UUID:
    """A new unique id: 48 bits of milliseconds since 1970, then random bits."""
    value = time.time_ns() // 1_000_000 << 80 | int.from_bytes(os.urandom(10))
    return UUID(int=value & ~(0xF << 76) & ~(0x3 << 62) | (0x7 << 76) | (0x2 << 62))
