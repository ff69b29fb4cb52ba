"""What a webhook of WhatsApp's says, taken apart: each status and message by itself, with a key of its own.

Nothing in it is relied on: whatever is missing or of another kind than it should be is passed over.
"""

import hashlib
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

DEEPEST = 40
"""Levels of a status or message that are kept; Meta's have six. What is deeper becomes null."""

LONGEST_KEY = 300
"""Characters of a key; those of WhatsApp's ids are about 60."""


class Item(NamedTuple):
    """A status or message. key: what makes it the same when it is told again."""

    key: str
    content: dict[str, Any]


def items(payload: dict[str, Any], phone_number_id: str | None) -> Iterator[Item]:
    """The statuses and messages of a webhook, in its order, but those that are for another phone number than
    `phone_number_id` (None: for whichever). They can be written to the database whatever they hold."""
    for entry in _objects(payload.get("entry")):
        for change in _objects(entry.get("changes")):
            value = change.get("value")
            if change.get("field") != "messages" or not isinstance(value, dict):
                continue
            number = _number(value)
            if number is not None and phone_number_id not in (None, number):
                continue
            for status in _objects(value.get("statuses")):
                told = writable(status)
                if _is_id(told.get("id")) and _is_id(told.get("status")):
                    key = _key("status", told["id"], told["status"])
                    yield Item(key, {"kind": "status", "status": told, "phone_number_id": number})
            for message in _objects(value.get("messages")):
                told = writable(message)
                if _is_id(told.get("id")):
                    key = _key("message", told["id"])
                    yield Item(key, {"kind": "message", "message": told, "phone_number_id": number})


def writable(value: Any, depth: int = DEEPEST) -> Any:
    """The same without what JSON in the database cannot hold: NUL, lone surrogates, numbers without end."""
    if isinstance(value, str):
        return value.replace("\x00", "\ufffd").encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, (list, dict)) and depth == 0:
        return None
    if isinstance(value, list):
        return [writable(each, depth - 1) for each in value]
    if isinstance(value, dict):
        return {writable(name): writable(each, depth - 1) for name, each in value.items()}
    return value


def _objects(value: Any) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _number(value: dict[str, Any]) -> str | None:
    metadata = value.get("metadata")
    number = metadata.get("phone_number_id") if isinstance(metadata, dict) else None
    return writable(number) if isinstance(number, str) else None


def _is_id(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _key(*parts: str) -> str:
    key = ":".join(parts)
    if len(key) <= LONGEST_KEY:
        return key
    return key[: LONGEST_KEY - 65] + "#" + hashlib.sha256(key.encode()).hexdigest()
