"""What Meta refuses with: its error codes, their HTTP statuses, and the body of a refusal."""

import secrets
from dataclasses import dataclass
from typing import Any, NamedTuple

from fastapi.responses import JSONResponse

TRANSIENT = (1, 2)


class Kind(NamedTuple):
    """An error code of Meta's: the HTTP status it documents for it, and the title it always carries."""

    http_status: int
    title: str


KINDS: dict[int, Kind] = {
    1: Kind(500, "An unknown error occurred"),
    2: Kind(503, "Service temporarily unavailable"),
    4: Kind(400, "Application request limit reached"),
    10: Kind(403, "Application does not have permission for this action"),
    100: Kind(400, "Invalid parameter"),
    190: Kind(401, "Invalid OAuth access token - Cannot parse access token"),
    368: Kind(403, "Temporarily blocked for policies violations"),
    2500: Kind(400, "Unknown path components"),
    80007: Kind(400, "Rate limit issues"),
    130429: Kind(400, "Rate limit hit"),
    130472: Kind(400, "User's number is part of an experiment"),
    131000: Kind(500, "Something went wrong"),
    131005: Kind(403, "Access denied"),
    131008: Kind(400, "Required parameter is missing"),
    131009: Kind(400, "Parameter value is not valid"),
    131016: Kind(503, "Service unavailable"),
    131021: Kind(400, "Recipient cannot be sender"),
    131026: Kind(400, "Message undeliverable"),
    131030: Kind(400, "Recipient phone number not in allowed list"),
    131031: Kind(403, "Business Account locked"),
    131042: Kind(400, "Business eligibility payment issue"),
    131047: Kind(400, "Re-engagement message"),
    131048: Kind(400, "Spam rate limit hit"),
    131049: Kind(400, "Meta chose not to deliver"),
    131051: Kind(400, "Unsupported message type"),
    131056: Kind(400, "(Business Account, Consumer Account) pair rate limit hit"),
    131057: Kind(500, "Account in maintenance mode"),
    132000: Kind(400, "Number of parameters does not match the expected number of params"),
    132001: Kind(404, "Template name does not exist in the translation"),
    132005: Kind(400, "Translated text too long"),
    132012: Kind(400, "Parameter format does not match format in the created template"),
    132015: Kind(400, "Template is paused"),
    132016: Kind(400, "Template is disabled"),
    132018: Kind(400, "There's an issue with the parameters in your template"),
    133004: Kind(503, "Server temporarily unavailable"),
    133010: Kind(400, "Phone number not registered"),
}

PLAIN = (1, 2, 190)
"""Codes whose message Meta sends without its number before it."""

BY_HTTP_STATUS = {401: 190, 403: 131005, 404: 132001, 429: 130429, 503: 131016}


@dataclass(eq=False)
class Refused(Exception):
    """Meta refuses a request. `message` stands for the whole message where it is not the code's title."""

    code: int
    details: str | None = None
    message: str | None = None
    http_status: int | None = None
    subcode: int | None = None

    @property
    def kind(self) -> Kind:
        return KINDS.get(self.code, Kind(400, "Unknown error"))

    @property
    def status(self) -> int:
        return self.http_status or self.kind.http_status

    def body(self) -> dict[str, Any]:
        """The body as Meta shapes it; `error_data` is there only where there are details, as at Meta's."""
        prefix = "" if self.code in PLAIN or self.subcode else f"(#{self.code}) "
        error: dict[str, Any] = {
            "message": prefix + (self.message or self.kind.title),
            "type": "GraphMethodException" if self.subcode else "OAuthException",
            "code": self.code,
        }
        if self.code in TRANSIENT:
            error["is_transient"] = True
        if self.subcode:
            error["error_subcode"] = self.subcode
        if self.details:
            error["error_data"] = {"messaging_product": "whatsapp", "details": self.details}
        error["fbtrace_id"] = "A" + secrets.token_urlsafe(17)[:22]
        return {"error": error}

    def response(self) -> JSONResponse:
        return JSONResponse(self.body(), self.status)


def told(code: int | None, http_status: int | None) -> Refused:
    """The refusal the sandbox was told to give: by code, by HTTP status, or both."""
    if code is None:
        assert http_status is not None
        code = BY_HTTP_STATUS.get(http_status, 131000 if http_status >= 500 else 100)
    return Refused(code, "The sandbox was told to refuse this.", http_status=http_status)


def required(place: str) -> Refused:
    return Refused(100, message=f"The parameter {place} is required.")


def unexpected(key: str, place: str) -> Refused:
    where = f' on param "{place}"' if place else ""
    return Refused(100, message=f'Unexpected key "{key}"{where}.')
