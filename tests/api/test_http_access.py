"""Who is let in, and that an organisation never sees another's."""

import time
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from apitools import Org, Poster, at, open_stream, problem
from running import until

from api.directory import secret_hash
from fandesk.first_start import add_token

READS = (
    "/incidents",
    "/incidents/INC-1",
    "/incidents/INC-1/timeline",
    "/incidents/INC-1/events",
    "/incidents/INC-1/deliveries",
    "/notifications/recipients",
    "/stream",
    "/incidents/INC-1/stream",
    "/ledger/events",
    "/analytics/summary",
)
COMMANDS: dict[str, dict[str, Any]] = {
    "acknowledge": {},
    "investigate": {},
    "resolve": {},
    "reopen": {"reason": "r"},
    "updates": {"body": "b"},
    "severity": {"severity": "low"},
    "category": {"category": "bug"},
    "assign": {"team": "T"},
    "merge": {"into": "INC-1"},
    "correct": {"title": "t"},
}


def _everything(http: httpx.Client, status: int) -> None:
    for path in READS:
        problem(http.get(f"/api/v1{path}", timeout=5), status)
    problem(http.post("/api/v1/incidents", json={"title": "t", "severity": "low"}), status)
    problem(http.post("/api/v1/integrations", json={"name": "n", "kind": "alertmanager"}), status)
    for command, body in COMMANDS.items():
        problem(http.post(f"/api/v1/incidents/INC-1/{command}", json=body), status)


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer wrong",
        "Basic {token}",
        "{token}",
        "Token {token}",
        "Bearer {token}x",
        "Bearer x{token}",
        "Bearer {token} {token}",
        "Bearer\u00a0{token}",
        "Bearer \xff\xfe",
        "Bearer " + "a" * 50_000,
        "bearer: {token}",
        "Bearer fdt_",
        "Bearer null",
    ],
    ids=lambda a: repr(a)[:24],
)
def test_without_a_valid_token_nothing(org: Org, authorization: str | None) -> None:
    sent = (
        {} if authorization is None else {"Authorization": authorization.format(token=org.token).encode("latin-1")}
    )
    with httpx.Client(base_url=org.url, headers=sent, timeout=10) as http:
        for path in READS if authorization is None else READS[:1]:
            answer = http.get(f"/api/v1{path}")
            problem(answer, 401)
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        if authorization is None:
            _everything(http, 401)


def test_the_scheme_is_case_insensitive(org: Org) -> None:
    with httpx.Client(base_url=org.url, headers={"Authorization": f"bEARER {org.token}"}) as http:
        assert http.get("/api/v1/incidents").status_code == 200


def test_a_token_in_the_query_is_none(org: Org) -> None:
    problem(httpx.get(f"{org.url}/api/v1/incidents", params={"token": org.token, "access_token": org.token}), 401)


def test_a_revoked_token_ends(org: Org, sql: psycopg.Connection[Any]) -> None:
    token = add_token(sql, org.id, "Short Lived", "responder")  # type: ignore[arg-type]
    with org.client(token) as http:
        assert http.get("/api/v1/incidents").status_code == 200
        sql.execute("update access.tokens set revoked_at = now() where hash = %s", (secret_hash(token),))
        until(lambda: http.get("/api/v1/incidents").status_code == 401, within_s=3, what="the token to end")
        _everything(http, 401)


def test_a_member_sees_and_does_nothing(product: Any) -> None:
    token = product.cli("token", "create", f"Some Body {uuid4()}", "--role", "member").stdout.split()[-1]
    with product.client(token) as http:
        _everything(http, 403)


def test_a_responder_works_but_makes_no_integrations(org: Org, sql: psycopg.Connection[Any]) -> None:
    token = add_token(sql, org.id, "Rita Responder", "responder")  # type: ignore[arg-type]
    with org.client(token) as http:
        made = http.post("/api/v1/incidents", json={"title": "t", "severity": "low"})
        assert made.status_code == 201
        problem(http.post("/api/v1/integrations", json={"name": "n", "kind": "alertmanager"}), 403)
        path = f"/api/v1/incidents/{made.json()['id']}/acknowledge"
        assert http.post(path).status_code == 200
        assert problem(org.http.post(path), 409)["acted_by"]["name"] == "Rita Responder"


def test_the_role_is_looked_up_again(org: Org, sql: psycopg.Connection[Any]) -> None:
    name = f"Made Member {uuid4()}"
    token = add_token(sql, org.id, name, "responder")  # type: ignore[arg-type]
    with org.client(token) as http:
        assert http.get("/api/v1/incidents").status_code == 200
        sql.execute("update access.people set role = 'member' where name = %s", (name,))
        until(lambda: http.get("/api/v1/incidents").status_code == 403, within_s=3, what="the role to change")


def test_tokens_and_keys_are_stored_hashed(org: Org, sql: psycopg.Connection[Any]) -> None:
    key = org.integration().split("/")[-2]
    for table in ("tokens", "integrations"):
        rows = sql.execute(f"select row_to_json(t)::text from access.{table} t").fetchall()
        assert rows and not any(secret in row[0] for row in rows for secret in (org.token, key))


def test_another_organisations_incident_is_not_there(own: Org, other: Org) -> None:
    mine, first = own.trigger("Ours", occurred_at=at(0)), other.trigger("So that numbers differ")
    theirs = other.trigger("Their secret zebra", dedup_key="secret", labels={"animal": "zebra"}, team="Zoo")
    ids = [theirs["id"], theirs["number"]]
    assert own.get(f"/incidents/{mine['number']}")["id"] == mine["id"] != first["id"]
    before = other.events(theirs)

    for id in ids:
        for read in ("", "/timeline", "/events", "/stream"):
            problem(own.http.get(f"/api/v1/incidents/{id}{read}", timeout=5), 404)
        for command, body in COMMANDS.items():
            sent = {"into": mine["id"]} if command == "merge" else body
            problem(own.http.post(f"/api/v1/incidents/{id}/{command}", json=sent), 404)
            answer = own.http.post(f"/api/v1/incidents/{id}/{command}", json=sent, headers={"If-Match": '"9"'})
            problem(answer, 404)
    unknown = own.http.post(f"/api/v1/incidents/{mine['id']}/merge", json={"into": str(uuid4())})
    into = own.http.post(f"/api/v1/incidents/{mine['id']}/merge", json={"into": theirs["id"]})
    problem(into, (404, 422))
    assert (into.status_code, into.json()) == (unknown.status_code, unknown.json())
    problem(own.http.post(f"/api/v1/incidents/{mine['id']}/assign", json={"person": other.admin}), 422)

    assert other.events(theirs) == before
    assert {e["type"] for e in own.events(mine)} <= {"IncidentTriggered", "ResponseTargetMissed"}


def test_nothing_of_another_organisation_leaks(own: Org, other: Org) -> None:
    theirs = other.trigger(
        "Their secret zebra", "critical", description="zebra", labels={"animal": "zebra"}, team="Zoo"
    )
    other.do(theirs, "updates", body="zebra crossing")

    for path, params in (
        ("/incidents", {}),
        ("/incidents", {"q": "zebra"}),
        ("/incidents", {"q": theirs["number"]}),
        ("/incidents", {"team": "Zoo"}),
        ("/incidents", {"assignee": "none"}),
    ):
        assert own.get(path, **params)["items"] == []
    entries = own.get("/ledger/events", limit=200)["items"]
    assert {entry["payload"]["organization_id"] for entry in entries} == {own.id}
    for group_by in ("none", "severity", "team", "responder", "label:animal"):
        summary = own.get("/analytics/summary", group_by=group_by)
        assert summary["overall"]["incidents"] == 0
        assert sum(group["incidents"] for group in summary["groups"]) == 0
    with open_stream(own, last=0) as stream:
        other.do(theirs, "updates", body="more zebra")
        mine = own.trigger("Ours")
        until(lambda: stream.about_incidents, within_s=5)
        time.sleep(0.1)  # nothing more may come: there is no condition to await
    assert [e["incident_id"] for e in stream.about_incidents] == [mine["id"]]


def test_the_same_dedup_key_in_two_organisations_is_two_incidents(own: Org, other: Org, post: Poster) -> None:
    key = f"shared {uuid4()}"
    ours, theirs = own.trigger(dedup_key=key), other.trigger(dedup_key=key)
    assert ours["id"] != theirs["id"]

    group = {"status": "firing", "groupKey": key}
    answers = [post(path, group).json() for path in (own.integration(), own.integration(), other.integration())]

    assert len({a["incident"]["id"] for a in answers} | {ours["id"], theirs["id"]}) == 5
