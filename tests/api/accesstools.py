"""What tests of access share: people with roles, sessions as a browser holds them."""

import re
from typing import Any

import httpx
from apitools import Org
from running import TOKEN


def super_http(url: str, organization: str | None = None) -> httpx.Client:
    """A client of the installation's super admin, perhaps in another organisation."""
    named = {"Fandesk-Organization": organization} if organization else {}
    return httpx.Client(base_url=url, headers={"Authorization": f"Bearer {TOKEN}", **named}, timeout=30)


def add(org: Org, role: str, email: str, **fields: Any) -> dict[str, Any]:
    answer = org.http.post("/api/v1/people", json={"name": email, "email": email, "role": role, **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()


class Browser:
    """A browser: it keeps cookies, and sends the CSRF token as a page of ours would."""

    def __init__(self, url: str) -> None:
        self.http = httpx.Client(base_url=url, timeout=30)

    def by_link(self, org: Org, person: str) -> "Browser":
        made = org.http.post(f"/api/v1/people/{person}/sign-in-link")
        assert made.status_code == 201, made.text
        path = made.json()["url"].removeprefix(str(self.http.base_url).rstrip("/"))
        assert self.http.post(path).status_code == 303
        return self.signed_in()

    def by_password(self, email: str, password: str) -> "Browser":
        answer = self.http.post("/auth/sign-in", json={"email": email, "password": password})
        assert answer.status_code == 204, answer.text
        return self.signed_in()

    def signed_in(self) -> "Browser":
        told = self.http.get("/auth/session")
        assert told.status_code == 200, told.text
        self.http.headers["X-CSRF-Token"] = told.json()["csrf_token"]
        return self

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    @property
    def cookie(self) -> str:
        return self.http.cookies["fandesk_session"]


def token_in(text: str) -> str:
    """The API token that was printed."""
    found = re.search(r"fdt_[\w-]{20,}", text)
    assert found is not None
    return found[0]
