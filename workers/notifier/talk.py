"""What a person on WhatsApp may say, and what they are answered: pure words.

A tap on a button carries `VERB:INCIDENT ID`; a text says the same with the incident's number: `ack INC-12`,
`resolve INC-12 the cache was full`. In reply to an alert, the number may be left out.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID

from domain.errors import IncidentNotFound, InvalidField, NotAllowedNow, Refusal
from domain.incident import Incident

Verb = Literal["ack", "work", "resolve"]

HELP = (
    "I understand:\n"
    "ack INC-12 - take it on\n"
    "work INC-12 - start to investigate\n"
    "resolve INC-12 what was done\n"
    "status - what is open\n"
    "stop - no more alerts (start brings them back)"
)
STOPPED = "You get no more alerts here. Send start to get them again."
STARTED = "You get alerts here again."

_VERBS: dict[str, Verb] = {
    **dict.fromkeys(("ack", "acknowledge", "acknowledged"), "ack"),
    **dict.fromkeys(("work", "investigate", "investigating"), "work"),
    **dict.fromkeys(("resolve", "resolved", "close", "done"), "resolve"),
}
_WORDS: dict[str, Literal["status", "stop", "start"]] = {
    **dict.fromkeys(("status", "open", "list"), "status"),
    **dict.fromkeys(("stop", "unsubscribe", "stopp"), "stop"),
    **dict.fromkeys(("start", "subscribe"), "start"),
}
_PAYLOAD = re.compile(r"(ack|work|resolve):([0-9a-fA-F-]{36})")
_TEXT = re.compile(
    r"\s*/?(?P<verb>\w+)[\s:,]*(?:(?P<inc>inc)?[\s#-]*(?P<number>[0-9]{1,18})\b)?[\s:,.-]*(?P<note>.*)",
    re.I | re.S,
)


@dataclass(frozen=True, slots=True)
class Wish:
    """Something to be done to the incident of that id or number, or else to that of the message replied to."""

    verb: Verb
    incident: UUID | int | None
    note: str | None = None


Said = Wish | Literal["status", "stop", "start", "help"]


def understood(message: dict[str, Any]) -> Said | None:
    """What a message asks for; None for what is no text and no tap of ours. Any part may be missing or odd."""
    kind = message.get("type")
    if kind == "button":
        return _tap(_part(message, "button").get("payload"))
    if kind == "interactive":
        return _tap(_part(message, "interactive", "button_reply").get("id"))
    if kind == "text":
        body = _part(message, "text").get("body")
        return _read(body) if isinstance(body, str) else None
    return None


def _part(message: dict[str, Any], *path: str) -> dict[str, Any]:
    for name in path:
        inner = message.get(name)
        message = inner if isinstance(inner, dict) else {}
    return message


def _tap(payload: object) -> Wish | None:
    found = _PAYLOAD.fullmatch(payload) if isinstance(payload, str) else None
    try:
        return Wish(found[1], UUID(found[2])) if found else None  # type: ignore[arg-type]
    except ValueError:
        return None


def _read(body: str) -> Said:
    found = _TEXT.fullmatch(body)
    if not found:
        return "help"
    word, number, note = found["verb"].casefold(), found["number"], found["note"].strip()
    verb = _VERBS.get(word)
    if verb is not None and number and note and not found["inc"]:  # "resolve 5 nodes were restarted"
        return Wish(verb, None, body[found.start("number") :].strip())
    if verb is not None:
        return Wish(verb, int(number) if number else None, note or None)
    if word in _WORDS and number is None and not note:
        return _WORDS[word]
    return "help"


@dataclass(frozen=True, slots=True)
class Reply:
    """What a person is answered, with up to three buttons (payload, title)."""

    text: str
    buttons: tuple[tuple[str, str], ...] = ()

    def content(self) -> dict[str, Any]:
        return {"text": self.text, "buttons": [list(button) for button in self.buttons]}


def done(wish: Wish, incident: Incident) -> Reply:
    """It was done."""
    name, title, id = f"INC-{incident.number}", incident.title, incident.id
    match wish.verb:
        case "ack":
            text = f"You have {name} now: {title}\nAcknowledged at {_clock(incident.acknowledged_at)}."
            return Reply(text, ((f"work:{id}", "Start work"), (f"resolve:{id}", "Resolve")))
        case "work":
            return Reply(f"{name} is being investigated by you: {title}", ((f"resolve:{id}", "Resolve"),))
        case "resolve":
            return Reply(f"{name} is resolved: {title}")


def refused(wish: Wish, refusal: Refusal, person: UUID, name: str | None) -> Reply:
    """It was not done, and why: above all, who was faster. name: of the one who acted."""
    match refusal:
        case NotAllowedNow():
            who = "You have" if refusal.acted_by.id == person else f"{name or 'Somebody'} has"
            did = {
                "triggered": "triggered",
                "acknowledged": "acknowledged",
                "investigating": "begun to investigate",
                "resolved": "resolved",
                "postmortem": "begun the postmortem of",
            }[refusal.status]
            if refusal.acted_by.kind == "integration":
                who = f"{name or 'Monitoring'} has"
            number, at = f"INC-{refusal.number}", _clock(refusal.acted_at)
            return Reply(f"{who} already {did} {number}, at {at}.")
        case IncidentNotFound():
            return Reply("There is no such incident.")
        case InvalidField():
            return Reply(f"That cannot be recorded: {refusal.detail}")
        case _:
            return Reply("That could not be recorded just now. Please try again.")


def overview(incidents: list[tuple[UUID, int, str, str, str]], more: int) -> Reply:
    """What is open: id, number, severity, status and title of each, the most urgent first."""
    if not incidents:
        return Reply("Nothing is open.")
    lines = [
        f"{severity.upper()} INC-{number} {status}: {title[:80]}"
        for _, number, severity, status, title in incidents
    ]
    if more:
        lines.append(f"and {more} more")
    waiting = [each for each in incidents if each[3] == "triggered"][:3]
    return Reply("\n".join(lines), tuple((f"ack:{id}", f"Ack INC-{number}"[:20]) for id, number, *_ in waiting))


WHICH = Reply("Which incident? Say its number too, as in: ack INC-12")


def _clock(at: datetime | None) -> str:
    """A time as a person reads it on a phone, always in UTC as the timeline has it."""
    return "" if at is None else f"{at.astimezone(UTC):%H:%M:%S} UTC on {at.astimezone(UTC):%d %b}"
