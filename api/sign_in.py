"""Signing in by password or by a one-time link, signing out, and the password itself."""

import json
from typing import Annotated, Any
from urllib.parse import parse_qs
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from pydantic import ValidationError
from starlette.responses import HTMLResponse, RedirectResponse, Response

from api import cookies, passwords, sessions, throttle
from api.access_shapes import PasswordBody, SignInBody
from api.call import caller, services
from api.directory import SESSION_WORKS, Caller, secret_hash
from api.problems import Forbidden, Malformed, Unauthorized
from api.refused import forbidden
from api.services import Services
from api.shapes import PROBLEMS, Problem
from domain.errors import InvalidField

TOO_MANY: dict[int | str, dict[str, Any]] = {429: {"model": Problem, "description": "Again after Retry-After"}}

router = APIRouter(prefix="/auth", tags=["sign-in"], responses={**PROBLEMS, **TOO_MANY})

S = Annotated[Services, Depends(services)]
C = Annotated[Caller, Depends(caller)]

FORM = "application/x-www-form-urlencoded"
PAGE_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "Referrer-Policy": "same-origin",  # with no-referrer, browsers would hide the Origin of the form, too
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex",
}
_BODY = {"requestBody": {"required": True, "content": {
    kind: {"schema": SignInBody.model_json_schema()} for kind in ("application/json", FORM)
}}}  # fmt: skip


@router.post("/sign-in", status_code=204, response_class=Response, openapi_extra=_BODY)
async def sign_in(services: S, request: Request) -> Response:
    """By e-mail address and password: 204 and the cookie of a session; to a form, 303. The same 401 whatever is
    wrong, and 429 for who tries too often."""
    cookies.check_origin(request, services.public_url)
    body, is_form = await _sign_in_body(request)
    async with services.pool.connection() as connection:
        row = await (await connection.execute(_PASSWORD, (body.email.strip(),))).fetchone()
    assert row is not None
    address, person, hash = row
    await throttle.count(services, request, person or address)
    if not await passwords.matches(body.password, hash):
        raise Unauthorized("E-mail address or password is wrong.")
    await throttle.succeeded(services, request, person)
    if passwords.is_outdated(hash):
        await _set_password(services, person, await passwords.hashed(body.password), was=hash)
    answer: Response = RedirectResponse(_path(body.next), 303) if is_form else Response(status_code=204)
    await sessions.begin(services, request, person, "password", answer)
    return answer


@router.post("/sign-out", status_code=204, response_class=Response)
async def sign_out(services: S, request: Request) -> Response:
    """End the session of this browser, if there is one."""
    answer = Response(status_code=204)
    secret = cookies.session_of(request)
    if secret is not None:
        if await services.directory.session(secret) is not None:
            cookies.check_csrf(request, secret, services.public_url)
            await sessions.end(services, secret)
        cookies.take(answer, services.public_url)
    return answer


@router.post("/password", status_code=204, response_class=Response)
async def change_password(services: S, caller: C, request: Request, body: PasswordBody) -> Response:
    """Set one's own password. All other sessions end, and links that were not used. Only by who has signed
    in: a token changes no password."""
    if caller.session is None:
        raise await forbidden(services, caller, "A password is changed by who has signed in, not by token.")
    async with services.pool.connection() as connection:
        row = await (await connection.execute(_OWN, (caller.session, caller.person_id))).fetchone()
    assert row is not None
    email, hash, fresh = row
    if email is None:
        raise InvalidField("new", "There is no e-mail address to sign in with yet: an admin can add it.")
    if hash is not None and not fresh:
        await throttle.count(services, request, caller.person_id)
        if body.current is None or not await passwords.matches(body.current, hash):
            raise Forbidden("The current password is wrong.")
        await throttle.succeeded(services, request, caller.person_id)
    passwords.check_new(body.new, email)
    await _set_password(services, caller.person_id, await passwords.hashed(body.new))
    async with services.pool.connection() as connection:
        await connection.execute(_OTHERS, {"person": caller.person_id, "current": caller.session})
    services.directory.forget()
    return Response(status_code=204)


@router.get("/link/{secret}", response_class=HTMLResponse)
async def show_link(secret: str) -> HTMLResponse:
    """A page with a button. Looking at it uses nothing up: programs that preview links do that."""
    page = (
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        "<title>Sign in to FanDesk</title><h1>Sign in to FanDesk</h1>"
        "<p>This link works once.</p><form method=post><button>Sign in</button></form></html>"
    )
    return HTMLResponse(page, headers=PAGE_HEADERS)


@router.post("/link/{secret}", status_code=303, response_class=Response)
async def use_link(services: S, request: Request, secret: str) -> Response:
    """Use the link up: 303 and the cookie of a session, or 401. Not throttled: nobody guesses 256 random bits."""
    cookies.check_origin(request, services.public_url)
    async with services.pool.connection() as connection:
        row = await (await connection.execute(_USE, (secret_hash(secret),))).fetchone()
    if row is None:
        raise Unauthorized("This link was used, or is too old. Ask an admin for another one.")
    answer = RedirectResponse("/", 303)
    await sessions.begin(services, request, row[0], "link", answer)
    return answer


async def _sign_in_body(request: Request) -> tuple[SignInBody, bool]:
    """Raises Malformed, InvalidField."""
    is_form = request.headers.get("content-type", "").partition(";")[0].strip().lower() == FORM
    sent = await request.body()
    try:
        if is_form:
            fields = parse_qs(sent.decode(), keep_blank_values=True, max_num_fields=20, errors="strict")
            said: Any = {name: values[0] for name, values in fields.items()}
        else:
            said = json.loads(sent)
    except (ValueError, RecursionError):
        raise Malformed("The body is neither valid JSON nor a form.") from None
    try:
        return SignInBody.model_validate(said), is_form
    except ValidationError as wrong:
        first = wrong.errors(include_input=False)[0]
        raise InvalidField(str(first["loc"][0]) if first["loc"] else "body", str(first["msg"])) from None


def _path(next: str) -> str:
    """Only ever a page of ours."""
    ours = next.startswith("/") and not next.startswith(("//", "/\\")) and next.isprintable() and "\\" not in next
    return next if ours else "/"


async def _set_password(services: Services, person: UUID, hash: str, was: str | None = None) -> None:
    """was: only if it is still that one."""
    query = "update access.people set password_hash = %s where id = %s and disabled_at is null"
    values: tuple[Any, ...] = (hash, person)
    if was is not None:
        query, values = query + " and password_hash = %s", (*values, was)
    async with services.pool.connection() as connection:
        await connection.execute(query.encode(), values)


_PASSWORD = """
    select asked.address, p.id, p.password_hash from (select lower(%s) as address) asked
      left join access.people p on lower(p.email) = asked.address and p.disabled_at is null"""  # noqa: S105
_OWN = f"""
    select p.email, p.password_hash, exists (
           select from access.sessions s where s.id = %s and s.person_id = p.id and s.method = 'link'
              and s.created_at > now() - interval '1 hour' and {SESSION_WORKS})
      from access.people p where p.id = %s"""
_OTHERS = """
    with gone as (delete from access.links where person_id = %(person)s and used_at is null)
    update access.sessions set revoked_at = now()
     where person_id = %(person)s and revoked_at is null and id is distinct from %(current)s"""
_USE = """
    update access.links l set used_at = now() from access.people p
     where l.hash = %s and l.used_at is null and l.expires_at > now() and p.id = l.person_id
       and p.disabled_at is null
    returning l.person_id"""
