"""What the OpenAPI document says of answers is what they are."""

import httpx

from api import shapes


def test_answers_have_the_documented_shapes(http: httpx.Client) -> None:
    opened = http.post("/api/v1/incidents", json={"title": "Shapes", "severity": "low", "labels": {"a": "b"}})
    id = opened.json()["id"]
    person = {"name": "Shapes", "whatsapp": "+1 555 010 0099"}
    recipient = http.post("/api/v1/notifications/recipients", json=person)
    refused = http.post(f"/api/v1/incidents/{id}/reopen", json={"reason": "no"})

    for model, answer in (
        (shapes.Incident, opened),
        (shapes.Incident, http.get(f"/api/v1/incidents/{id}")),
        (shapes.IncidentPage, http.get("/api/v1/incidents")),
        (shapes.TimelinePage, http.get(f"/api/v1/incidents/{id}/timeline")),
        (shapes.LedgerPage, http.get(f"/api/v1/incidents/{id}/events")),
        (shapes.LedgerPage, http.get("/api/v1/ledger/events")),
        (shapes.Summary, http.get("/api/v1/analytics/summary?group_by=label:a")),
        (shapes.DeliveryPage, http.get(f"/api/v1/incidents/{id}/deliveries")),
        (shapes.Recipient, recipient),
        (shapes.RecipientPage, http.get("/api/v1/notifications/recipients")),
        (shapes.Problem, refused),
    ):
        shown = model.model_validate(answer.json())
        if model not in (shapes.Summary, shapes.Problem):
            assert set(answer.json()) == set(shown.model_fields_set)
            assert model.model_json_schema()["required"] == list(answer.json())


def test_the_document_names_tokens_and_headers(http: httpx.Client) -> None:
    paths = http.get("/openapi.json").json()["paths"]
    acknowledge = paths["/api/v1/incidents/{id}/acknowledge"]["post"]
    detail = paths["/api/v1/incidents/{id}"]["get"]

    assert acknowledge["security"] == detail["security"] == [{"bearer": []}, {"session": []}]
    assert {"Idempotency-Key", "If-Match"} <= {each["name"] for each in acknowledge["parameters"]}
    assert "Ledger-Position" in {each["name"] for each in detail["parameters"]}
    for path in ("/api/v1/integrations/{key}/alertmanager", "/webhooks/whatsapp"):
        assert "security" not in paths[path]["post"]
    assert paths["/api/v1/notifications/recipients"]["post"].get("parameters", []) == []
    shown = paths["/api/v1/notifications/recipients/{id}"]
    assert [each["name"] for each in shown["get"]["parameters"]] == ["id"]
    assert {code for code in shown["delete"]["responses"] if code < "3"} == {"204"}
