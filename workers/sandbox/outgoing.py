"""What a business asks Meta to send, checked as Meta checks it."""

import json
import re
from dataclasses import dataclass, field, replace

from workers.sandbox.parts import Part, length
from workers.sandbox.refusals import Refused, unexpected
from workers.sandbox.template_rules import fill
from workers.sandbox.templates import Template

NUMBER = re.compile(r"\+?([1-9][0-9]{6,14})")
TYPES = ("INTERACTIVE", "TEMPLATE", "TEXT")
TOP = ("messaging_product", "recipient_type", "to", "type", "context", "biz_opaque_callback_data")
MAX_CALLBACK_DATA = 512


@dataclass(frozen=True)
class Button:
    """A button as the phone shows it. kind: quick_reply (of a template), reply (of a session message) or url."""

    kind: str
    title: str
    payload: str = ""
    url: str = ""


@dataclass(frozen=True)
class Outgoing:
    """A request that is well formed. to: as it was sent; wa_id: its digits. text: as the phone shows it."""

    to: str
    wa_id: str
    type: str
    text: str = ""
    category: str = "service"
    template: str | None = None
    parameters: list[str] = field(default_factory=list)
    buttons: list[Button] = field(default_factory=list)
    context: str | None = None
    callback_data: str | None = None


def read(raw: bytes, templates: tuple[Template, ...]) -> Outgoing:
    """The message a request's body asks for.

    Raises:
        Refused: whatever Meta would not take.
    """
    try:
        body = json.loads(raw)
    except ValueError as wrong:
        raise Refused(100, "The body is not JSON.") from wrong
    if not isinstance(body, dict):
        raise Refused(100, "The body is not a JSON object.")
    request = Part("", body)
    if request.text("messaging_product") != "whatsapp":
        raise Refused(100, message="Param messaging_product must be one of {WHATSAPP}.")
    to = request.text("to")
    kind = str(request.fields.get("type", "text"))
    if kind.upper() not in TYPES:
        raise Refused(100, message=f'Param type must be one of {{{", ".join(TYPES)}}} - got "{kind[:40]}".')
    kind = kind.lower()
    for key in body:
        if key not in (*TOP, kind):
            raise unexpected(key, "")
    if request.has("recipient_type") and request.text("recipient_type") != "individual":
        raise Refused(100, message="Param recipient_type must be one of {INDIVIDUAL}.")
    number = NUMBER.fullmatch(to)
    if not number:
        raise Refused(131009, "The recipient is not a phone number with its country code, like +14155550100.")
    content = request.part(kind)
    outgoing = Outgoing(to, number[1], kind, context=_context(request), callback_data=_callback_data(request))
    match kind:
        case "template":
            return _template(outgoing, content, templates)
        case "interactive":
            return _interactive(outgoing, content)
        case _:
            return _text(outgoing, content)


def _context(request: Part) -> str | None:
    if not request.has("context"):
        return None
    context = request.part("context")
    context.only("message_id")
    return context.text("message_id")


def _callback_data(request: Part) -> str | None:
    if not request.has("biz_opaque_callback_data"):
        return None
    data = request.text("biz_opaque_callback_data")
    if len(data) > MAX_CALLBACK_DATA:
        most = MAX_CALLBACK_DATA
        raise Refused(100, message=f"Param biz_opaque_callback_data must be at most {most} characters long.")
    return data


def _template(outgoing: Outgoing, content: Part, templates: tuple[Template, ...]) -> Outgoing:
    template, parameters, sent = fill(content, templates)
    buttons = [
        Button(button.kind, button.title, url=button.url + (value or ""))
        if button.kind == "url"
        else Button(button.kind, button.title, payload=value or button.title)
        for button, value in zip(template.buttons, sent, strict=True)
    ]
    return replace(
        outgoing,
        template=template.name,
        category=template.category,
        text=template.filled(parameters),
        parameters=parameters,
        buttons=buttons,
    )


def _text(outgoing: Outgoing, content: Part) -> Outgoing:
    content.only("body", "preview_url")
    body = content.text("body")
    if len(body) > 4096:
        raise Refused(100, message="Param text['body'] must be at most 4096 characters long.")
    return replace(outgoing, text=body)


def _interactive(outgoing: Outgoing, content: Part) -> Outgoing:
    content.only("type", "header", "body", "footer", "action")
    if content.text("type") != "button":
        raise Refused(131009, "The sandbox knows interactive messages of type button only.")
    said = [_said(content, key, most) for key, most in (("header", 60), ("body", 1024), ("footer", 60))]
    action = content.part("action")
    action.only("buttons")
    buttons = [_reply_button(part) for part in action.parts("buttons")]
    if not 1 <= len(buttons) <= 3:
        raise Refused(131009, "Invalid buttons count. Min allowed buttons: 1, Max allowed buttons: 3")
    for what, values in (("id", [b.payload for b in buttons]), ("title", [b.title for b in buttons])):
        if len(set(values)) < len(values):
            raise Refused(131009, f"Two buttons have the same {what}.")
    return replace(outgoing, text="\n".join(each for each in said if each), buttons=buttons)


def _said(content: Part, key: str, most: int) -> str:
    if key != "body" and not content.has(key):
        return ""
    part = content.part(key)
    part.only("text", *(["type"] if key == "header" else []))
    if key == "header" and part.text("type") != "text":
        raise Refused(131009, "The sandbox knows headers of type text only.")
    text = part.text("text")
    length(f"{key.capitalize()} text", text, most)
    return text


def _reply_button(part: Part) -> Button:
    part.only("type", "reply")
    if part.text("type") != "reply":
        raise Refused(131009, "A button of an interactive message is of type reply.")
    reply = part.part("reply")
    reply.only("id", "title")
    id, title = reply.text("id"), reply.text("title")
    length("Button id", id, 256)
    length("Button title", title, 20)
    return Button("reply", title, payload=id)
