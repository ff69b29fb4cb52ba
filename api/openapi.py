"""Adds to the OpenAPI document what all routes share: bearer tokens, and the headers of commands and reads."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

BEARER = {"type": "http", "scheme": "bearer", "description": "An API token."}

NO_TOKEN = ("/healthz", "/readyz", "/metrics", "/webhooks/", "/api/v1/integrations/{key}", "/feeds/")
"""Where nobody has to say who he is; an integration says it in its address."""

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

READ_HEADERS = (("Ledger-Position", "Read at least that far; 503 where the read models take too long."),)


def document(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document, made once."""
    if app.openapi_schema is None:
        schema = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
        schema.setdefault("components", {})["securitySchemes"] = {"bearer": BEARER}
        for path, operations in schema["paths"].items():
            for method, operation in operations.items():
                if not path.startswith(NO_TOKEN):
                    operation["security"] = [{"bearer": []}]
                    operation.setdefault("parameters", []).extend(_headers(path, method))
        app.openapi_schema = schema
    return app.openapi_schema


def _headers(path: str, method: str) -> list[dict[str, Any]]:
    headers = READ_HEADERS if method == "get" else COMMAND_HEADERS if path.startswith(CHANGES) else ()
    if path.endswith("/stream") or "/notifications/" in path:
        headers = ()
    return [
        {"name": name, "in": "header", "required": False, "description": why, "schema": {"type": "string"}}
        for name, why in headers
    ]
