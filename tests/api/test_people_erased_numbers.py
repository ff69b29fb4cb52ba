"""A number goes with the person it is, or was, of; one that is somebody else's stays."""

from typing import Any
from uuid import uuid4

import psycopg
import pytest
from accesstools import Browser, add
from apitools import Org, refused_field

RECIPIENTS = "/api/v1/notifications/recipients"


def numbers(own: Org) -> list[str]:
    return [each["whatsapp"] for each in own.get("/notifications/recipients")["items"]]


@pytest.fixture
def ada(own: Org) -> dict[str, Any]:
    return add(own, "responder", f"{uuid4()}@example.com", whatsapp="+15550100300")


def unlinked(own: Org, ada: dict[str, Any], **more: Any) -> str:
    (theirs,) = own.get("/notifications/recipients")["items"]
    assert own.http.patch(f"{RECIPIENTS}/{theirs['id']}", json={"person": None, **more}).status_code == 200
    return str(theirs["id"])


def test_a_number_that_was_unlinked_goes_with_its_person(
    own: Org, ada: dict[str, Any], sql: psycopg.Connection[Any]
) -> None:
    id = unlinked(own, ada)
    own.http.patch(f"{RECIPIENTS}/{id}", json={"whatsapp": "+15550100300", "name": "Still Ada"})
    assert own.http.post(f"/api/v1/people/{ada['id']}/erase").status_code == 200
    assert numbers(own) == []
    (row,) = sql.execute("select name, whatsapp from notify.recipients where id = %s", (id,)).fetchall()
    assert row == ("erased person", "+10000000")


def test_a_number_that_they_have_beside_goes_too(own: Org, ada: dict[str, Any]) -> None:
    assert own.http.patch(f"/api/v1/people/{ada['id']}", json={"whatsapp": None}).status_code == 200
    made = own.http.post(RECIPIENTS, json={"name": "Her phone", "whatsapp": "+15550100300"})
    assert made.status_code == 201
    assert own.http.post(f"/api/v1/people/{ada['id']}/erase").status_code == 200
    assert numbers(own) == []


def test_what_is_not_theirs_any_more_stays(own: Org, ada: dict[str, Any]) -> None:
    unlinked(own, ada, whatsapp="+15550100301")
    bea = add(own, "responder", f"{uuid4()}@example.com", whatsapp="+15550100302")
    assert own.http.post(f"/api/v1/people/{ada['id']}/erase").status_code == 200
    assert numbers(own) == ["+15550100301", "+15550100302"]
    (linked,) = [each for each in own.get("/notifications/recipients")["items"] if each["person"] is not None]
    assert linked["person"] == bea["id"]


def test_a_code_that_was_asked_for_takes_nobodys_number_along(own: Org, ada: dict[str, Any]) -> None:
    own.http.post(RECIPIENTS, json={"name": "On-call phone", "whatsapp": "+15550100303"})
    with Browser(own.url) as browser:
        asked = browser.by_link(own, ada["id"]).http.patch("/api/v1/me", json={"whatsapp": "+15550100303"})
        assert asked.json()["whatsapp_waiting"] == "+15550100303"
    assert own.http.post(f"/api/v1/people/{ada['id']}/erase").status_code == 200
    assert numbers(own) == ["+15550100303"]


def test_an_address_that_is_taken_is_looked_for_before_it_is_written(
    own: Org, ada: dict[str, Any], product: Any
) -> None:
    log = product.data / "postgres.log"
    before = log.read_text().count("duplicate key value")
    bea = add(own, "responder", f"{uuid4()}@example.com", whatsapp="+15550100304")
    taken = {"email": ada["email"].upper()}
    refused_field(own.http.post("/api/v1/people", json={"name": "B", **taken}), "email")
    refused_field(own.http.patch(f"/api/v1/people/{bea['id']}", json=taken), "email")
    number = {"name": "B", "whatsapp": "+15550100300"}
    assert own.http.post(RECIPIENTS, json=number).status_code == 409
    (hers,) = [each for each in own.get("/notifications/recipients")["items"] if each["person"] == bea["id"]]
    assert own.http.patch(f"{RECIPIENTS}/{hers['id']}", json=number).status_code == 409
    assert own.http.patch(f"{RECIPIENTS}/{hers['id']}", json={"whatsapp": "+15550100304"}).status_code == 200
    assert log.read_text().count("duplicate key value") == before
