"""Where in what was sent a field is that cannot be accepted."""

from collections.abc import Sequence
from typing import Any


def place_in(loc: Sequence[str | int], body: Any) -> list[str]:
    """The way to a field in what was sent, without pydantic's names for the alternatives that a field may be."""
    if loc[0] != "body":
        return [str(part) for part in loc if part not in ("query", "path", "header")]
    found: list[str] = []
    for n, part in enumerate(loc[1:], 2):
        inside = part in body if isinstance(body, dict) else isinstance(body, list) and isinstance(part, int)
        if inside and isinstance(body, dict) and loc[n : n + 1] == (part,):
            inside = isinstance(body[part], dict)  # the kind `hours` of a rotation, which has a field `hours`
        if inside or n == len(loc) or not isinstance(body, dict):
            found.append(str(part))
            body = body[part] if inside else None
    return found
