"""Signing in by password, link and provider; sessions, and what they are protected by."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from accesstools import Browser, add
from apitools import Org, at_once, problem
from running import Product, free_port, until

PASSWORD = "correct horse battery"


@pytest.fixture
def elsewhere() -> dict[str, str]:
    """An address of its own, so that tests do not throttle each other."""
    n = uuid4().int
    return {"X-Forwarded-For": f"198.{18 + n % 2}.{n % 251}.{n % 241}"}


@pytest.fixture
def person(org: Org) -> dict[str, Any]:
    """A responder with a password."""
    made = add(org, "responder", f"Ada.{uuid4()}@Example.com")
    with Browser(org.url) as browser:
        browser.by_link(org, made["id"])
        assert browser.http.post("/auth/password", json={"new": PASSWORD}).status_code == 204
        browser.http.post("/auth/sign-out")
    return made


def test_by_password(org: Org, person: dict[str, Any], elsewhere: dict[str, str]) -> None:
    with Browser(org.url) as browser:
        browser.http.headers.update(elsewhere)
        answer = browser.http.post(
            "/auth/sign-in", json={"email": f" {person['email'].upper()} ", "password": PASSWORD}
        )
        assert answer.status_code == 204
        cookie = answer.headers["Set-Cookie"]
        assert "HttpOnly" in cookie and "SameSite=lax" in cookie and "Path=/" in cookie and "Secure" not in cookie
        who = browser.http.get("/auth/session").json()
        assert who["person"] == {"id": person["id"], "name": person["email"]}
        assert (who["role"], who["powers"]) == ("responder", ["read", "respond", "self"])
        assert browser.http.get("/api/v1/incidents").status_code == 200


def test_by_a_form(org: Org, person: dict[str, Any], elsewhere: dict[str, str]) -> None:
    form = {"email": person["email"], "password": PASSWORD}
    for next, leads_to in (("/incidents", "/incidents"), ("//evil.example", "/"), ("https://evil.example", "/")):
        answer = httpx.post(f"{org.url}/auth/sign-in", data={**form, "next": next}, headers=elsewhere)
        assert (answer.status_code, answer.headers["Location"]) == (303, leads_to)
    for next in ("/\\evil.example", "\\\\evil.example", "javascript:alert(1)"):
        answer = httpx.post(f"{org.url}/auth/sign-in", data={**form, "next": next}, headers=elsewhere)
        assert answer.headers["Location"] == "/"


@pytest.mark.parametrize("body", [b"", b"[]", b"nonsense", b"{}", b'{"email": 1, "password": []}', b"\xff\xfe"])
def test_what_is_no_sign_in(org: Org, body: bytes, elsewhere: dict[str, str]) -> None:
    problem(httpx.post(f"{org.url}/auth/sign-in", content=body, headers=elsewhere), (400, 422))


def test_wrong_ones_look_alike_and_take_alike(org: Org, person: dict[str, Any], elsewhere: dict[str, str]) -> None:
    url, took = f"{org.url}/auth/sign-in", {}
    told = set()
    for email in (person["email"], "nobody@example.com", "no address"):
        times = []
        for _ in range(4):
            began = time.monotonic()
            answer = httpx.post(url, json={"email": email, "password": "wrong"}, headers=elsewhere)
            times.append(time.monotonic() - began)
            told.add((answer.status_code, answer.text))
        took[email] = min(times)
    assert len(told) == 1
    assert {status for status, _ in told} == {401}
    assert min(took.values()) > 0.2 * max(took.values())


def test_a_link_works_once_and_looking_does_not_use_it_up(org: Org, elsewhere: dict[str, str]) -> None:
    made = add(org, "responder", f"{uuid4()}@example.com")
    url = org.http.post(f"/api/v1/people/{made['id']}/sign-in-link").json()["url"]
    for _ in range(3):
        page = httpx.get(url)
        assert page.status_code == 200 and "<form method=post>" in page.text
        assert "Set-Cookie" not in page.headers and "no-store" in page.headers["Cache-Control"]
    from_elsewhere = httpx.post(url, headers={**elsewhere, "Origin": "https://evil.example"})
    problem(from_elsewhere, 403)
    answers = at_once(6, lambda _: httpx.post(url, headers=elsewhere, timeout=30))
    assert sorted(answer.status_code for answer in answers) == [303, 401, 401, 401, 401, 401]


def test_an_old_link_and_one_of_somebody_removed(
    org: Org, sql: psycopg.Connection[Any], elsewhere: dict[str, str]
) -> None:
    made = add(org, "responder", f"{uuid4()}@example.com")
    first, second = (org.http.post(f"/api/v1/people/{made['id']}/sign-in-link").json()["url"] for _ in range(2))
    sql.execute("update access.links set expires_at = now() where person_id = %s", (made["id"],))
    problem(httpx.post(first, headers=elsewhere), 401)
    sql.execute(
        "update access.links set expires_at = now() + interval '1 hour' where person_id = %s", (made["id"],)
    )
    org.http.delete(f"/api/v1/people/{made['id']}")
    problem(httpx.post(second, headers=elsewhere), 401)


def test_changes_by_cookie_need_the_token_and_our_own_site(org: Org, person: dict[str, Any]) -> None:
    with Browser(org.url) as browser:
        http = browser.by_link(org, person["id"]).http
        right = http.headers.pop("X-CSRF-Token")
        sent = {"title": "By cookie", "severity": "low"}
        other_session = Browser(org.url)
        others = other_session.by_link(org, person["id"]).http.headers["X-CSRF-Token"]
        other_session.http.close()
        for token in (None, "", "x", right[:-1], right + "x", others):
            headers = {} if token is None else {"X-CSRF-Token": token}
            problem(http.post("/api/v1/incidents", json=sent, headers=headers), 403)
        for origin in ("https://evil.example", "null", "http://127.0.0.1:1"):
            headers = {"X-CSRF-Token": right, "Origin": origin}
            problem(http.post("/api/v1/incidents", json=sent, headers=headers), 403)
        for origin in ({}, {"Origin": org.url}):
            headers = {"X-CSRF-Token": right, **origin}
            assert http.post("/api/v1/incidents", json=sent, headers=headers).status_code == 201
        assert http.post("/auth/sign-out").status_code == 403


def test_sign_out_and_sessions_elsewhere(org: Org, person: dict[str, Any]) -> None:
    with Browser(org.url) as here, Browser(org.url) as there, Browser(org.url) as third:
        for browser in (here, there, third):
            browser.by_link(org, person["id"])
        listed = here.http.get("/auth/sessions").json()["items"]
        assert len(listed) == 3 and [each["current"] for each in listed].count(True) == 1
        cookie = there.cookie
        assert there.http.post("/auth/sign-out").status_code == 204
        problem(httpx.get(f"{org.url}/auth/session", headers={"Cookie": f"fandesk_session={cookie}"}), 401)
        assert [each["id"] for each in here.http.get("/auth/sessions").json()["items"]] != listed
        (other,) = (e["id"] for e in here.http.get("/auth/sessions").json()["items"] if not e["current"])
        assert here.http.delete(f"/auth/sessions/{other}").status_code == 204
        problem(here.http.delete(f"/auth/sessions/{other}"), 404)
        problem(third.http.get("/auth/session"), 401)
        assert org.http.delete(f"/api/v1/people/{person['id']}/sessions").status_code == 204
        problem(here.http.get("/auth/session"), 401)


def test_sessions_end_by_themselves(org: Org, person: dict[str, Any], sql: psycopg.Connection[Any]) -> None:
    for change in ("last_seen_at = now() - interval '13 hours'", "created_at = now() - interval '31 days'"):
        with Browser(org.url) as browser:
            http = browser.by_link(org, person["id"]).http
            sql.execute(f"update access.sessions set {change} where person_id = %s".encode(), (person["id"],))
            until(lambda http=http: http.get("/auth/session").status_code == 401, within_s=3, what="its end")


def test_a_new_password(org: Org, person: dict[str, Any], sql: psycopg.Connection[Any]) -> None:
    with Browser(org.url) as here, Browser(org.url) as there:
        there.by_link(org, person["id"])
        here.by_password(person["email"], PASSWORD)
        link = org.http.post(f"/api/v1/people/{person['id']}/sign-in-link").json()["url"]
        new = "another long enough one"
        problem(here.http.post("/auth/password", json={"new": new}), 403)
        problem(here.http.post("/auth/password", json={"current": "wrong", "new": new}), 403)
        for bad in ("short", "aaaaaaaaaaaaaaaa", person["email"].lower()):
            problem(here.http.post("/auth/password", json={"current": PASSWORD, "new": bad}), 422)
        answer = here.http.post("/auth/password", json={"current": PASSWORD, "new": new})
        assert answer.status_code == 204, answer.text
        assert here.http.get("/auth/session").status_code == 200
        problem(there.http.get("/auth/session"), 401)
        problem(httpx.post(link), 401)
    sent = {"email": person["email"], "password": PASSWORD}
    problem(httpx.post(f"{org.url}/auth/sign-in", json=sent), 401)
    (kept,) = (
        sql.execute("select password_hash from access.people where id = %s", (person["id"],)).fetchone() or ()
    )
    assert kept.startswith("$argon2id$")


def test_the_first_start_prints_a_link_that_works_once(tmp_path: Path) -> None:
    product = Product(tmp_path / "data", free_port())
    product.start()
    try:
        until(lambda: "/auth/link/" in product.log.read_text(), what="the link")
        found = re.search(r"http://\S+/auth/link/\S+", product.log.read_text())
        assert found is not None
        with httpx.Client() as http:
            assert http.post(found[0]).headers["Location"] == "/"
            assert http.get(f"{product.url}/auth/session").json()["role"] == "super_admin"
        problem(httpx.post(found[0]), 401)
        with product.client() as http:
            kinds = [e["type"] for e in http.get("/api/v1/ledger/events").json()["items"]]
            assert kinds == ["RoleGranted", "TokenIssued", "SignInLinkIssued"]
    finally:
        product.stop()


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real OpenID Connect provider, in a process of its own."""
    port = free_port()
    command = [sys.executable, "-m", "oidc_provider_mock", "--port", str(port), "--require-nonce", "true"]
    for sub, email, verified in (
        ("sub-ada", "ada@corp.example", True),
        ("sub-eve", "ada@corp.example", False),
        ("sub-new", "new@corp.example", True),
    ):
        command += ["--user-claims", json.dumps({"sub": sub, "email": email, "email_verified": verified})]
    log = tmp_path_factory.mktemp("provider") / "log"
    with log.open("wb") as told:
        process = subprocess.Popen(command, stdout=told, stderr=told)
    url = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        assert process.poll() is None, log.read_text()
        try:
            return httpx.get(f"{url}/.well-known/openid-configuration").status_code == 200
        except httpx.TransportError:
            return False

    until(answers, what="the provider")
    yield url
    process.terminate()
    process.wait(20)


def test_by_openid_connect(provider: str, tmp_path: Path) -> None:
    product = Product(tmp_path / "data", free_port())
    product.start(
        environment={
            "FANDESK_OIDC_ISSUER": provider,
            "FANDESK_OIDC_CLIENT_ID": "fandesk",
            "FANDESK_OIDC_CLIENT_SECRET": "secret",
        }
    )

    def attempt(subject: str) -> tuple[httpx.Response, httpx.Client]:
        http = httpx.Client(base_url=product.url, timeout=30)
        there = http.get("/auth/oidc")
        assert there.status_code == 303
        assert "code_challenge_method=S256" in there.headers["Location"] and "nonce=" in there.headers["Location"]
        back = httpx.post(there.headers["Location"], data={"sub": subject})
        assert back.status_code == 302, back.text
        return http.get(back.headers["Location"]), http

    try:
        with product.client() as root:
            sent = {"name": "Ada", "email": "Ada@corp.example", "role": "responder"}
            ada = root.post("/api/v1/people", json=sent).json()
            for unknown in ("sub-eve", "sub-new"):
                answer, http = attempt(unknown)
                http.close()
                problem(answer, 403)
            answer, http = attempt("sub-ada")
            assert (answer.status_code, answer.headers["Location"]) == (303, "/"), answer.text
            assert http.get("/auth/session").json()["person"]["id"] == ada["id"]
            http.close()
            root.patch(f"/api/v1/people/{ada['id']}", json={"email": "elsewhere@corp.example"})
            answer, http = attempt("sub-ada")  # known by issuer and subject now
            assert answer.status_code == 303
            http.close()
            assert len(root.get("/api/v1/people").json()["items"]) == 2
            root.delete(f"/api/v1/people/{ada['id']}")
            answer, http = attempt("sub-ada")
            http.close()
            problem(answer, 403)
            again = root.post("/api/v1/people", json=sent).json()
            answer, http = attempt("sub-ada")  # who was removed does not keep the address from whoever has it now
            assert http.get("/auth/session").json()["person"]["id"] == again["id"] != ada["id"]
            http.close()
            entries = root.get("/api/v1/ledger/events").json()["items"]
            linked = [each["payload"] for each in entries if each["type"] == "IdentityLinked"]
            assert [each["person_id"] for each in linked] == [ada["id"], again["id"]]
            assert [each["actor"]["id"] for each in linked] == [ada["id"], again["id"]]
            assert not any(word in json.dumps(linked) for word in ("sub-ada", "corp.example", provider))
            there = root.get("/auth/oidc").headers["Location"]
            back = httpx.post(there, data={"sub": "sub-ada"}).headers["Location"]
            problem(httpx.get(back), 403)  # begun in another browser
            problem(root.get(back.replace("state=", "state=x")), 403)
            assert root.get(back).status_code == 303
    finally:
        product.stop()
    assert "Traceback" not in product.log.read_text()
