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
    ("If-Match", "The ETag of the last answer: 412 where the incident has changed since."),
)
OF_INCIDENTS = ("/api/v1/incidents", "/api/v1/ledger/", "/api/v1/analytics/")
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
    if path.startswith(OF_INCIDENTS) and not path.endswith("/stream"):
        headers = READ_HEADERS if method == "get" else COMMAND_HEADERS
    return [
        {"name": name, "in": "header", "required": False, "description": why, "schema": {"type": "string"}}
        for name, why in headers
    ]
