"""What machines read about the product: its description, its health, its measurements."""

import re
from typing import Any

import httpx
from apitools import Org

ROUTES = {
    ("post", "/incidents"),
    ("get", "/incidents"),
    ("get", "/incidents/{id}"),
    ("get", "/incidents/{id}/timeline"),
    ("get", "/incidents/{id}/events"),
    ("get", "/incidents/{id}/stream"),
    ("get", "/stream"),
    ("get", "/ledger/events"),
    ("get", "/analytics/summary"),
    ("get", "/incidents/{id}/deliveries"),
    ("post", "/notifications/recipients"),
    ("get", "/notifications/recipients"),
    ("get", "/notifications/recipients/{id}"),
    ("patch", "/notifications/recipients/{id}"),
    ("delete", "/notifications/recipients/{id}"),
    ("post", "/integrations"),
    ("post", "/integrations/{key}/alertmanager"),
    *(
        ("post", f"/incidents/{{id}}/{c}")
        for c in (
            "acknowledge",
            "investigate",
            "resolve",
            "reopen",
            "updates",
            "severity",
            "category",
            "assign",
            "merge",
            "correct",
        )
    ),
}


def _all(value: Any, key: str) -> list[Any]:
    if isinstance(value, dict):
        return [v for k, v in value.items() if k == key] + [f for v in value.values() for f in _all(v, key)]
    return [f for v in value for f in _all(v, key)] if isinstance(value, list) else []


def test_openapi_is_sound_and_lists_every_route(org: Org) -> None:
    answer = httpx.get(f"{org.url}/openapi.json")
    assert answer.status_code == 200
    document = answer.json()

    assert re.fullmatch(r"3\.[01]\.\d+", document["openapi"])
    assert document["info"]["title"] and document["info"]["version"]
    operations = {
        (method, path): operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    assert {(method, f"/api/v1{path}") for method, path in ROUTES} | {
        ("get", "/healthz"),
        ("get", "/readyz"),
        ("get", "/metrics"),
        ("get", "/webhooks/whatsapp"),
        ("post", "/webhooks/whatsapp"),
    } <= operations.keys()
    for (method, path), operation in operations.items():
        named = {p["name"] for p in operation.get("parameters", []) if p["in"] == "path"}
        assert named == set(re.findall(r"{(\w+)}", path)), path
        assert operation["responses"], path
        assert all(p["required"] for p in operation.get("parameters", []) if p["in"] == "path")
        assert method in ("get", "post", "put", "patch", "delete")
    ids = [operation["operationId"] for operation in operations.values()]
    assert len(ids) == len(set(ids))
    for ref in _all(document, "$ref"):
        found: Any = document
        assert ref.startswith("#/")
        for part in ref[2:].split("/"):
            found = found[part.replace("~1", "/").replace("~0", "~")]


def test_health_readiness_and_metrics_need_no_token(org: Org) -> None:
    org.trigger()
    health, ready, metrics = (httpx.get(f"{org.url}/{name}") for name in ("healthz", "readyz", "metrics"))

    assert (health.status_code, ready.status_code, metrics.status_code) == (200, 200, 200)
    assert ready.json()["status"] == "ready"
    assert metrics.headers["Content-Type"].startswith("text/plain")
    values = dict(line.rsplit(" ", 1) for line in metrics.text.splitlines() if line and not line.startswith("#"))
    assert float(values["fandesk_ledger_position"]) >= 1
    assert "fandesk_projection_lag_events" in values
    for answer in (health, ready, metrics):
        assert "secret" not in answer.text and "postgresql://" not in answer.text
