"""Every route of the OpenAPI document by every caller, and every route on another organisation's things."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from accesstools import Browser, add, super_http
from apitools import Org, problem
from settingtools import daily, post, put, soon

from api.access import RULES
from fandesk.first_start import add_token

MAY = {
    "nobody": set(),
    "wrong token": set(),
    "revoked token": set(),
    "expired token": set(),
    "removed person": set(),
    "member": {"self"},
    "token of a member": {"self"},
    "responder": {"self", "read", "respond"},
    "session of a responder": {"self", "read", "respond"},
    "org admin": {"self", "read", "respond", "manage"},
    "super admin": {"self", "read", "respond", "manage", "install"},
    "token: read": {"self", "read"},
    "token: respond": {"self", "respond"},
    "token: manage": {"self", "manage"},
    "token: all scopes of a super admin": {"self", "read", "respond", "manage"},
    "token: manage of a responder": {"self"},
    "default token": {"self", "read", "respond"},
}
OWN_THINGS_READ_ONLY = {
    "token of a member",
    "token: read",
    "token: respond",
    "token: manage of a responder",
    "default token",
}
"""They may look at what is their person's own and change nothing of it."""

STRANGERS = {"nobody", "wrong token", "revoked token", "expired token", "removed person"}


def token(org: Org, person: str | None = None, **fields: Any) -> dict[str, Any]:
    sent = {"name": "t", **({"person": person} if person else {}), **fields}
    answer = org.http.post("/api/v1/tokens", json=sent)
    assert answer.status_code == 201, answer.text
    return answer.json()


@pytest.fixture(scope="module")
def callers(org: Org, sql: psycopg.Connection[Any]) -> Iterator[dict[str, httpx.Client]]:
    everything = ["read", "respond", "manage"]

    def of(secret: str | None) -> httpx.Client:
        headers = {} if secret is None else {"Authorization": f"Bearer {secret}"}
        return httpx.Client(base_url=org.url, headers=headers, timeout=30)

    def person(role: str) -> str:
        return str(add(org, role, f"{role}-{uuid4()}@example.com")["id"])

    responder, removed = person("responder"), person("responder")
    revoked, expired = token(org), token(org, expires_at=(datetime.now(UTC) + timedelta(hours=1)).isoformat())
    org.http.delete(f"/api/v1/tokens/{revoked['id']}")
    sql.execute("update access.tokens set expires_at = now() where id = %s", (expired["id"],))
    of_removed = token(org, removed)
    assert org.http.delete(f"/api/v1/people/{removed}").status_code == 204
    with super_http(org.url) as root:
        of_super = root.post("/api/v1/tokens", json={"name": "t", "scopes": everything}).json()["token"]
    made = {
        "nobody": of(None),
        "wrong token": of("fdt_wrong"),
        "revoked token": of(revoked["token"]),
        "expired token": of(expired["token"]),
        "removed person": of(of_removed["token"]),
        "member": of(add_token(sql, org.id, f"Member {uuid4()}", "member")),  # type: ignore[arg-type]
        "token of a member": of(token(org, person("member"), scopes=everything)["token"]),
        "responder": of(add_token(sql, org.id, f"Responder {uuid4()}", "responder")),  # type: ignore[arg-type]
        "session of a responder": Browser(org.url).by_link(org, responder).http,
        "org admin": of(org.token),
        "super admin": super_http(org.url, org.id),
        "token: read": of(token(org, scopes=["read"])["token"]),
        "token: respond": of(token(org, scopes=["respond"])["token"]),
        "token: manage": of(token(org, scopes=["manage"])["token"]),
        "token: all scopes of a super admin": of(of_super),
        "token: manage of a responder": of(token(org, responder, scopes=["manage"])["token"]),
        "default token": of(token(org)["token"]),
    }
    assert made.keys() == MAY.keys()
    yield made
    for client in made.values():
        client.close()


@pytest.fixture(scope="module")
def document(org: Org) -> dict[str, Any]:
    return httpx.get(f"{org.url}/openapi.json").json()


def operations(document: dict[str, Any]) -> list[tuple[str, str]]:
    return [(m.upper(), path) for path, methods in document["paths"].items() for m in methods]


def status(http: httpx.Client, method: str, path: str, json: Any = None) -> int:
    """Of the answer's beginning: a stream has no end."""
    body = {"json": json if json is not None else {}} if method in ("POST", "PATCH", "PUT") else {}
    with http.stream(method, path, headers={"X-Forwarded-For": "192.0.2.1"}, **body) as answer:  # type: ignore[arg-type]
        return answer.status_code


def test_every_route_by_every_caller(callers: dict[str, httpx.Client], document: dict[str, Any]) -> None:
    wrong = []
    for method, template in operations(document):
        rule = RULES[f"{method} {template}"]
        path = template.replace("{id}", str(uuid4())).replace("{key}", "k").replace("{secret}", "s")
        path = path.replace("{name}", "n")
        found = {who: status(http, method, path) for who, http in callers.items() if template != "/auth/sign-out"}
        for who, code in found.items():
            if rule == "open":
                expected = {found["nobody"]}
            elif who in STRANGERS:
                expected = {401}
            elif rule not in MAY[who] or (rule == "self" and method != "GET" and who in OWN_THINGS_READ_ONLY):
                expected = {403}
            else:
                expected = {200, 201, 204, 404, 409, 422}
            if code not in expected:
                wrong.append(f"{method} {template} ({rule}) by {who}: {code}, not {expected}")
    assert wrong == []


def test_the_table_is_the_applications(document: dict[str, Any]) -> None:
    assert {f"{method} {path}" for method, path in operations(document)} == RULES.keys() - {"GET /openapi.json"}
    for method, path in operations(document):
        secured = "security" in document["paths"][path][method.lower()]
        assert secured == (RULES[f"{method} {path}"] != "open"), path


BODIES: dict[str, dict[str, Any]] = {
    "POST /api/v1/people/{id}/role": {"role": "member"},
    "POST /api/v1/incidents/{id}/reopen": {"reason": "r"},
    "POST /api/v1/incidents/{id}/updates": {"body": "b"},
    "POST /api/v1/incidents/{id}/severity": {"severity": "low"},
    "POST /api/v1/incidents/{id}/category": {"category": "bug"},
    "POST /api/v1/incidents/{id}/assign": {"team": "T"},
    "POST /api/v1/incidents/{id}/merge": {"into": str(uuid4())},
    "POST /api/v1/incidents/{id}/correct": {"title": "t"},
    "PUT /api/v1/people/{id}/quiet-hours": {
        "time_zone": "UTC",
        "windows": [{"start": "22:00", "end": "07:00"}],
    },
    "POST /api/v1/schedules/{name}/overrides": {"start": soon(0), "end": soon(1), "person": None},
}


THEIRS = "Theirs"
"""What teams, schedules and policies are called."""


def things(org: Org) -> dict[str, str]:
    """One of everything that has an id, by the part of the path before it."""
    person = add(org, "responder", f"{uuid4()}@example.com")["id"]
    with Browser(org.url) as browser:
        (session,) = browser.by_link(org, person).http.get("/auth/sessions").json()["items"]
    number = f"+1555{uuid4().int % 10**7:07d}"
    step = {"wait_s": 60, "targets": [{"kind": "everybody"}]}
    put(org, f"/schedules/{THEIRS}", daily(person))
    put(org, f"/escalation-policies/{THEIRS}", {"steps": [step]})
    put(org, f"/teams/{THEIRS}", {"members": [person]})
    override = {"start": soon(0), "end": soon(1), "person": None}
    window = {"name": "W", "start": soon(0), "end": soon(1)}
    recipient = org.http.post("/api/v1/notifications/recipients", json={"name": "R", "whatsapp": number})
    return {
        "incidents": org.trigger()["id"],
        "people": person,
        "tokens": token(org)["id"],
        "sessions": session["id"],
        "recipients": recipient.json()["id"],
        "overrides": post(org, f"/schedules/{THEIRS}/overrides", override).json()["id"],
        "maintenance-windows": post(org, "/maintenance-windows", window).json()["id"],
        "calendar-feeds": post(org, "/calendar-feeds", {"schedule": THEIRS}).json()["id"],
    }


def test_another_organisations_things_are_never_there(
    new_org: Callable[..., Org], other: Org, document: dict[str, Any]
) -> None:
    mine = new_org()
    theirs = things(mine)
    for method, template in operations(document):
        named = template.endswith("{name}") and method == "PUT"  # that makes one of the same name
        if not ("{id}" in template or "{name}" in template) or RULES[f"{method} {template}"] == "open" or named:
            continue
        kind = template.split("/{id}")[0].split("/")[-1]
        path = template.replace("{id}", theirs.get(kind, "")).replace("{name}", THEIRS)
        sent = BODIES.get(f"{method} {template}", {})
        assert status(other.http, method, path, sent) == 404, f"{method} {template}"
    for kind, path in (("people", "people"), ("tokens", "tokens"), ("recipients", "notifications/recipients")):
        assert theirs[kind] in [each["id"] for each in mine.get(f"/{path}", limit=200)["items"]]
        assert theirs[kind] not in [each["id"] for each in other.get(f"/{path}", limit=200)["items"]]


def test_settings_by_session_and_by_super_admins(org: Org, other: Org) -> None:
    quiet = BODIES["PUT /api/v1/people/{id}/quiet-hours"]
    person = add(org, "responder", f"{uuid4()}@example.com")["id"]
    with Browser(org.url) as browser:
        browser.by_link(org, person)
        assert browser.http.put("/api/v1/me/quiet-hours", json=quiet).status_code == 200
        problem(browser.http.put("/api/v1/teams/mine", json={}), 403)
        del browser.http.headers["X-CSRF-Token"]
        problem(browser.http.put("/api/v1/me/quiet-hours", json={}), 403)
        assert browser.http.get("/api/v1/me/quiet-hours").json()["quiet_hours"]["time_zone"] == "UTC"
    with super_http(org.url, org.id) as root:
        assert root.put("/api/v1/teams/by root", json={"members": [person]}).status_code == 200
        feed = root.post("/api/v1/calendar-feeds", json={"person": person}).json()
        assert httpx.get(feed["url"]).status_code == 200
        assert root.put("/api/v1/me/quiet-hours", json=quiet).status_code == 200
        assert root.get("/api/v1/me/quiet-hours").json()["quiet_hours"]["time_zone"] == "UTC"
        assert root.delete("/api/v1/me/quiet-hours").status_code == 204
    assert org.get("/teams/by root")["members"] == [person]
    problem(other.http.get("/api/v1/teams", headers={"Fandesk-Organization": org.id}), 404)


def test_only_a_super_admin_names_another_organisation(org: Org, other: Org) -> None:
    made = org.trigger("Theirs")
    with super_http(org.url) as root:
        assert root.get(f"/api/v1/incidents/{made['id']}").status_code == 404
        there = {"Fandesk-Organization": org.id}
        assert root.get(f"/api/v1/incidents/{made['id']}", headers=there).status_code == 200
        problem(root.get("/api/v1/incidents", headers={"Fandesk-Organization": str(uuid4())}), 404)
        problem(root.get("/api/v1/incidents", headers={"Fandesk-Organization": "x"}), 422)
    problem(other.http.get("/api/v1/incidents", headers={"Fandesk-Organization": org.id}), 404)
    own = {"Fandesk-Organization": other.id}
    assert other.http.get("/api/v1/incidents", headers=own).status_code == 200


def test_a_refused_attempt_is_on_record_once_an_hour(own: Org, sql: psycopg.Connection[Any]) -> None:
    secret = add_token(sql, own.id, "Rita Responder", "responder")  # type: ignore[arg-type]
    with own.client(secret) as http:
        for _ in range(5):
            problem(http.post("/api/v1/integrations", json={"name": "n", "kind": "alertmanager"}), 403)
            problem(http.get("/api/v1/organizations"), 403)
    entries = own.get("/ledger/events", limit=200)["items"]
    refused = [entry["payload"] for entry in entries if entry["type"] == "AccessRefused"]
    assert [each["what"] for each in refused] == ["POST /api/v1/integrations", "GET /api/v1/organizations"]
    assert {each["person_id"] for each in refused} == {each["actor"]["id"] for each in refused} != {own.admin}


def test_a_route_without_a_rule_does_not_start() -> None:
    from fastapi import FastAPI

    from api.access import RouteWithoutRule, check

    app = FastAPI()
    app.add_api_route("/api/v1/new", lambda: None)
    with pytest.raises(RouteWithoutRule, match="GET /api/v1/new"):
        check(app)
