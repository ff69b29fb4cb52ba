"""A token hands on no more than it has, by no way: other tokens, sign-in links, passwords."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
from accesstools import Browser, add, super_http
from apitools import Org, problem, refused_field


def ahead(hours: float) -> str:
    return (datetime.now(UTC) + timedelta(hours=hours)).isoformat()


def limited(org: Org, **fields: Any) -> httpx.Client:
    """A client with a new token of the organisation's admin."""
    made = org.http.post("/api/v1/tokens", json={"name": "t", **fields})
    assert made.status_code == 201, made.text
    return org.client(made.json()["token"])


def refusals(org: Org) -> list[str]:
    entries = org.get("/ledger/events", limit=200)["items"]
    return [entry["payload"]["what"] for entry in entries if entry["type"] == "AccessRefused"]


def test_scopes_that_nobody_names_are_those_that_the_asker_has(own: Org) -> None:
    ada = add(own, "responder", f"{uuid4()}@example.com")["id"]
    with limited(own, scopes=["manage"]) as manage:
        for sent in ({"name": "t"}, {"name": "t", "person": ada}):
            refused_field(manage.post("/api/v1/tokens", json=sent), "scopes")
    with limited(own, scopes=["manage", "read"]) as both:
        made = both.post("/api/v1/tokens", json={"name": "t"})
        assert made.status_code == 201 and made.json()["scopes"] == ["read"]
    assert own.http.post("/api/v1/tokens", json={"name": "t"}).json()["scopes"] == ["read", "respond"]


def test_a_token_makes_none_that_outlives_it(own: Org) -> None:
    with limited(own, scopes=["read", "respond", "manage"], expires_at=ahead(2)) as short:
        end = next(each for each in short.get("/api/v1/tokens").json()["items"] if each["expires_at"])[
            "expires_at"
        ]
        refused_field(short.post("/api/v1/tokens", json={"name": "t", "expires_at": ahead(3)}), "expires_at")
        assert short.post("/api/v1/tokens", json={"name": "t"}).json()["expires_at"] == end
        sooner = short.post("/api/v1/tokens", json={"name": "t", "expires_at": ahead(1)})
        assert sooner.status_code == 201 and sooner.json()["expires_at"] < end
    assert own.http.post("/api/v1/tokens", json={"name": "t"}).json()["expires_at"] is None


def test_a_link_is_only_for_whom_may_no_more_than_the_asker(own: Org) -> None:
    people = {
        role: add(own, role, f"{uuid4()}@example.com")["id"] for role in ("responder", "org_admin", "member")
    }

    def link(http: httpx.Client, person: str) -> httpx.Response:
        return http.post(f"/api/v1/people/{person}/sign-in-link")

    with limited(own, scopes=["manage"]) as manage:
        for person in (own.admin, people["org_admin"], people["responder"]):
            problem(link(manage, person), 403)
        assert link(manage, people["member"]).status_code == 201
    with limited(own, scopes=["read", "respond", "manage"]) as every:
        assert [link(every, person).status_code for person in people.values()] == [201] * 3
    with Browser(own.url) as browser:
        http = browser.by_link(own, people["org_admin"]).http
        assert [link(http, person).status_code for person in people.values()] == [201] * 3
    with super_http(own.url, own.id) as root:
        assert link(root, people["org_admin"]).status_code == 201
    assert refusals(own) == ["POST /api/v1/people/{id}/sign-in-link"]


def test_a_password_is_changed_by_who_has_signed_in(own: Org) -> None:
    assert own.http.patch(f"/api/v1/people/{own.admin}", json={"email": f"{uuid4()}@example.com"}).is_success
    problem(own.http.post("/auth/password", json={"new": "correct horse battery"}), 403)
    assert own.get("/me")["has_password"] is False
    assert refusals(own) == ["POST /auth/password"]


def test_a_refusal_of_any_power_is_on_record_once_an_hour(own: Org) -> None:
    member = add(own, "member", f"{uuid4()}@example.com")["id"]
    token = own.http.post("/api/v1/tokens", json={"name": "t", "person": member}).json()["token"]
    with own.client(token) as http:
        for _ in range(3):
            problem(http.get("/api/v1/incidents"), 403)
            problem(http.post("/api/v1/incidents", json={"title": "t", "severity": "low"}), 403)
            problem(http.patch("/api/v1/me", json={"name": "n"}), 403)
    assert refusals(own) == ["GET /api/v1/incidents", "POST /api/v1/incidents", "PATCH /api/v1/me"]
    entries = own.get("/ledger/events", limit=200)["items"]
    assert {e["payload"]["person_id"] for e in entries if e["type"] == "AccessRefused"} == {member}
