"""The session cookie, and what keeps other sites from using it: a token per session, and the Origin header."""

import base64
import hashlib
import hmac
from urllib.parse import urlsplit

from fastapi import Request
from starlette.responses import Response

from api.problems import Forbidden

NAME = "fandesk_session"
DAYS_S = 30 * 24 * 3600
CSRF_HEADER = "x-csrf-token"


def session_of(request: Request) -> str | None:
    """The session's secret, where the request has one."""
    return cookie(request, NAME)


def cookie(request: Request, name: str) -> str | None:
    """A cookie's value. By hand: Starlette's own way parses all of them, each time."""
    for part in request.headers.get("cookie", "").split(";"):
        key, _, value = part.strip().partition("=")
        if key == name and value:
            return value
    return None


def csrf_of(secret: str) -> str:
    """The session's CSRF token. It follows from the session's secret, which is nowhere but in the cookie."""
    return derived(secret, "csrf")


def derived(secret: str, what: str) -> str:
    """Another secret of 256 bits, from which the first cannot be found."""
    digest = hmac.digest(secret.encode("utf-8", "surrogatepass"), what.encode(), hashlib.sha256)
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def same(given: str, right: str) -> bool:
    """Whether they are the same, in a time that does not tell how much of them is."""
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), right.encode())


def check_csrf(request: Request, secret: str, public_url: str) -> None:
    """An unsafe request by cookie must come from a page of ours. Raises Forbidden."""
    if not same(request.headers.get(CSRF_HEADER, ""), csrf_of(secret)):
        raise Forbidden("Send the session's CSRF token (GET /auth/session) as X-CSRF-Token.")
    check_origin(request, public_url)


def check_origin(request: Request, public_url: str) -> None:
    """Where a browser says from which site a request comes, it must be ours: FANDESK_PUBLIC_URL, or the very host
    that is asked. Raises Forbidden."""
    origin = request.headers.get("origin")
    if origin is None:
        return
    ours, theirs = urlsplit(public_url), urlsplit(origin)
    same = (theirs.scheme, theirs.netloc) == (ours.scheme, ours.netloc)
    if not same and (not theirs.netloc or theirs.netloc != request.headers.get("host")):
        raise Forbidden("The request comes from another site.")


def give(answer: Response, secret: str, public_url: str, name: str = NAME, max_age_s: int = DAYS_S) -> None:
    """Put the cookie into an answer."""
    answer.set_cookie(
        name,
        secret,
        max_age=max_age_s,
        httponly=True,
        samesite="lax",
        secure=public_url.startswith("https:"),
        path="/",
    )
    answer.headers["Cache-Control"] = "no-store"


def take(answer: Response, public_url: str, name: str = NAME) -> None:
    """Have the browser forget it."""
    answer.delete_cookie(name, httponly=True, samesite="lax", secure=public_url.startswith("https:"), path="/")
