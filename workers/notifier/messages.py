"""The messages the notifier writes, as the part of Meta's request that says what is sent."""

import unicodedata
from typing import Any
from uuid import UUID

from workers.notifier.words import clean, cut, one_line, units

Content = dict[str, Any]
"""`type`, and under that name what the type needs."""

MAX_FILLED = 1024
"""Characters of a template's body with its parameters filled in, where the template has buttons."""

OWN_WORDS = 160
"""Of these, what is kept for the template's own words, which Meta's reviewers have seen and we have not."""

MAX_WORD = 64
MAX_LINK = 512
LINK_ELSEWHERE = "(use the button)"
"""For a link that would leave no room for the title; half a link is worth nothing."""

MAX_TEXT = 4096
MAX_BUTTONS_BODY = 1024
MAX_BUTTONS = 3
MAX_PAYLOAD = 256
MAX_BUTTON_TITLE = 20

INVISIBLE = "\u115f\u1160\u2800\u3164\uffa0"
"""Letters and a symbol that show nothing, beside what Unicode calls whitespace, marks and format characters."""


def alert(
    template: str,
    language: str,
    *,
    severity: str,
    number: int | str,
    title: str,
    incident_id: UUID | str,
    link: str,
) -> Content:
    """The approved template that opens a conversation. number: 12 or `INC-12`.

    The body takes severity, number, title and link; button 0 answers `ack:<incident id>`; button 1 opens
    `incidents/INC-12` behind the template's base. Meta refuses parameters that are blank or have line breaks,
    tabs or five spaces in a row (131008, 132018), and a body that gets too long (132005): the title is cut.

    Raises:
        ValueError: the incident's id does not fit into a button.
    """
    name = f"INC-{number}" if isinstance(number, int) else number
    address = _parameter(link, LINK_ELSEWHERE)
    if units(address) > MAX_LINK:
        address = LINK_ELSEWHERE
    heading = [_parameter(cut(word, MAX_WORD), "-") for word in (severity.upper(), name)]
    room = MAX_FILLED - OWN_WORDS - sum(units(word) for word in (*heading, address))
    texts = (*heading, cut(_parameter(title, "(no title)"), room), address)
    components = [
        {"type": "body", "parameters": [{"type": "text", "text": each} for each in texts]},
        _button(0, "quick_reply", {"type": "payload", "payload": _payload(f"ack:{incident_id}")}),
        _button(1, "url", {"type": "text", "text": f"incidents/{heading[1]}"}),
    ]
    named = {"name": template, "language": {"code": language}, "components": components}
    return {"type": "template", "template": named}


def code(template: str, language: str, digits: str) -> Content:
    """The approved template that brings the code which confirms a number; its body takes just that."""
    body = {"type": "body", "parameters": [{"type": "text", "text": _parameter(digits, "-")}]}
    named = {"name": template, "language": {"code": language}, "components": [body]}
    return {"type": "template", "template": named}


def text(body: str) -> Content:
    """A session message: Meta takes it within 24 hours of the person's last word. Cut where it is too long."""
    said = cut(_said(body), MAX_TEXT)
    return {"type": "text", "text": {"body": said, "preview_url": False}}


def buttons(body: str, choices: list[tuple[str, str]]) -> Content:
    """A session message with buttons below, each a payload, which comes back with the tap, and a title.

    Raises:
        ValueError: not one to three buttons, two alike, or one too long: Meta takes payloads of 256 and titles
            of 20 characters.
    """
    payloads, titles = [payload for payload, _ in choices], [title for _, title in choices]
    if not 1 <= len(choices) <= MAX_BUTTONS:
        raise ValueError(f"A message has 1 to {MAX_BUTTONS} buttons, not {len(choices)}.")
    if len(set(payloads)) < len(choices) or len(set(titles)) < len(choices):
        raise ValueError("Two buttons are alike.")
    for title in titles:
        if not is_visible(title) or one_line(title) != title or units(title) > MAX_BUTTON_TITLE:
            raise ValueError(
                f"A button's title is one line of up to {MAX_BUTTON_TITLE} characters, not {title!r}."
            )
    replies = [{"type": "reply", "reply": {"id": _payload(payload), "title": title}} for payload, title in choices]
    said = {"text": cut(_said(body), MAX_BUTTONS_BODY)}
    return {"type": "interactive", "interactive": {"type": "button", "body": said, "action": {"buttons": replies}}}


def is_visible(value: str) -> bool:
    """Whether anybody would see something of it."""
    return any(unicodedata.category(each)[0] in "LNPS" and each not in INVISIBLE for each in value)


def _parameter(value: str, otherwise: str) -> str:
    line = one_line(value)
    return line if is_visible(line) else otherwise


def _said(body: str) -> str:
    said = clean(body).strip()
    return said if is_visible(said) else "(no text)"


def _payload(payload: str) -> str:
    if not payload.strip() or clean(payload) != payload or units(payload) > MAX_PAYLOAD:
        raise ValueError(f"A button's payload has 1 to {MAX_PAYLOAD} characters.")
    return payload


def _button(index: int, kind: str, parameter: dict[str, str]) -> Content:
    return {"type": "button", "sub_type": kind, "index": str(index), "parameters": [parameter]}
