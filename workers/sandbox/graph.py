"""Meta's door: `POST /vNN.N/{phone_number_id}/messages`, answered and refused as the Cloud API does."""

import asyncio
import re
from contextlib import suppress
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from workers.sandbox.chats import Message
from workers.sandbox.outgoing import Outgoing, read
from workers.sandbox.refusals import Refused
from workers.sandbox.sandbox import Sandbox

VERSION = re.compile(r"v([0-9]{1,2}\.[0-9])")
LONGEST_S = 600


def router(sandbox: Sandbox) -> APIRouter:
    routes = APIRouter()

    @routes.post("/{version}/{phone_number_id}/messages")
    async def messages(request: Request, version: str, phone_number_id: str) -> Response:
        """Send a message."""
        received_at = sandbox.clock()
        raw = await request.body()
        try:
            number = _version(version, request.url.path)
            _authorize(sandbox, request)
            _check_id(phone_number_id)
            outgoing = read(raw, sandbox.templates)
            fault = sandbox.conduct.fault()
            if fault.timeout == "unprocessed":
                return await _hang(request)
            if refusal := fault.refusal:
                await asyncio.sleep(fault.delay_s)
                raise refusal
            message = sandbox.take(outgoing, phone_number_id, number, received_at)
        except Refused as refusal:
            sandbox.refused(refusal)
            return refusal.response()
        if fault.timeout:
            return await _hang(request)
        await asyncio.sleep(fault.delay_s)
        return JSONResponse(_answer(outgoing, message))

    return routes


def _version(version: str, path: str) -> float:
    found = VERSION.fullmatch(version)
    if not found:
        raise Refused(2500, message=f"Unknown path components: {path}")
    return float(found[1])


def _authorize(sandbox: Sandbox, request: Request) -> None:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Refused(190)
    if sandbox.settings.token is not None and token.strip() != sandbox.settings.token:
        raise Refused(190)


def _check_id(phone_number_id: str) -> None:
    if not re.fullmatch(r"[0-9]{1,20}", phone_number_id):
        what = "does not exist, cannot be loaded due to missing permissions, or does not support this operation"
        raise Refused(
            100, message=f"Unsupported post request. Object with ID '{phone_number_id}' {what}.", subcode=33
        )


def _answer(outgoing: Outgoing, message: Message) -> dict[str, Any]:
    sent: dict[str, Any] = {"id": message.wamid}
    if (
        outgoing.type == "template"
    ):  # Meta says whether it holds a template back; of other messages it says nothing
        sent["message_status"] = "accepted"
    return {
        "messaging_product": "whatsapp",
        "contacts": [{"input": outgoing.to, "wa_id": outgoing.wa_id}],
        "messages": [sent],
    }


async def _hang(request: Request) -> Response:
    """Wait until who asked has given up."""
    with suppress(TimeoutError):
        async with asyncio.timeout(LONGEST_S):
            while (await request.receive())["type"] != "http.disconnect":
                pass
    return Response(status_code=504)
