"""Right messages to change, a callback that keeps what it hears, and a handle on a running sandbox."""

import hashlib
import hmac
import json
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx

from workers.sandbox.webhooks import Pace

SECRET = "app-secret"
VERIFY = "verify-token"
PERSON = "4915112345678"
NUMBER_ID = "106540352242922"
QUICK = Pace(status_s=0.01, first_retry_s=0.02, longest_retry_s=0.1, attempts=6)


@dataclass
class Callback:
    """What arrived, as it arrived. answers: statuses to give first; then 200."""

    url: str = ""
    raw: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    taken: list[dict[str, Any]] = field(default_factory=list)
    challenged: bool = False

    def values(self, kind: str) -> list[dict[str, Any]]:
        """The `value` of each webhook answered 200 that has statuses, or messages."""
        values = [body["entry"][0]["changes"][0]["value"] for body in list(self.taken)]
        return [value for value in values if kind in value]

    def statuses(self, wamid: str) -> list[str]:
        told = [status for value in self.values("statuses") for status in value["statuses"]]
        return [status["status"] for status in told if status["id"] == wamid]


class Handler(BaseHTTPRequestHandler):
    callback: Callback

    def do_GET(self) -> None:
        asked = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
        right = asked.get("hub.verify_token") == VERIFY and asked.get("hub.mode") == "subscribe"
        self.callback.challenged = self.callback.challenged or right
        self._answer(200 if right else 403, asked["hub.challenge"].encode() if right else b"")

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers["Content-Length"]))
        self.callback.raw.append((dict(self.headers.items()), raw))
        status = self.callback.answers.pop(0) if self.callback.answers else 200
        if status == 200:
            self.callback.taken.append(json.loads(raw))
        self._answer(status, b"")

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class Clock:
    """Stands still until it is turned."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.25

    def __call__(self) -> float:
        return self.now


@dataclass
class Running:
    """A sandbox that answers. said: what it told about the challenge."""

    http: httpx.Client
    clock: Clock
    said: list[str]

    def send(self, body: Any, *, number: str = NUMBER_ID, version: str = "v24.0", **more: Any) -> httpx.Response:
        more.setdefault("headers", {"Authorization": "Bearer EAAG"})
        return self.http.post(f"/{version}/{number}/messages", json=body, **more)

    def sent(self, body: Any, **more: Any) -> str:
        answer = self.send(body, **more)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["messages"][0]["id"])

    def behave(self, **behaviour: Any) -> None:
        self.http.put("/_sandbox/behaviour", json=behaviour).raise_for_status()

    def messages(self) -> list[dict[str, Any]]:
        return list(self.http.get("/_sandbox/messages").json()["items"])

    def reply(self, text: str = "hello", person: str = PERSON) -> str:
        answer = self.http.post("/_sandbox/reply", json={"from": person, "text": text})
        return str(answer.raise_for_status().json()["wamid"])

    def tap(self, wamid: str, button: str) -> httpx.Response:
        return self.http.post(f"/_sandbox/messages/{wamid}/tap", json={"button": button})


def alert(**changes: Any) -> dict[str, Any]:
    """A right template message; `changes` at its top."""
    texts = ("CRITICAL", "INC-12", "Checkout is down", "https://fandesk.test/incidents/INC-12")
    return {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to": PERSON,
        "type": "template",
        "template": {
            "name": "incident_alert",
            "language": {"code": "en_US"},
            "components": [
                {"type": "body", "parameters": [{"type": "text", "text": text} for text in texts]},
                quick_reply("ack:INC-12"),
                {
                    "type": "button",
                    "sub_type": "url",
                    "index": "1",
                    "parameters": [{"type": "text", "text": "incidents/INC-12"}],
                },
            ],
        },
        **changes,
    }


def quick_reply(payload: str, index: object = "0") -> dict[str, Any]:
    parameters = [{"type": "payload", "payload": payload}]
    return {"type": "button", "sub_type": "quick_reply", "index": index, "parameters": parameters}


def text(body: str = "Acknowledged.", **changes: Any) -> dict[str, Any]:
    """A right text message."""
    return {"messaging_product": "whatsapp", "to": PERSON, "type": "text", "text": {"body": body}, **changes}


def buttons(*titles: str, body: str = "What now?") -> dict[str, Any]:
    """A right session message with buttons, whose ids are their titles in small letters."""
    replies = [{"type": "reply", "reply": {"id": title.lower(), "title": title}} for title in titles]
    interactive = {"type": "button", "body": {"text": body}, "action": {"buttons": replies}}
    return {"messaging_product": "whatsapp", "to": PERSON, "type": "interactive", "interactive": interactive}


def is_signed(headers: dict[str, str], raw: bytes) -> bool:
    expected = "sha256=" + hmac.new(SECRET.encode(), raw, hashlib.sha256).hexdigest()
    return hmac.compare_digest(headers["X-Hub-Signature-256"], expected)
