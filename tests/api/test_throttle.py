"""Guessing passwords is throttled by account and by address, and keeps nobody else from signing in."""

from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from accesstools import Browser, add
from apitools import Org, at_once, problem
from pydantic import ValidationError
from running import api_alone

from fandesk.settings import Settings

PASSWORD = "correct horse battery"


@pytest.fixture
def person(org: Org) -> dict[str, Any]:
    """A responder with a password, and an i in the address."""
    made = add(org, "responder", f"iris.{uuid4()}@example.com")
    with Browser(org.url) as browser:
        browser.by_link(org, made["id"])
        assert browser.http.post("/auth/password", json={"new": PASSWORD}).status_code == 204
    return made


def address() -> str:
    """One that nobody else in these tests has."""
    n = uuid4().int
    return f"203.0.{n % 251}.{n % 241}"


def attempt(url: str, email: str, password: str = "wrong", by: str | None = None) -> httpx.Response:
    headers = {"X-Forwarded-For": by or address()}
    return httpx.post(
        f"{url}/auth/sign-in", json={"email": email, "password": password}, headers=headers, timeout=60
    )


def test_by_account_also_at_once_and_from_anywhere(
    org: Org, person: dict[str, Any], sql: psycopg.Connection[Any]
) -> None:
    email = person["email"]
    guesses = at_once(16, lambda n: attempt(org.url, email.swapcase() if n % 2 else email))
    codes = [answer.status_code for answer in guesses]
    assert codes.count(401) == 10 and codes.count(429) == 6
    refused = attempt(org.url, email, PASSWORD)
    assert 1 <= int(refused.headers["Retry-After"]) <= 900
    problem(refused, 429)
    sql.execute("update access.attempts set since = since - interval '16 minutes'")
    assert attempt(org.url, email, PASSWORD).status_code == 204


@pytest.mark.parametrize("known", [True, False])
def test_letters_that_the_database_takes_for_the_same_are_one_account(
    org: Org, person: dict[str, Any], known: bool
) -> None:
    email = person["email"] if known else f"iris.{uuid4()}@example.com"
    spellings = [email, email.replace("i", "\u0130", 1), email.upper(), f" {email.replace('i', 'I')} "]
    assert len({spelling.strip().lower() for spelling in spellings}) == 2
    codes = [attempt(org.url, spellings[n % 4]).status_code for n in range(12)]
    assert codes == [401] * 10 + [429] * 2


def test_by_address_and_links_neither_count_nor_are_refused(org: Org, person: dict[str, Any]) -> None:
    one = {"X-Forwarded-For": address()}
    with httpx.Client(base_url=org.url, headers=one, timeout=60) as http:
        assert {http.post("/auth/link/x").status_code for _ in range(110)} == {401}

        def nobody(n: int) -> int:
            sent = {"email": f"nobody{n}.{uuid4()}@example.com", "password": "wrong"}
            return http.post("/auth/sign-in", json=sent).status_code

        assert [nobody(n) for n in range(101)] == [401] * 100 + [429]
        right = {"email": person["email"], "password": PASSWORD}
        problem(http.post("/auth/sign-in", json=right), 429)
        url = org.http.post(f"/api/v1/people/{person['id']}/sign-in-link").json()["url"]
        assert http.post(url).status_code == 303
    assert attempt(org.url, person["email"], PASSWORD).status_code == 204


@pytest.mark.parametrize(
    ("trusted", "believed"), [("", False), ("192.0.2.1, 10.0.0.0/8", False), ("127.0.0.0/8", True)]
)
def test_only_a_trusted_proxys_word_is_taken(
    org: Org, product: Any, sql: psycopg.Connection[Any], tmp_path: Path, trusted: str, believed: bool
) -> None:
    sql.execute("delete from access.attempts")
    with api_alone(product.cli("dsn").stdout.strip(), tmp_path, FANDESK_TRUSTED_PROXIES=trusted) as url:
        for _ in range(3):
            assert attempt(url, f"{uuid4()}@example.com").status_code == 401
    counts = sorted(count for (count,) in sql.execute("select count from access.attempts").fetchall())
    assert counts == ([1] * 6 if believed else [1, 1, 1, 3])


@pytest.mark.parametrize("proxies", ["*", "proxy.example", "10.0.0.1/8", "10.0.0.1,", "10.0.0.1 10.0.0.2"])
def test_what_is_no_address_is_no_proxy(proxies: str) -> None:
    with pytest.raises(ValidationError, match="trusted_proxies"):
        Settings(trusted_proxies=proxies)
