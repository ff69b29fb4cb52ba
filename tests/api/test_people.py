"""People, their tokens, their erasure; and what a thief of the database could do with it."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from accesstools import Browser, add, super_http
from apitools import Org, problem, refused_field
from running import TOKEN, until

from api.directory import secret_hash


def kinds(org: Org) -> list[str]:
    return [entry["type"] for entry in org.get("/ledger/events", limit=200)["items"]]


def test_every_change_of_access_is_an_event_by_whoever_did_it(own: Org) -> None:
    before = len(kinds(own))
    ada = add(own, "responder", f"{uuid4()}@example.com", time_zone="Europe/Berlin")
    assert (
        own.http.post(f"/api/v1/people/{ada['id']}/role", json={"role": "org_admin"}).json()["role"] == "org_admin"
    )
    own.http.post(f"/api/v1/people/{ada['id']}/role", json={"role": "org_admin"})  # is so already
    token = own.http.post("/api/v1/tokens", json={"name": "t", "person": ada["id"]}).json()
    assert own.http.delete(f"/api/v1/tokens/{token['id']}").status_code == 204
    assert own.http.delete(f"/api/v1/people/{ada['id']}").status_code == 204
    assert own.http.post(f"/api/v1/people/{ada['id']}/role", json={"role": "member"}).status_code == 200
    assert own.http.post(f"/api/v1/people/{ada['id']}/erase").json()["name"] == "erased person"
    entries = own.get("/ledger/events", limit=200)["items"][before:]
    assert [(e["type"], e["payload"].get("role"), e["payload"].get("previous")) for e in entries] == [
        ("RoleGranted", "responder", None),
        ("RoleGranted", "org_admin", "responder"),
        ("TokenIssued", None, None),
        ("TokenRevoked", None, None),
        ("AccessRemoved", None, "org_admin"),
        ("RoleGranted", "member", None),
        ("PersonErased", None, None),
    ]
    assert {e["payload"]["actor"]["id"] for e in entries} == {own.admin}
    assert {e["payload"]["person_id"] for e in entries} == {ada["id"]}


def test_people_are_listed_shown_and_changed(own: Org) -> None:
    email = f"{uuid4()}@example.com"
    ada = add(own, "responder", email, whatsapp="+1 555 010 0100", time_zone="Asia/Tokyo")
    assert (ada["whatsapp"], ada["whatsapp_confirmed"], ada["time_zone"]) == ("+15550100100", False, "Asia/Tokyo")
    path = f"/api/v1/people/{ada['id']}"
    changed = own.http.patch(path, json={"name": "Ada", "whatsapp": "+15550100101"}).json()
    assert changed == {**ada, "name": "Ada", "whatsapp": "+15550100101"} == own.http.get(path).json()
    assert [each["id"] for each in own.get("/people")["items"]] == [own.admin, ada["id"]]
    assert own.get("/people", limit=1)["next_cursor"]
    assert own.http.patch(path, json={"whatsapp": None, "email": None}).json()["whatsapp"] is None
    for body, field in (
        ({"email": "nobody"}, "email"),
        ({"time_zone": "Mars/Base"}, "time_zone"),
        ({"whatsapp": "12"}, "whatsapp"),
        ({"name": None}, "name"),
        ({"role": "member"}, "role"),
    ):
        refused_field(own.http.patch(path, json=body), field)


def test_an_email_is_one_persons_whatever_its_case(own: Org, other: Org) -> None:
    email = f"Ada.{uuid4()}@example.com"
    add(own, "member", email)
    for org in (own, other):
        refused_field(org.http.post("/api/v1/people", json={"name": "A", "email": email.upper()}), "email")
    assert len(own.get("/people")["items"]) == 2


def test_an_email_is_free_again_when_whose_it_was_has_no_access(own: Org, other: Org) -> None:
    email = f"Ada.{uuid4()}@example.com"
    first = add(own, "responder", email)["id"]
    role = f"/api/v1/people/{first}/role"
    assert own.http.delete(f"/api/v1/people/{first}").status_code == 204
    second = add(other, "responder", email.lower())["id"]
    told = refused_field(own.http.post(role, json={"role": "responder"}), "email")
    assert "Somebody else signs in" in told["errors"][0]["detail"]
    assert own.get(f"/people/{first}")["role"] is None
    assert kinds(own)[-1] == "AccessRemoved"
    assert other.http.patch(f"/api/v1/people/{second}", json={"email": None}).status_code == 200
    assert own.http.post(role, json={"role": "responder"}).json()["email"] == email
    refused_field(other.http.patch(f"/api/v1/people/{second}", json={"email": email}), "email")


def test_access_ends_at_once_and_by_every_way(own: Org) -> None:
    ada = add(own, "responder", f"{uuid4()}@example.com", whatsapp="+15550100102")
    token = own.http.post("/api/v1/tokens", json={"name": "t", "person": ada["id"]}).json()["token"]
    with Browser(own.url) as browser, own.client(token) as http:
        browser.by_link(own, ada["id"])
        assert http.get("/api/v1/incidents").status_code == 200
        assert own.http.delete(f"/api/v1/people/{ada['id']}").status_code == 204
        problem(http.get("/api/v1/incidents"), 401)
        problem(browser.http.get("/auth/session"), 401)
        problem(own.http.post(f"/api/v1/people/{ada['id']}/sign-in-link"), 409)
        assert ada["id"] not in [each["person"] for each in own.get("/notifications/recipients")["items"]]
        shown = own.get(f"/people/{ada['id']}")
        assert (shown["role"], shown["name"]) == (None, ada["name"])
        own.http.post(f"/api/v1/people/{ada['id']}/role", json={"role": "responder"})
        problem(http.get("/api/v1/incidents"), 401)  # a role gives access again, not what was revoked


def test_admins_neither_make_nor_touch_super_admins(own: Org) -> None:
    refused = own.http.post("/api/v1/people", json={"name": "S", "role": "super_admin"})
    problem(refused, 403)
    with super_http(own.url, own.id) as root:
        made = root.post("/api/v1/people", json={"name": "S", "role": "super_admin"}).json()
        path, recipients = f"/api/v1/people/{made['id']}", "/api/v1/notifications/recipients"
        number = {"name": "S", "whatsapp": "+15550100103"}
        theirs = root.post(recipients, json={**number, "person": made["id"]}).json()["id"]
        nobodys = root.post(recipients, json={"name": "N", "whatsapp": "+15550100104"}).json()["id"]
        for method, where, body in (
            ("PATCH", path, {"email": f"{uuid4()}@example.com"}),
            ("POST", f"{path}/role", {"role": "member"}),
            ("POST", f"{path}/sign-in-link", {}),
            ("POST", f"{path}/erase", {}),
            ("DELETE", path, None),
            ("DELETE", f"{path}/sessions", None),
            ("POST", "/api/v1/tokens", {"name": "t", "person": made["id"]}),
            ("POST", recipients, {**number, "person": made["id"]}),
            ("PATCH", f"{recipients}/{theirs}", {"whatsapp": "+15550100105"}),
            ("PATCH", f"{recipients}/{theirs}", {"person": None}),
            ("DELETE", f"{recipients}/{theirs}", None),
            ("PATCH", f"{recipients}/{nobodys}", {"person": made["id"]}),
            ("PUT", f"{path}/quiet-hours", {"time_zone": "UTC", "windows": [{"start": "22:00", "end": "06:00"}]}),
            ("DELETE", f"{path}/quiet-hours", None),
        ):
            problem(own.http.request(method, where, json=body), 403)
        assert root.post(f"{path}/role", json={"role": "member"}).status_code == 200
    refused = {e["payload"]["what"] for e in own.get("/ledger/events")["items"] if e["type"] == "AccessRefused"}
    assert {"POST /api/v1/people", "POST /api/v1/people/{id}/erase", "DELETE /api/v1/people/{id}"} <= refused


def test_one_super_admin_remains(product: Any) -> None:
    with product.client() as root:
        me = root.get("/api/v1/me").json()["id"]
        path = f"/api/v1/people/{me}"
        problem(root.delete(path), 409)
        problem(root.post(f"{path}/role", json={"role": "org_admin"}), 409)
        problem(root.post(f"{path}/erase"), 409)
        assert root.get("/api/v1/me").json()["role"] == "super_admin"


def test_tokens(own: Org, sql: psycopg.Connection[Any]) -> None:
    later = (datetime.now(UTC) + timedelta(seconds=2)).isoformat()
    made = own.http.post("/api/v1/tokens", json={"name": "ci", "scopes": ["read"], "expires_at": later}).json()
    assert made["token"].startswith("fdt_") and made["scopes"] == ["read"] and made["last_used_at"] is None
    with own.client(made["token"]) as http:
        for _ in range(3):
            assert http.get("/api/v1/incidents").status_code == 200
        problem(http.post("/api/v1/incidents", json={"title": "t", "severity": "low"}), 403)
        (row,) = (e for e in own.get("/tokens")["items"] if e["id"] == made["id"])
        assert row["last_used_at"].endswith(":00.000000Z") and "token" not in row
        until(lambda: http.get("/api/v1/incidents").status_code == 401, within_s=5, what="its end")
    for body, field in (
        ({"name": "t", "scopes": ["install"]}, "scopes"),
        ({"name": "t", "scopes": []}, "scopes"),
        ({"name": "t", "expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"scopes": ["read"]}, "name"),
    ):
        refused_field(own.http.post("/api/v1/tokens", json=body), field)
    problem(own.http.post("/api/v1/tokens", json={"name": "t", "person": str(uuid4())}), 404)


def test_nobody_gives_away_more_than_they_have(own: Org) -> None:
    ada = add(own, "responder", f"{uuid4()}@example.com")
    with Browser(own.url) as browser:
        http = browser.by_link(own, ada["id"]).http
        refused_field(http.post("/api/v1/tokens", json={"name": "t", "scopes": ["manage"]}), "scopes")
        problem(http.post("/api/v1/tokens", json={"name": "t", "person": own.admin}), 403)
        mine = http.post("/api/v1/tokens", json={"name": "mine"}).json()
        assert [each["id"] for each in http.get("/api/v1/tokens").json()["items"]] == [mine["id"]]
        (admins,) = (e for e in own.get("/tokens")["items"] if e["person"]["id"] == own.admin)
        problem(http.delete(f"/api/v1/tokens/{admins['id']}"), 404)


def test_a_token_is_used_without_a_write_each_time(own: Org, sql: psycopg.Connection[Any]) -> None:
    made = own.http.post("/api/v1/tokens", json={"name": "t"}).json()
    query = "select xmin::text from access.tokens where id = %s"
    with own.client(made["token"]) as http:
        http.get("/api/v1/incidents")
        first = sql.execute(query, (made["id"],)).fetchone()
        for _ in range(3):
            time.sleep(1.1)  # longer than a token is remembered
            http.get("/api/v1/incidents")
    assert sql.execute(query, (made["id"],)).fetchone() == first


def everything(sql: psycopg.Connection[Any]) -> dict[str, str]:
    """All rows of all tables, as text."""
    tables = sql.execute(
        "select format('%I.%I', schemaname, tablename) from pg_tables"
        " where schemaname in ('access', 'notify', 'ledger', 'read', 'stream')"
    ).fetchall()
    return {
        name: str(sql.execute(f"select string_agg(t::text, ' ') from {name} t".encode()).fetchone())
        for (name,) in tables
    }


def test_an_erased_person_is_nowhere_and_the_ledger_is_whole(own: Org, sql: psycopg.Connection[Any]) -> None:
    name, email = f"Zoe{uuid4().hex}", f"zoe.{uuid4().hex}@example.com"
    number = f"+1555{uuid4().int % 10**7:07d}"
    made = own.http.post(
        "/api/v1/people", json={"name": name, "email": email, "role": "responder", "whatsapp": number}
    ).json()
    token = own.http.post("/api/v1/tokens", json={"name": "t", "person": made["id"]}).json()["token"]
    with own.client(token) as http:
        incident = http.post("/api/v1/incidents", json={"title": "By her", "severity": "critical"}).json()
    own.do(incident, "assign", person=made["id"])
    with Browser(own.url) as browser:
        browser.by_link(own, made["id"])
        browser.http.post("/auth/password", json={"new": "correct horse battery"})
    sql.execute(  # kept, as it could not be handled
        "insert into notify.inbox (key, item, handled_at, outcome) values (%s, jsonb_build_object('message',"
        " jsonb_build_object('from', %s::text, 'text', 'hello')), now(), 'failed: KeyError')",
        (str(uuid4()), number.lstrip("+")),
    )
    before = own.get("/ledger/events", limit=200)["items"]
    assert name in own.http.get(f"/api/v1/incidents/{incident['id']}/timeline").text

    assert own.http.post(f"/api/v1/people/{made['id']}/erase").status_code == 200

    for table, rows in everything(sql).items():
        for trace in (name, email, number.lstrip("+")):
            assert trace not in rows, f"{trace} is still in {table}"
    timeline = own.http.get(f"/api/v1/incidents/{incident['id']}/timeline").text
    assert name not in timeline and "erased person" in timeline
    after = own.get("/ledger/events", limit=200)["items"]
    assert after[: len(before)] == before and [e["type"] for e in after[len(before) :]] == ["PersonErased"]
    problem(own.http.patch(f"/api/v1/people/{made['id']}", json={"name": name}), 409)
    problem(own.http.post(f"/api/v1/people/{made['id']}/role", json={"role": "member"}), 409)


def test_nothing_in_the_database_lets_anybody_in(own: Org, sql: psycopg.Connection[Any]) -> None:
    password = f"the password {uuid4().hex}"
    ada = add(own, "responder", f"{uuid4()}@example.com")
    link = own.http.post(f"/api/v1/people/{ada['id']}/sign-in-link").json()["url"].rsplit("/", 1)[1]
    token = own.http.post("/api/v1/tokens", json={"name": "t"}).json()["token"]
    key = own.integration().split("/")[-2]
    with Browser(own.url) as browser:
        browser.by_link(own, ada["id"])
        assert browser.http.post("/auth/password", json={"new": password}).status_code == 204
        cookie, csrf = browser.cookie, browser.http.headers["X-CSRF-Token"]
    rows = everything(sql)
    for secret in (password, link, token, TOKEN, key, cookie, csrf):
        assert not any(secret in text for text in rows.values())
    hashes = sql.execute(
        "select encode(hash, 'hex') from access.tokens where hash = %s union all"
        " select encode(hash, 'hex') from access.sessions where person_id = %s union all"
        " select encode(hash, 'hex') from access.links union all"
        " select password_hash from access.people where id = %s",
        (secret_hash(token), ada["id"], ada["id"]),
    ).fetchall()
    assert len(hashes) >= 3
    elsewhere = {"X-Forwarded-For": "198.51.100.200"}
    for (hash,) in hashes[:30]:
        url = own.url
        assert httpx.get(f"{url}/api/v1/me", headers={"Authorization": f"Bearer {hash}"}).status_code == 401
        assert httpx.get(f"{url}/api/v1/me", headers={"Cookie": f"fandesk_session={hash}"}).status_code == 401
        assert httpx.post(f"{url}/auth/link/{hash[:200]}", headers=elsewhere).status_code in (401, 404)
    sent = {"email": ada["email"], "password": hashes[-1][0]}
    problem(httpx.post(f"{own.url}/auth/sign-in", json=sent, headers=elsewhere), 401)


def test_organisations(own: Org, new_org: Callable[..., Org]) -> None:
    assert own.get("/organization")["response_targets"]["critical"] == 300
    targets = {"critical": 60, "high": 120, "medium": 180, "low": 240}
    changed = own.http.patch("/api/v1/organization", json={"name": "Shop", "response_targets": targets}).json()
    assert (changed["name"], changed["response_targets"]) == ("Shop", targets) and kinds(own)[-1] == (
        "ResponseTargetsSet"
    )
    assert own.trigger(severity="critical")["response_target_s"] == 60
    own.http.patch("/api/v1/organization", json={"response_targets": None})
    assert own.trigger(severity="critical")["response_target_s"] == 300
    refused_field(own.http.patch("/api/v1/organization", json={"response_targets": {"critical": 0}}), "response")
    with super_http(own.url) as root:
        made = root.post("/api/v1/organizations", json={"name": "Branch"}).json()
        listed = root.get("/api/v1/organizations", params={"limit": 200}).json()["items"]
        assert {made["id"], own.id} <= {each["id"] for each in listed}
    with super_http(own.url, made["id"]) as root:
        sent = {"name": "Boss", "role": "org_admin"}
        assert root.post("/api/v1/people", json=sent).status_code == 201
        assert [each["name"] for each in root.get("/api/v1/people").json()["items"]] == ["Boss"]


@pytest.mark.parametrize("zone", ["", "/etc/passwd", "../../etc/passwd", "Europe", "europe/berlin\x00", "x" * 61])
def test_odd_time_zones(org: Org, zone: str) -> None:
    refused_field(org.http.patch("/api/v1/me", json={"time_zone": zone}), "time_zone")
