"""The side of people and tests: what arrived, taps, replies, and what the sandbox shall do wrong."""

from typing import Annotated, Any, TypeVar
from urllib.parse import parse_qs, quote, urlsplit

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from workers.sandbox.behaviour import Behaviour
from workers.sandbox.outgoing import NUMBER
from workers.sandbox.sandbox import Sandbox

FORM = "application/x-www-form-urlencoded"

Model = TypeVar("Model", bound=BaseModel)


class Tap(BaseModel):
    """button: its payload, title or position."""

    model_config = ConfigDict(extra="forbid", coerce_numbers_to_str=True)
    button: Annotated[str, Field(min_length=1)]


class Reply(BaseModel):
    """What a person writes. sender: a phone number with its country code; its digits are kept."""

    model_config = ConfigDict(extra="forbid")
    sender: Annotated[str, Field(alias="from")]
    text: Annotated[str, Field(min_length=1, max_length=4096)]

    @field_validator("sender")
    @classmethod
    def _digits(cls, sender: str) -> str:
        number = NUMBER.fullmatch(sender.strip())
        if not number:
            raise ValueError("must be a phone number with its country code")
        return number[1]


def router(sandbox: Sandbox) -> APIRouter:
    routes = APIRouter(prefix="/_sandbox")

    @routes.get("/messages")
    async def messages(to: str | None = None) -> dict[str, Any]:
        """What was taken, oldest first."""
        wanted = None if to is None else to.strip().lstrip("+")
        sent = sandbox.chats.sent.values()
        return {"items": [m.shown() for m in sent if wanted is None or m.person == wanted]}

    @routes.delete("/messages", status_code=204)
    async def forget() -> None:
        """Forget messages, refusals, windows and rates."""
        sandbox.reset()

    @routes.get("/refusals")
    async def refusals() -> dict[str, Any]:
        """What was refused, oldest first."""
        return {"items": [refusal.shown() for refusal in sandbox.chats.refused]}

    @routes.post("/messages/{wamid}/tap")
    async def tap(request: Request, wamid: str) -> Response:
        """Tap a button of a message: the callback hears of it, and the 24 hours begin anew."""
        body = await _body(request, Tap)
        message = sandbox.chats.sent.get(wamid)
        if message is None:
            raise HTTPException(404, "There is no such message.")
        button = message.button(body.button)
        if button is None:
            raise HTTPException(422, "The message has no such button.")
        if button.kind == "url":
            raise HTTPException(409, "That button opens a link, of which Meta tells nobody.")
        return _done(request, sandbox.tap(message, button).wamid, message.person)

    @routes.post("/reply")
    async def reply(request: Request) -> Response:
        """Write as a person: the callback hears of it, and the 24 hours begin anew."""
        body = await _body(request, Reply)
        return _done(request, sandbox.reply(body.sender, body.text).wamid, body.sender)

    @routes.get("/behaviour")
    async def behaviour() -> Behaviour:
        return sandbox.conduct.behaviour

    @routes.put("/behaviour")
    async def behave(wanted: Behaviour) -> Behaviour:
        """Behave so from now on; what is not said is as usual. `{}` ends all misbehaviour."""
        sandbox.conduct.set(wanted)
        sandbox.chats.changed()
        return wanted

    return routes


def _is_form(request: Request) -> bool:
    return request.headers.get("Content-Type", "").partition(";")[0].strip().lower() == FORM


async def _body(request: Request, model: type[Model]) -> Model:
    raw = await request.body()
    try:
        if not _is_form(request):
            return model.model_validate_json(raw)
        origin = request.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc != request.headers.get("Host"):
            raise HTTPException(403, "The form is another site's.")
        fields = parse_qs(raw.decode("utf-8", "replace"), keep_blank_values=True)
        return model.model_validate({name: values[0] for name, values in fields.items()})
    except ValidationError as wrong:
        said = [{"field": ".".join(map(str, e["loc"])), "detail": e["msg"]} for e in wrong.errors()]
        raise HTTPException(422, said) from wrong


def _done(request: Request, wamid: str, person: str) -> Response:
    """A form goes back to the phone it came from; a program gets the message's id."""
    if _is_form(request):
        return RedirectResponse(f"/?phone={quote(person)}#end", 303)
    return Response(content=f'{{"wamid":"{wamid}"}}', media_type="application/json")
