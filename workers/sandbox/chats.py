"""What was said, in memory: this plays somebody else's system, and forgets the oldest."""

import base64
import secrets
from collections import OrderedDict, deque
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from workers.sandbox.outgoing import Button, Outgoing

ORDER = ("accepted", "sent", "delivered", "read", "failed")


@dataclass
class Message:
    """What a business sent. version: of the API it asked, like 24.0; received_at: Unix time of its request."""

    wamid: str
    phone_number_id: str
    version: float
    outgoing: Outgoing
    received_at: float
    status: str = "accepted"
    taps: list[str] = field(default_factory=list)

    @property
    def person(self) -> str:
        return self.outgoing.wa_id

    def advance(self, status: str) -> None:
        """Statuses only go forward."""
        self.status = max(self.status, status, key=ORDER.index)

    def button(self, wanted: str) -> Button | None:
        """The button with that payload, title (in any case) or position."""
        for at, button in enumerate(self.outgoing.buttons):
            if wanted in (button.payload, str(at)) or wanted.casefold() == button.title.casefold():
                return button
        return None

    def shown(self) -> dict[str, Any]:
        said = self.outgoing
        return {
            "wamid": self.wamid,
            "to": said.wa_id,
            "type": said.type,
            "template": said.template,
            "parameters": said.parameters,
            "buttons": [asdict(button) for button in said.buttons],
            "text": said.text,
            "context": said.context,
            "biz_opaque_callback_data": said.callback_data,
            "phone_number_id": self.phone_number_id,
            "status": self.status,
            "taps": self.taps,
            "received_at": rfc3339(self.received_at),
        }


@dataclass(frozen=True)
class Inbound:
    """What a person sent: a text, or a tap on `button` of the message `context`."""

    wamid: str
    phone_number_id: str
    person: str
    text: str
    said_at: float
    button: Button | None = None
    context: str | None = None


@dataclass(frozen=True)
class Refusal:
    """A request that was refused, for people to see why."""

    at: float
    code: int
    message: str
    details: str | None

    def shown(self) -> dict[str, Any]:
        return {**asdict(self), "at": rfc3339(self.at)}


class Chats:
    """The last `keep` messages each way, and refusals."""

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self.clear()
        self.revision = 0

    def clear(self) -> None:
        self.sent: OrderedDict[str, Message] = OrderedDict()
        self.heard: deque[Inbound] = deque(maxlen=self._keep)
        self.refused: deque[Refusal] = deque(maxlen=self._keep)
        self.changed()

    def changed(self) -> None:
        self.revision = getattr(self, "revision", 0) + 1

    def add(self, message: Message) -> None:
        self.sent[message.wamid] = message
        while len(self.sent) > self._keep:
            self.sent.popitem(last=False)
        self.changed()

    def hear(self, inbound: Inbound) -> None:
        self.heard.append(inbound)
        self.changed()

    def refuse(self, refusal: Refusal) -> None:
        self.refused.append(refusal)
        self.changed()

    def people(self) -> list[str]:
        """The phone numbers, the one with the latest message first."""
        latest: dict[str, float] = {}
        for message in self.sent.values():
            latest[message.person] = message.received_at
        for inbound in self.heard:
            latest[inbound.person] = max(latest.get(inbound.person, 0.0), inbound.said_at)
        return sorted(latest, key=lambda person: latest[person], reverse=True)

    def with_(self, person: str) -> list[Message | Inbound]:
        """One person's chat, oldest first."""
        both: list[tuple[float, Message | Inbound]] = [
            (message.received_at, message) for message in self.sent.values() if message.person == person
        ]
        both += [(inbound.said_at, inbound) for inbound in self.heard if inbound.person == person]
        return [each for _, each in sorted(both, key=lambda pair: pair[0])]

    def number_for(self, person: str) -> str | None:
        """The business's number that wrote last to that person, or else to anybody."""
        last = None
        for message in reversed(self.sent.values()):
            if message.person == person:
                return message.phone_number_id
            last = last or message.phone_number_id
        return last


def new_wamid() -> str:
    return "wamid." + base64.urlsafe_b64encode(secrets.token_bytes(31)).decode()


def rfc3339(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
