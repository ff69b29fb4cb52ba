"""What is known of a message after Meta was asked to send it, read from Meta's answer."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from workers.notifier.verdicts import MAX_REASON, Verdict, number, reason, verdict
from workers.notifier.words import cut, one_line


@dataclass(frozen=True)
class Taken:
    """Meta has it. wamid: Meta's id of the message; wa_id: the person's number in digits, where Meta said it."""

    wamid: str
    wa_id: str | None


@dataclass(frozen=True)
class Refused:
    """It was surely not sent. code: Meta's, None where something else refused. reason: words for people, at
    most 300 characters, without phone numbers, the token or what was written."""

    code: int | None
    reason: str
    verdict: Verdict


@dataclass(frozen=True)
class Unknown:
    """It may have been sent or not: a status webhook may tell. reason: as in Refused."""

    reason: str


Answer: TypeAlias = Taken | Refused | Unknown

MAX_WAMID = 512
METAS = ("code", "type", "fbtrace_id")
"""Fields of an error of Meta's, of which one at least tells it from a gateway's."""

WRITTEN = ("text", "body", "payload", "title")
"""The names under which a request says what people read or send back."""


def read(http_status: int, raw: bytes, private: tuple[str, ...] = ()) -> Answer:
    """What an HTTP answer means. private: strings that its reason must not quote.

    An error in Meta's form is a refusal. Where that form is missing, something between us and Meta answered:
    with 3xx or 4xx it refused, with 5xx it may have passed the message on.
    """
    body = _json(raw)
    error = body.get("error")
    otherwise = f"The answer was HTTP {http_status}, without a reason."
    if 200 <= http_status < 300:
        wamid = _first(body, "messages").get("id")
        if isinstance(wamid, str) and 0 < len(wamid) <= MAX_WAMID and wamid.isprintable():
            return Taken(wamid, _wa_id(body))
        said = reason(error, "no error either", private) if isinstance(error, dict) else "no error either"
        return Unknown(cut(f"The answer was HTTP {http_status} without a message id: {said}", MAX_REASON))
    if isinstance(error, dict) and any(name in error for name in METAS):
        code, subcode = number(error.get("code")), number(error.get("error_subcode"))
        return Refused(code, reason(error, otherwise, private), verdict(code, http_status, subcode))
    if http_status < 300 or http_status >= 500:
        return Unknown(f"The answer was HTTP {http_status}, and not from WhatsApp.")
    return Refused(None, otherwise, verdict(None, http_status))


def written(content: object) -> Iterator[str]:
    """What of a message's content is somebody's words, as `read` shall not quote it."""
    if isinstance(content, dict):
        for name, value in content.items():
            if name in WRITTEN and isinstance(value, str) and len(value) > 3:
                yield one_line(value)
            elif name != "type":
                yield from written(value)
    elif isinstance(content, list):
        for each in content:
            yield from written(each)


def _json(raw: bytes) -> dict[str, Any]:
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def _first(body: dict[str, Any], name: str) -> dict[str, Any]:
    listed = body.get(name)
    first = listed[0] if isinstance(listed, list) and listed else None
    return first if isinstance(first, dict) else {}


def _wa_id(body: dict[str, Any]) -> str | None:
    wa_id = _first(body, "contacts").get("wa_id")
    return wa_id if isinstance(wa_id, str) and wa_id.isascii() and wa_id.isdigit() and len(wa_id) < 20 else None
