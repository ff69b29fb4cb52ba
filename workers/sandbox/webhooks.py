"""Posts webhooks to the callback: signed, at least once, tried again with growing pauses, for a bounded time."""

import asyncio
import hashlib
import hmac
import json
import logging
import secrets
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

import httpx

from workers.sandbox.payloads import Payload

log = logging.getLogger(__name__)

AT_ONCE = 32


@dataclass(frozen=True)
class Pace:
    """Seconds: between two statuses; between two attempts, `first_retry_s`, doubled up to `longest_retry_s`."""

    status_s: float = 0.15
    first_retry_s: float = 0.25
    longest_retry_s: float = 15.0
    attempts: int = 12
    answer_s: float = 10.0


def encoded(payload: Payload) -> bytes:
    """The bytes that are signed and sent. Meta escapes what is not ASCII, and slashes: a receiver that encodes
    the parsed body anew gets another signature."""
    return json.dumps(payload, separators=(",", ":")).replace("/", "\\/").encode()


def signature(app_secret: str, raw: bytes) -> str:
    """What the header X-Hub-Signature-256 says."""
    return "sha256=" + hmac.new(app_secret.encode(), raw, hashlib.sha256).hexdigest()


class Webhooks:
    """The way to one callback URL. Use inside its `async with`: leaving it drops what is under way."""

    def __init__(self, callback_url: str, app_secret: str, verify_token: str, pace: Pace) -> None:
        self._url = callback_url
        self._secret = app_secret
        self._verify_token = verify_token
        self._pace = pace
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()
        self.state = "not asked yet"
        """For people: how the callback last answered."""

    async def __aenter__(self) -> "Webhooks":
        self._client = httpx.AsyncClient(timeout=self._pace.answer_s, trust_env=False)
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._client.aclose()

    def later(self, work: Coroutine[Any, Any, None]) -> None:
        """Do it beside whatever else is done."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("a webhook was lost", exc_info=task.exception())

    async def deliver(self, payload: Payload) -> bool:
        """Post until the callback answers 2xx; whether it did."""
        raw = encoded(payload)
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "facebookexternalua",
            "X-Hub-Signature-256": signature(self._secret, raw),
        }
        pause = self._pace.first_retry_s
        for attempt in range(self._pace.attempts):
            if attempt:
                await asyncio.sleep(pause)
                pause = min(pause * 2, self._pace.longest_retry_s)
            try:
                async with self._slots:
                    answer = await self._client.post(self._url, content=raw, headers=headers)
            except httpx.HTTPError as problem:
                self.state = f"does not answer ({type(problem).__name__})"
                continue
            self.state = f"answered {answer.status_code}"
            if answer.is_success:
                return True
        log.warning("gave up on a webhook after %d attempts: the callback %s", self._pace.attempts, self.state)
        return False

    async def verify(self) -> tuple[bool, str]:
        """Meta's challenge: the callback must answer 200 with the number sent. Whether it did, and in words."""
        challenge = str(secrets.randbelow(10**10))
        asked = {"hub.mode": "subscribe", "hub.challenge": challenge, "hub.verify_token": self._verify_token}
        try:
            answer = await self._client.get(self._url, params=asked)
        except httpx.HTTPError as problem:
            self.state = f"does not answer ({type(problem).__name__})"
            return False, f"{self._url} does not answer yet"
        if answer.status_code == 200 and answer.text.strip() == challenge:
            self.state = "passed the challenge"
            return True, f"{self._url} passed the challenge"
        self.state = f"failed the challenge with {answer.status_code}"
        hint = "" if self._verify_token else "; no verify token was given here"
        return False, f"{self._url} failed the challenge: it answered {answer.status_code}{hint}"
