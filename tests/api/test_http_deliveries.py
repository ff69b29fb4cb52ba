"""What was sent to whom about an incident, as it is shown. Incidents are low: the notifier adds none itself."""

from datetime import UTC, datetime, timedelta
from typing import Any, get_args
from uuid import UUID, uuid4

import psycopg
import pytest
from apitools import Org, all_pages, cursor_of, problem, refused_field
from psycopg.types.json import Jsonb

from api import shapes
from commands.ids import new_id
from domain.words import rfc3339

START = datetime(2026, 3, 1, 9, 0, 0, 123456, tzinfo=UTC)
FAR = datetime(2199, 1, 1, tzinfo=UTC)
RECIPIENTS = "/api/v1/notifications/recipients"


def _recipient(org: Org, name: str = "Grace") -> dict[str, Any]:
    body = {"name": name, "whatsapp": f"+1555{uuid4().int % 10**7:07d}"}
    answer = org.http.post(RECIPIENTS, json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()


def _deliver(
    sql: psycopg.Connection[Any], org: Org, recipient: dict[str, Any], incident_id: str | None, **columns: Any
) -> UUID:
    """A row as the notifier writes it, and one that a notifier has nothing more to do about."""
    state = columns.get("state", "cancelled")
    row = {
        "id": new_id(),
        "kind": "alert",
        "organization_id": org.id,
        "recipient_id": recipient["id"],
        "channel": "whatsapp",
        "incident_id": incident_id,
        "severity": "high",
        "content": Jsonb({"number": "INC-1", "title": "It is down"}),
        "state": state,
        "told": state,
        "due_at": FAR,
        "queued_at": START,
        **columns,
    }
    marks = ", ".join(f"%({name})s" for name in row)
    sql.execute(f"insert into notify.deliveries ({', '.join(row)}) values ({marks})".encode(), row)
    return row["id"]


def test_a_delivery_is_shown_with_all_it_went_through(own: Org, sql: psycopg.Connection[Any]) -> None:
    incident, grace = own.trigger(severity="low"), _recipient(own)
    times = {
        name: START + timedelta(seconds=n)
        for n, name in enumerate(("sending_at", "unknown_at", "sent_at", "delivered_at", "read_at"))
    }
    more = {"state": "failed", "reason": "Undeliverable", "error_code": 131026, "wamid": f"wamid.{uuid4()}"}
    id = _deliver(sql, own, grace, incident["id"], attempt=2, superseded=True, **times, **more)

    for key in (incident["id"], incident["number"].lower()):
        page = own.get(f"/incidents/{key}/deliveries")
        assert page == {
            "items": [
                {
                    "id": str(id),
                    "recipient": {"id": grace["id"], "name": "Grace"},
                    "channel": "whatsapp",
                    "attempt": 2,
                    "severity": "high",
                    "state": "failed",
                    "reason": "Undeliverable",
                    "error_code": 131026,
                    "wamid": more["wamid"],
                    "superseded": True,
                    "due_at": rfc3339(FAR),
                    "queued_at": rfc3339(START),
                    **{name: rfc3339(at) for name, at in times.items()},
                    "failed_at": None,
                    "cancelled_at": None,
                }
            ],
            "next_cursor": None,
        }
        assert list(page["items"][0]) == list(shapes.Delivery.model_fields)
    shapes.DeliveryPage.model_validate(page)


def test_pages_in_order_of_queueing_and_then_of_id(own: Org, sql: psycopg.Connection[Any]) -> None:
    incident, another, grace = own.trigger(severity="low"), own.trigger(severity="low"), _recipient(own)
    later = _deliver(sql, own, grace, incident["id"], queued_at=START + timedelta(microseconds=1))
    same = sorted(_deliver(sql, own, grace, incident["id"], id=uuid4()) for _ in range(4))
    _deliver(sql, own, grace, another["id"])
    _deliver(sql, own, grace, incident["id"], kind="reply")
    _deliver(sql, own, grace, None, kind="reply")
    expected = [str(id) for id in (*same, later)]

    for limit in (1, 2, 5, 200):
        pages = list(all_pages(own, f"/incidents/{incident['id']}/deliveries", limit=limit))
        assert [item["id"] for page in pages for item in page] == expected
        assert all(len(page) <= limit for page in pages)


def test_every_state_is_a_documented_one(own: Org, sql: psycopg.Connection[Any]) -> None:
    incident, grace = own.trigger(severity="low"), _recipient(own)
    for state in get_args(shapes.DeliveryState):
        _deliver(sql, own, grace, incident["id"], state=state, sending_at=datetime.now(UTC))

    page = shapes.DeliveryPage.model_validate(own.get(f"/incidents/{incident['id']}/deliveries"))
    assert {item.state for item in page.items} == set(get_args(shapes.DeliveryState))


def test_a_recipient_that_was_removed_or_renamed(own: Org, sql: psycopg.Connection[Any]) -> None:
    incident, grace = own.trigger(severity="low"), _recipient(own)
    _deliver(sql, own, grace, incident["id"])

    own.http.patch(f"{RECIPIENTS}/{grace['id']}", json={"name": "Hopper"})
    own.http.delete(f"{RECIPIENTS}/{grace['id']}")

    (item,) = own.get(f"/incidents/{incident['id']}/deliveries")["items"]
    assert item["recipient"]["name"] == "Hopper"


def test_the_last_delivery_of_a_recipient(own: Org, sql: psycopg.Connection[Any]) -> None:
    first, second = own.trigger(severity="low"), own.trigger(severity="low")
    grace, ada = _recipient(own), _recipient(own, "Ada")
    read_at = START + timedelta(minutes=2)
    _deliver(sql, own, grace, first["id"], state="failed", failed_at=read_at + timedelta(hours=1))
    _deliver(sql, own, grace, second["id"], state="read", queued_at=START + timedelta(minutes=1), read_at=read_at)
    _deliver(sql, own, grace, None, kind="reply", queued_at=START + timedelta(minutes=3))

    incident = {"id": second["id"], "number": second["number"]}
    own.get(f"/incidents/{second['id']}")  # waits for the read models, of which the number is
    shown = own.get(f"/notifications/recipients/{grace['id']}")
    assert shown["last_delivery"] == {"state": "read", "at": rfc3339(read_at), "incident": incident}
    assert own.get(f"/notifications/recipients/{ada['id']}")["last_delivery"] is None
    shapes.RecipientPage.model_validate(own.get("/notifications/recipients"))


def test_who_may_see_deliveries(org: Org, other: Org, sql: psycopg.Connection[Any]) -> None:
    incident, grace = org.trigger(severity="low"), _recipient(org)
    _deliver(sql, org, grace, incident["id"])
    path = f"/api/v1/incidents/{incident['id']}/deliveries"

    problem(other.http.get(path), 404)
    for id in (uuid4(), "INC-999999", "x", "INC-"):
        problem(org.http.get(f"/api/v1/incidents/{id}/deliveries"), 404)
    assert org.http.get(path).headers["Ledger-Position"]
    with org.client("fdt_wrong") as http:
        problem(http.get(path), 401)


@pytest.mark.parametrize(
    "cursor", ["x", cursor_of("timeline", "2026-01-01T00:00:00Z", 1), cursor_of("deliveries", 1, 2)]
)
def test_a_cursor_of_another_list_is_refused(org: Org, cursor: str) -> None:
    incident = org.trigger(severity="low")
    refused_field(org.http.get(f"/api/v1/incidents/{incident['id']}/deliveries?cursor={cursor}"), "cursor")
