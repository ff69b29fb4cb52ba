"""Meta's side and the people's phones: takes messages, tells their statuses, passes on taps and replies."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from workers.sandbox import payloads
from workers.sandbox.behaviour import Conduct, Statuses
from workers.sandbox.chats import Chats, Inbound, Message, Refusal, new_wamid
from workers.sandbox.limits import Limits, Rates
from workers.sandbox.outgoing import Button, Outgoing
from workers.sandbox.payloads import Business, Payload
from workers.sandbox.refusals import Refused
from workers.sandbox.templates import approved
from workers.sandbox.webhooks import Pace, Webhooks

Clock = Callable[[], float]
"""Seconds since 1970 UTC. Rates, the 24-hour window and every time shown go by it."""

DEFAULT_NUMBER_ID = "100000000000001"


@dataclass(frozen=True)
class Settings:
    """token: the only bearer token taken; without one, any. link_base: what the template's link button begins
    with. keep: how many messages each way are remembered."""

    callback_url: str
    app_secret: str
    verify_token: str = ""
    token: str | None = None
    template: str = "incident_alert"
    template_language: str = "en_US"
    link_base: str = "http://127.0.0.1:8080/"
    keep: int = 1000
    rates: Rates = field(default_factory=Rates)
    pace: Pace = field(default_factory=Pace)
    business: Business = field(default_factory=Business)


class Sandbox:
    """All state of one sandbox."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self.settings = settings
        self.clock = clock
        self.templates = approved(settings.template, settings.template_language, settings.link_base)
        self.conduct = Conduct()
        self.chats = Chats(settings.keep)
        self.limits = Limits(settings.rates)
        self.webhooks = Webhooks(settings.callback_url, settings.app_secret, settings.verify_token, settings.pace)

    def take(self, outgoing: Outgoing, phone_number_id: str, version: float, received_at: float) -> Message:
        """Send a message to the person's phone.

        Raises:
            Refused: over a rate, to the business itself, or outside the person's 24 hours.
        """
        if outgoing.wa_id == self.settings.business.phone_number:
            raise Refused(131021, "The recipient is the number that sends.")
        now = self.clock()
        pair = (phone_number_id, outgoing.wa_id)
        late: Refused | None = None
        if outgoing.type != "template" and not self.limits.is_open(pair, now):
            late = Refused(131047, "More than 24 hours have passed since the person last wrote to this number.")
            if self.conduct.behaviour.window == "answer":
                raise late
        self.limits.take(pair, now)
        message = Message(new_wamid(), phone_number_id, version, outgoing, received_at)
        self.chats.add(message)
        statuses = self.conduct.statuses()
        failure = late
        if statuses == "failed":
            failure = failure or Refused(self.conduct.behaviour.failed_code)
        self.webhooks.later(self._follow(message, statuses, failure))
        return message

    def refused(self, refusal: Refused) -> None:
        """Keep a refusal for people to see."""
        message = str(refusal.body()["error"]["message"])
        self.chats.refuse(Refusal(self.clock(), refusal.code, message, refusal.details))

    def tap(self, message: Message, button: Button) -> Inbound:
        """The person taps a button that is not a link."""
        message.taps.append(button.title)
        message.advance("read")
        said = Inbound(
            wamid=new_wamid(),
            phone_number_id=message.phone_number_id,
            person=message.person,
            text=button.title,
            said_at=self.clock(),
            button=button,
            context=message.wamid,
        )
        return self._heard(said)

    def reply(self, person: str, text: str) -> Inbound:
        """The person writes."""
        number = self.chats.number_for(person) or DEFAULT_NUMBER_ID
        return self._heard(Inbound(new_wamid(), number, person, text, self.clock()))

    def reset(self) -> None:
        """Forget every message, window and rate; the behaviour stays."""
        self.chats.clear()
        self.limits = Limits(self.settings.rates)

    def _heard(self, said: Inbound) -> Inbound:
        self.limits.heard((said.phone_number_id, said.person), self.clock())
        self.chats.hear(said)
        mode = self.conduct.behaviour.statuses
        payload = payloads.inbound(self.settings.business, said, mode)
        self.webhooks.later(self._post(payload, mode))
        return said

    async def _follow(self, message: Message, mode: Statuses, failure: Refused | None) -> None:
        """Tell a message's statuses, each after the one before it has arrived."""
        if mode == "none":
            return
        if mode == "late":
            await asyncio.sleep(self.conduct.behaviour.late_s)
        for name in ("failed",) if failure else ("sent", "delivered", "read"):
            await asyncio.sleep(self.settings.pace.status_s)
            message.advance(name)
            self.chats.changed()
            payload = payloads.status(self.settings.business, message, name, self.clock(), mode, failure)
            await self._post(payload, mode)

    async def _post(self, payload: Payload, mode: Statuses) -> None:
        for _ in range(2 if mode == "twice" else 1):
            await self.webhooks.deliver(payload)
