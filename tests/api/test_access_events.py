"""Every new way in is an event, with who opened it; what opens it is in no event."""

import json
from typing import Any
from uuid import uuid4

from accesstools import add
from apitools import Org
from settingtools import daily, post, put


def payloads(org: Org, after: int = 0) -> list[tuple[str, dict[str, Any]]]:
    entries = org.get("/ledger/events", limit=200)["items"][after:]
    return [(entry["type"], entry["payload"]) for entry in entries]


def test_links_feeds_and_integrations_are_on_record(own: Org) -> None:
    ada = add(own, "responder", f"{uuid4()}@example.com")["id"]
    put(own, "/schedules/primary", daily(ada))
    before = len(payloads(own))
    link = own.http.post(f"/api/v1/people/{ada}/sign-in-link").json()
    feeds = [post(own, "/calendar-feeds", body).json() for body in ({"schedule": "primary"}, {"person": ada})]
    assert own.http.delete(f"/api/v1/calendar-feeds/{feeds[0]['id']}").status_code == 204
    assert own.http.delete(f"/api/v1/calendar-feeds/{feeds[0]['id']}").status_code == 404
    source = own.http.post("/api/v1/integrations", json={"name": "Our Prometheus", "kind": "grafana"}).json()
    found = payloads(own, before)
    common = {"organization_id", "actor", "occurred_at", "correlation_id", "causation_id"}
    assert [(kind, {k: v for k, v in said.items() if k not in common}) for kind, said in found] == [
        ("SignInLinkIssued", {"person_id": ada, "expires_at": link["expires_at"]}),
        ("CalendarFeedIssued", {"feed_id": feeds[0]["id"], "schedule": "primary"}),
        ("CalendarFeedIssued", {"feed_id": feeds[1]["id"], "person_id": ada}),
        ("CalendarFeedRevoked", {"feed_id": feeds[0]["id"]}),
        ("IntegrationAdded", {"integration_id": source["id"], "kind": "grafana"}),
    ]
    assert {said["actor"]["id"] for _, said in found} == {own.admin}
    written = json.dumps(found)
    for secret in (
        link["url"].rsplit("/")[-1],
        feeds[0]["url"].rsplit("/")[-1][:-4],
        source["key"],
        source["name"],
    ):
        assert secret not in written
