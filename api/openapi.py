"""Adds to the OpenAPI document what all routes share: bearer tokens, and the headers of commands and reads."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api import access, cookies

SESSION = {
    "type": "apiKey",
    "in": "cookie",
    "name": cookies.NAME,
    "description": "A session, begun by signing in. What changes something needs X-CSRF-Token as well.",
}
BEARER = {"type": "http", "scheme": "bearer", "description": "An API token."}

COMMAND_HEADERS = (
    (
        "Idempotency-Key",
        "The same key and request again gives the first answer again (refusals are decided anew); 255 characters.",
    ),
    ("If-Match", "The ETag of the last answer: 412 where the incident, or the settings, have changed since."),
)
CHANGES = tuple(
    f"/api/v1/{each}"
    for each in (
        "incidents",
        "teams",
        "routing-rules",
        "schedules",
        "escalation-policies",
        "maintenance-windows",
        "people/{id}/quiet-hours",
        "me/quiet-hours",
        "organization/response-targets",
    )
)
"""Where commands carry those headers."""
READS = (*CHANGES, "/api/v1/ledger/", "/api/v1/analytics/")
READ_HEADERS = (("Ledger-Position", "Read at least that far; 503 where the read models take too long."),)


def document(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document, made once."""
    if app.openapi_schema is None:
        schema = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
        schema.setdefault("components", {})["securitySchemes"] = {"bearer": BEARER, "session": SESSION}
        for path, operations in schema["paths"].items():
            for method, operation in operations.items():
                if access.RULES[f"{method.upper()} {path}"] != "open":
                    operation["security"] = [{"bearer": []}, {"session": []}]
                    operation.setdefault("parameters", []).extend(_headers(path, method))
        app.openapi_schema = schema
    return app.openapi_schema


def _headers(path: str, method: str) -> list[dict[str, Any]]:
    headers: tuple[tuple[str, str], ...] = ()
    if not path.endswith("/stream"):
        if method == "get":
            headers = READ_HEADERS if path.startswith(READS) else ()
        else:
            headers = COMMAND_HEADERS if path.startswith(CHANGES) else ()
    return [
        {"name": name, "in": "header", "required": False, "description": why, "schema": {"type": "string"}}
        for name, why in headers
    ]
