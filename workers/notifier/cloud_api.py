"""Asks Meta's WhatsApp Cloud API to send a message, once, and says what is known afterwards."""

import asyncio
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx

from workers.notifier.answers import Answer, Refused, Taken, Unknown, read, written
from workers.notifier.limits import PAIR_INTERVAL_S
from workers.notifier.numbers import digits

__all__ = ["Answer", "CloudApi", "CloudApiSettings", "Refused", "Taken", "Unknown"]

VERSION = "v24.0"
"""Used where the base URL names none."""

CONNECT_S = 3.0
WHOLE_S = 10.0

HEADER_WORD = re.compile(r"[!-~]+")

LEFT_NOTHING = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
"""Errors that come before the first byte of the request has left."""


@dataclass(frozen=True)
class CloudApiSettings:
    """base_url: with or without a version. token: Meta's access token. whole_s: seconds for a whole request.
    pair_interval_s: what a message to one person costs of their rate, see `limits`."""

    base_url: str
    phone_number_id: str
    token: str = field(repr=False)
    template: str = "incident_alert"
    template_language: str = "en_US"
    code_template: str = "sign_in_code"
    whole_s: float = WHOLE_S
    pair_interval_s: float = PAIR_INTERVAL_S

    @property
    def messages_url(self) -> str:
        base = self.base_url.strip().rstrip("/")
        if not re.search(r"/v\d+\.\d+$", base):
            base = f"{base}/{VERSION}"
        return f"{base}/{quote(self.phone_number_id, safe='')}/messages"


class CloudApi:
    """Sends from one phone number. The client stays the caller's to close."""

    def __init__(self, settings: CloudApiSettings, client: httpx.AsyncClient) -> None:
        self.settings = settings
        self._client = client
        self._timeout = httpx.Timeout(settings.whole_s, connect=CONNECT_S, pool=CONNECT_S)

    async def send(self, to: str, content: dict[str, Any], *, callback_data: str) -> Answer:
        """Ask once. to: E.164 with plus. content: from `messages`. callback_data: comes back with every status
        of the message (`biz_opaque_callback_data`), so that one without an answer can still be matched.

        Raises nothing that the network or Meta could bring about.
        """
        token = self.settings.token.strip()
        if not HEADER_WORD.fullmatch(token):
            return Refused(None, "The access token is empty or has characters no token has.", "account")
        private = (token, to, digits(to), *written(content))
        try:
            async with asyncio.timeout(self.settings.whole_s):
                answer = await self._client.post(
                    self.settings.messages_url,
                    headers={"Authorization": f"Bearer {token}"},
                    json=_request(to, content, callback_data),
                    timeout=self._timeout,
                    follow_redirects=False,
                )
        except LEFT_NOTHING as broken:
            return Refused(None, f"WhatsApp could not be reached ({type(broken).__name__}).", "busy")
        except (httpx.InvalidURL, httpx.UnsupportedProtocol):
            return Refused(None, "The base URL of WhatsApp is not one that can be asked.", "account")
        except (TimeoutError, httpx.TimeoutException):
            return Unknown("WhatsApp did not answer in time.")
        except httpx.HTTPError as broken:
            return Unknown(f"The connection to WhatsApp broke ({type(broken).__name__}).")
        return read(answer.status_code, answer.content, private)


def _request(to: str, content: dict[str, Any], callback_data: str) -> dict[str, Any]:
    return {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to": to,  # with its plus: Meta may put our own country's code before a number without
        "biz_opaque_callback_data": callback_data,
        **content,
    }
