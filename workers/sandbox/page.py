"""The page: a phone in plain HTML, which works with forms alone; static/phone.js only keeps it fresh."""

from datetime import UTC, datetime
from html import escape
from urllib.parse import quote

from workers.sandbox.chats import Inbound, Message
from workers.sandbox.outgoing import Button
from workers.sandbox.sandbox import Sandbox

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:;"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

TICKS = {"accepted": "🕓", "sent": "✓", "delivered": "✓✓", "read": "✓✓", "failed": "✗"}

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/static/phone.css">
<script type="module" src="/static/phone.js"></script>
</head>
<body>
<header>
<h1>WhatsApp sandbox</h1>
<p>Plays Meta's side on this machine. Nothing here reaches a real phone.</p>
</header>
<main>
<div id="live" data-phone="{phone}" data-revision="{revision}">
{live}
</div>
<form class="reply" method="post" action="/_sandbox/reply">
{sender}
<label for="text">Reply</label>
<input id="text" name="text" required maxlength="4096" autocomplete="off" placeholder="ack INC-12">
<button>Send</button>
</form>
</main>
</body>
</html>
"""


def render(sandbox: Sandbox, phone: str | None) -> str:
    """The whole page, showing one phone: the one asked for, else the one with the latest message."""
    phone = _chosen(sandbox, phone)
    sender = (
        f'<input type="hidden" name="from" value="{escape(phone)}">'
        if phone
        else '<label for="from">Your number</label>'
        '<input id="from" name="from" required inputmode="tel" placeholder="+14155550100">'
    )
    return PAGE.format(
        title=f"+{escape(phone)} · WhatsApp sandbox" if phone else "WhatsApp sandbox",
        phone=escape(phone or ""),
        revision=sandbox.chats.revision,
        live=live(sandbox, phone),
        sender=sender,
    )


def live(sandbox: Sandbox, phone: str | None) -> str:
    """The part of the page that changes by itself."""
    phone = _chosen(sandbox, phone)
    people = sandbox.chats.people()
    links = "".join(
        f'<li><a href="/?phone={quote(person)}"{_current(person == phone)}>+{escape(person)}</a></li>'
        for person in people
    )
    bubbles = "".join(_bubble(each) for each in sandbox.chats.with_(phone)) if phone else ""
    nothing = '<li class="nothing">No message yet. Trigger a critical incident, and it arrives here.</li>'
    return (
        f'<nav aria-label="Phones"><ul>{links}</ul></nav>'
        f'<section class="phone" aria-label="Phone"><h2>{"+" + escape(phone) if phone else "No phone yet"}</h2>'
        f'<ol role="log" aria-label="Messages">{bubbles or nothing}<li id="end" aria-hidden="true"></li></ol>'
        f"</section>{_aside(sandbox)}"
    )


def _chosen(sandbox: Sandbox, phone: str | None) -> str | None:
    phone = "".join(c for c in phone or "" if c in "0123456789")[:15]
    return phone or next(iter(sandbox.chats.people()), None)


def _current(is_it: bool) -> str:
    return ' aria-current="page"' if is_it else ""


def _bubble(said: Message | Inbound) -> str:
    if isinstance(said, Inbound):
        what = "tapped" if said.button else ""
        return f'<li class="mine"><p>{escape(said.text)}</p>{_meta(said.said_at, what)}</li>'
    buttons = "".join(_button(said, at, button) for at, button in enumerate(said.outgoing.buttons))
    tick = f'<span class="tick {said.status}" aria-hidden="true">{TICKS[said.status]}</span> {said.status}'
    return f'<li class="theirs"><p>{escape(said.outgoing.text)}</p>{_meta(said.received_at, tick)}{buttons}</li>'


def _meta(at: float, more: str) -> str:
    moment = datetime.fromtimestamp(at, UTC)
    return f'<small><time datetime="{moment.isoformat()}">{moment:%H:%M:%S} UTC</time> {more}</small>'


def _button(message: Message, at: int, button: Button) -> str:
    if button.kind == "url":
        safe = button.url if button.url.startswith(("http://", "https://")) else "#"
        link = f'href="{escape(safe)}" target="_blank" rel="noopener noreferrer"'
        return f'<a class="action" {link}>{escape(button.title)} ↗</a>'
    return (
        f'<form method="post" action="/_sandbox/messages/{quote(message.wamid)}/tap">'
        f'<input type="hidden" name="button" value="{at}">'
        f'<button class="action" id="tap-{escape(message.wamid)}-{at}">{escape(button.title)}</button></form>'
    )


def _aside(sandbox: Sandbox) -> str:
    order = sandbox.conduct.behaviour.model_dump(exclude_defaults=True, mode="json")
    told = f"<p>Told to misbehave: <code>{escape(str(order))}</code></p>" if order else ""
    refused = "".join(
        f"<li>{_meta(each.at, '')} <strong>{escape(each.message)}</strong> {escape(each.details or '')}</li>"
        for each in list(sandbox.chats.refused)[-20:][::-1]
    )
    refusals = f"<h2>Refused lately</h2><ul>{refused}</ul>" if refused else ""
    callback = escape(sandbox.settings.callback_url)
    return (
        f"<aside><p>The callback <code>{callback}</code> {escape(sandbox.webhooks.state)}.</p>"
        f"{told}{refusals}</aside>"
    )
