"""Meta's webhooks: what became of messages, and what people answer. A 200 means: it is in the database for good.

Nothing is done about it here: the notifier reads the inbox. Texts, numbers and secrets are never logged.
"""

import hashlib
import hmac
import json
import logging
import re
import time
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import PlainTextResponse

from api.call import services
from api.problems import Forbidden, Malformed
from api.services import Services
from api.shapes import Problem
from api.views import Answer
from api.whatsapp_items import Item, items

PATH = "/webhooks/whatsapp"
CHANNEL = "whatsapp"
"""Where the database tells that something new is in the inbox."""

_CHALLENGE = re.compile(r"[A-Za-z0-9_.-]{1,200}")
_TOLD_AGAIN_AFTER_S = 60.0

log = logging.getLogger(__name__)
router = APIRouter(tags=["whatsapp"], responses={403: {"model": Problem, "description": "Not from Meta"}})

S = Annotated[Services, Depends(services)]
Word = Annotated[str, Query(max_length=1000)]


@router.get(
    PATH,
    response_class=PlainTextResponse,
    responses={422: {"model": Problem, "description": "A field cannot be accepted"}},
)
async def challenge(
    services: S,
    mode: Annotated[Word | None, Query(alias="hub.mode")] = None,
    verify_token: Annotated[Word | None, Query(alias="hub.verify_token")] = None,
    challenge: Annotated[Word | None, Query(alias="hub.challenge")] = None,
) -> PlainTextResponse:
    """Meta's question, when the webhook is set up there, whether it is meant: the challenge again, as text."""
    token = services.webhook.verify_token
    if token is None or mode != "subscribe" or not _same(verify_token or "", token):
        raise Forbidden("The verify token is not the one in FANDESK_WHATSAPP_VERIFY_TOKEN.")
    # what is sent back is nothing that a browser could be talked into running
    if challenge is None or not _CHALLENGE.fullmatch(challenge):
        raise Forbidden("The challenge is none of Meta's.")
    return PlainTextResponse(challenge, headers={"X-Content-Type-Options": "nosniff"})


@router.post(
    PATH,
    responses={
        400: {"model": Problem, "description": "Signed, but no JSON object"},
        413: {"model": Problem, "description": "Body too large"},
        503: {"model": Problem, "description": "Not recorded: send it again"},
    },
)
async def receive(services: S, request: Request) -> Answer:
    """Statuses, taps and texts, signed by Meta with the app's secret (`X-Hub-Signature-256`). They are recorded
    once, however often they are sent."""
    body = await request.body()
    _check_signature(services.webhook.app_secret, request.headers.get("x-hub-signature-256"), body)
    found = list(items(_payload(body), services.webhook.phone_number_id))
    if found:
        await _record(services, found)
    return Answer({"status": "accepted"})


def _check_signature(secret: str | None, header: str | None, body: bytes) -> None:
    """Raises Forbidden where the body was not signed with the secret."""
    if secret is None:
        raise Forbidden("Webhooks of WhatsApp are not configured: FANDESK_WHATSAPP_APP_SECRET is not set.")
    if header is None:
        _seldom.warn("a WhatsApp webhook without a signature was refused")
        raise Forbidden("There is no X-Hub-Signature-256.")
    right = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    if not _same(header, right):
        _seldom.warn("a WhatsApp webhook was refused: it is not signed with FANDESK_WHATSAPP_APP_SECRET")
        raise Forbidden("X-Hub-Signature-256 is not this body's.")


def _same(given: str, right: str) -> bool:
    """Whether they are the same, in a time that does not tell how much of them is. As bytes, because Python
    compares no other texts than ASCII so."""
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), right.encode())


def _payload(body: bytes) -> dict[str, Any]:
    """Raises Malformed."""
    try:
        payload = json.loads(body)
    except (ValueError, RecursionError):
        raise Malformed("The body is not valid JSON.") from None
    if not isinstance(payload, dict):
        raise Malformed("The body is no JSON object.")
    return payload


async def _record(services: Services, found: list[Item]) -> None:
    keys = [item.key for item in found]
    contents = [json.dumps(item.content) for item in found]
    async with services.pool.connection() as connection, connection.transaction():
        await connection.execute(_INSERT, (keys, contents))
        await connection.execute("select pg_notify(%s, '')", (CHANNEL,))


class _Seldom:
    """Warnings that anybody on the network can bring about, each at most once a minute."""

    def __init__(self) -> None:
        self._told: dict[str, float] = {}

    def warn(self, words: str) -> None:
        now = time.monotonic()
        if now - self._told.get(words, -_TOLD_AGAIN_AFTER_S) >= _TOLD_AGAIN_AFTER_S:
            self._told[words] = now
            log.warning("%s (told once a minute)", words)


_seldom = _Seldom()

_INSERT = """
    insert into notify.inbox (key, item)
    select key, item::jsonb from unnest(%s::text[], %s::text[]) with ordinality as told (key, item, nth)
     order by nth
        on conflict (key) do nothing"""
