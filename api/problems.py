"""Every refusal as RFC 9457 application/problem+json: one table from named errors to HTTP."""

import logging
from typing import Any

import psycopg
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from psycopg_pool import PoolTimeout, TooManyRequests
from starlette.exceptions import HTTPException

from api.directory import Directory
from api.places import place_in
from domain import errors
from domain.words import rfc3339

log = logging.getLogger(__name__)

STATUS: dict[type[errors.Refusal], tuple[int, str]] = {
    errors.IncidentNotFound: (404, "Not found"),
    errors.NotAllowedNow: (409, "Not allowed in the incident's present status"),
    errors.NotDefined: (404, "Not found"),
    errors.NameTaken: (409, "Name taken"),
    errors.InUse: (409, "In use"),
    errors.IdempotencyKeyReused: (409, "Idempotency-Key already used"),
    errors.DedupKeyTaken: (409, "Another incident is open for the same alerts"),
    errors.StaleVersion: (412, "Changed since"),
    errors.InvalidField: (422, "Invalid request"),
    errors.Overloaded: (503, "Try again shortly"),
}


class Unauthorized(errors.Refusal):
    """No token was sent, or one that is not valid."""


class Forbidden(errors.Refusal):
    """Who asks may not do this."""


class NotThere(errors.Refusal):
    """There is no such thing in this organisation."""


class NumberTaken(errors.Refusal):
    """Another recipient of this organisation has this WhatsApp number."""


class NotPossible(errors.Refusal):
    """As things stand, this cannot be done."""


class TooManyAttempts(errors.Refusal):
    """Too many attempts in too short a time. Again after `retry_after_s` seconds."""

    def __init__(self, detail: str, *, retry_after_s: int) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class Malformed(errors.Refusal):
    """The body is not what it should be, and cannot be read."""


class TooLarge(errors.Refusal):
    """The body is larger than is taken here."""


STATUS |= {
    Unauthorized: (401, "Not signed in"),
    Forbidden: (403, "Not allowed"),
    NotThere: (404, "Not found"),
    NumberTaken: (409, "The number is another recipient's"),
    NotPossible: (409, "Not possible as it stands"),
    TooManyAttempts: (429, "Too many attempts"),
    Malformed: (400, "Malformed body"),
    TooLarge: (413, "Too large"),
}


def problem(
    status: int, title: str, detail: str, headers: dict[str, str] | None = None, **more: Any
) -> JSONResponse:
    """A problem+json answer; `more` are its extension members."""
    content = {"type": "about:blank", "title": title, "status": status, "detail": detail, **more}
    return JSONResponse(content, status, headers, media_type="application/problem+json")


def fields(problem: RequestValidationError) -> list[dict[str, str]]:
    """The fields that are wrong and why; never what was sent, which may not even be writable."""
    found = []
    for each in problem.errors():
        place = place_in(each["loc"], problem.body)
        detail = str(each["msg"]).removeprefix("Value error, ")
        found.append({"field": _printable(".".join(place) or str(each["loc"][0])), "detail": _printable(detail)})
    return found


def _printable(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")[:300]


def install(app: FastAPI) -> None:
    """Answer every exception with a problem."""

    async def refused(request: Request, refusal: Exception) -> JSONResponse:
        assert isinstance(refusal, errors.Refusal)
        status, title = next(STATUS[kind] for kind in type(refusal).__mro__ if kind in STATUS)
        headers: dict[str, str] = {}
        more: dict[str, Any] = {}
        match refusal:
            case errors.NotAllowedNow():
                directory: Directory = request.app.state.services.directory
                more = {
                    "incident": {"id": str(refusal.incident_id), "number": f"INC-{refusal.number}"},
                    "incident_status": refusal.status,
                    "acted_by": await directory.actor(refusal.acted_by.kind, refusal.acted_by.id),
                    "acted_at": rfc3339(refusal.acted_at),
                }
            case errors.DedupKeyTaken():
                more = {"incident": {"id": str(refusal.incident_id)}}
            case errors.InUse():
                more = {"in_use_by": list(refusal.by)}
            case errors.StaleVersion():
                more = {"version": refusal.current}
                headers["ETag"] = f'"{refusal.current}"'
            case errors.InvalidField():
                more = {"errors": [{"field": refusal.field, "detail": refusal.detail}]}
            case Malformed():
                more = {"errors": [{"field": "body", "detail": refusal.detail}]}
            case NumberTaken():
                more = {"errors": [{"field": "whatsapp", "detail": refusal.detail}]}
            case errors.Overloaded() | TooManyAttempts():
                headers["Retry-After"] = str(refusal.retry_after_s)
            case Unauthorized():
                headers["WWW-Authenticate"] = "Bearer"
        return problem(status, title, refusal.detail, headers, **more)

    async def invalid(_: Request, wrong: Exception) -> JSONResponse:
        assert isinstance(wrong, RequestValidationError)
        found = fields(wrong)
        if any(each["type"] == "json_invalid" for each in wrong.errors()):
            wrong_json = [{"field": "body", "detail": "is not valid JSON"}]
            return problem(400, "Malformed body", "The body is not valid JSON.", errors=wrong_json)
        return problem(
            422, "Invalid request", "; ".join(f"{e['field']}: {e['detail']}" for e in found), errors=found
        )

    async def http(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        more: dict[str, Any] = {}
        if error.status_code == 400:  # only a body that cannot be read at all is refused so
            more = {"errors": [{"field": "body", "detail": "is not valid JSON"}]}
        return problem(error.status_code, str(error.detail), str(error.detail), dict(error.headers or {}), **more)

    async def away(_: Request, error: Exception) -> JSONResponse:
        log.warning("the database is away: %s", error)
        return problem(
            503, "Try again shortly", "The database cannot be reached at the moment.", {"Retry-After": "1"}
        )

    async def broken(request: Request, error: Exception) -> JSONResponse:
        log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        return problem(500, "Internal error", "This is our fault, and it was logged.")

    app.add_exception_handler(errors.Refusal, refused)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)
    for lost in (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout, TooManyRequests):
        app.add_exception_handler(lost, away)
    app.add_exception_handler(Exception, broken)
