"""Who is alerted: their numbers, severities, consent and fallback, over HTTP."""

import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from apitools import Org, all_pages, at_once, cursor_of, problem, refused_field
from running import Product, api_alone, until

from api import shapes
from commands.ids import new_id
from commands.vault import NotReadable, Vault, key_in
from fandesk.first_start import add_token

PATH = "/api/v1/notifications/recipients"
SECRET_URL = "mailto://bot:hunter2hunter2@example.com"


@pytest.fixture
def number() -> str:
    """A number that no other test uses."""
    return f"+1555{uuid4().int % 10**7:07d}"


def _add(org: Org, whatsapp: str, **more: Any) -> dict[str, Any]:
    answer = org.http.post(PATH, json={"name": "Grace", "whatsapp": whatsapp, **more})
    assert answer.status_code == 201, answer.text
    return answer.json()


def _person(sql: psycopg.Connection[Any], org: Org, role: str) -> str:
    id = new_id()
    query = "insert into access.people (id, organization_id, name, role) values (%s, %s, %s, %s)"
    sql.execute(query, (id, org.id, f"A {role}", role))
    return str(id)


def test_a_recipient_from_first_to_last(own: Org, number: str) -> None:
    answer = own.http.post(PATH, json={"name": "Grace", "whatsapp": number})
    made = answer.json()

    assert answer.status_code == 201
    assert answer.headers["Location"] == f"{PATH}/{made['id']}"
    assert (
        set(made)
        == set(shapes.Recipient.model_validate(made).model_fields_set)
        == set(shapes.Recipient.model_fields)
    )
    assert made["whatsapp"] == number
    assert made["severities"] == ["critical", "high"]
    assert (made["person"], made["fallback"], made["last_delivery"]) == (None, None, None)
    assert made["opt_in"] is True
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:]{8}\.\d{6}Z", made["opted_in_at"])
    assert own.get(f"/notifications/recipients/{made['id']}") == made
    assert own.get("/notifications/recipients") == {"items": [made], "next_cursor": None}
    shapes.RecipientPage.model_validate(own.get("/notifications/recipients"))

    changed = own.http.patch(f"{PATH}/{made['id']}", json={"name": "Hopper", "severities": ["low"]})
    assert changed.status_code == 200
    assert changed.json() == {**made, "name": "Hopper", "severities": ["low"]}
    assert own.http.patch(f"{PATH}/{made['id']}", json={}).json() == changed.json()

    removed = own.http.delete(f"{PATH}/{made['id']}")
    assert (removed.status_code, removed.content) == (204, b"")
    for gone in (
        own.http.get(f"{PATH}/{made['id']}"),
        own.http.patch(f"{PATH}/{made['id']}", json={"name": "x"}),
        own.http.delete(f"{PATH}/{made['id']}"),
    ):
        problem(gone, 404)
    assert own.get("/notifications/recipients")["items"] == []
    assert _add(own, number)["id"] != made["id"]  # the number is free again


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("+1 555 010 0042", "+15550100042"),
        ("+1-555-010-0042", "+15550100042"),
        (" +49 1511 2345678 ", "+4915112345678"),
        ("+49\u00a01511\u20112345678", "+4915112345678"),
        ("+44 07911 123456", "+447911123456"),
        ("+39 06 1234 5678", "+390612345678"),
    ],
)
def test_numbers_are_normalised(own: Org, given: str, stored: str) -> None:
    assert _add(own, given)["whatsapp"] == stored


@pytest.mark.parametrize(
    "given",
    [
        *("15550100042", "0015550100042", "+", "+1", "+1555", "+15550042", "+155501000421", "+0 1234567890"),
        *("+1555010004x", "+1 (555) 010-0042", "tel:+15550100042", "+15550100042;ext=5", "+1-800-FLOWERS"),
        *("++15550100042", "+99912345678", "+\u0661\u0665\u0665\u0665\u0660\u0661\u0660\u0660\u0660\u0664\u0662"),
        *("", "x" * 101, "+1555\x00100042", 15550100042, None, ["+15550100042"]),
    ],
)
def test_what_is_no_possible_number_is_refused(org: Org, given: Any) -> None:
    answer = org.http.post(PATH, json={"name": "Grace", "whatsapp": given})

    refused_field(answer, "whatsapp")
    assert answer.status_code == 422


def test_the_same_number_twice_in_one_organisation_is_refused(org: Org, other: Org, number: str) -> None:
    first = _add(org, number)
    second = _add(org, f"+1555{int(number[5:]) ^ 1:07d}")

    again = org.http.post(PATH, json={"name": "Twice", "whatsapp": f"{number[:5]} {number[5:]}"})
    onto = org.http.patch(f"{PATH}/{second['id']}", json={"whatsapp": number})
    for answer in (again, onto):
        assert problem(answer, 409)["errors"][0]["field"] == "whatsapp"
    assert org.http.patch(f"{PATH}/{first['id']}", json={"whatsapp": number}).status_code == 200
    assert _add(other, number)["whatsapp"] == number


def test_of_many_who_add_the_same_number_at_once_one_does(own: Org, number: str) -> None:
    def add(_: int) -> int:
        with own.client() as http:
            return http.post(PATH, json={"name": "Race", "whatsapp": number}).status_code

    assert sorted(at_once(6, add)) == [201, 409, 409, 409, 409, 409]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[("severities", value) for value in (["urgent"], "high", None, [None], {}, ["high"] * 51)],
        *[("opt_in", value) for value in (None, "yes", 1, [])],
        *[("name", value) for value in ("", None, "x" * 101, "a\x00b", "\ud800", 5)],
        *[("person", value) for value in ("x", 5, "209e1562-f7a3-4e75-beca-3c1a7d6f1a3b", [])],
        *[("fallback", value) for value in ("", "nope://hunter2", "hunter2", "mailto://", 5, "x" * 2001)],
        *[("fallback", value) for value in ("syslog://", "dbus://", "file:///etc/passwd", "a://\x00")],
        ("unknown", 1),
    ],
    ids=lambda v: repr(v)[:24],
)
def test_a_field_that_is_wrong_is_named(org: Org, number: str, field: str, value: Any) -> None:
    body = {"name": "Grace", "whatsapp": number, field: value}
    made = _add(org, number)
    sent = {"content": json.dumps(body), "headers": {"Content-Type": "application/json"}}
    change = {"content": json.dumps({field: value}), "headers": {"Content-Type": "application/json"}}

    for answer in (org.http.post(PATH, **sent), org.http.patch(f"{PATH}/{made['id']}", **change)):  # type: ignore[arg-type]
        refused_field(answer, field)
        assert answer.status_code == 422
        assert "hunter2" not in answer.text
    assert org.get(f"/notifications/recipients/{made['id']}") == made


def test_severities_are_kept_once_and_in_order(own: Org, number: str) -> None:
    made = _add(own, number, severities=["low", "critical", "low", "critical"])

    assert made["severities"] == ["critical", "low"]


def test_a_person_may_be_named_who_sees_incidents(
    org: Org, other: Org, number: str, sql: psycopg.Connection[Any]
) -> None:
    responder, member, elsewhere = (
        _person(sql, org, "responder"),
        _person(sql, org, "member"),
        _person(sql, other, "responder"),
    )

    made = _add(org, number, person=responder)
    assert made["person"] == responder
    for wrong in (member, elsewhere):
        refused_field(org.http.patch(f"{PATH}/{made['id']}", json={"person": wrong}), "person")
    assert org.http.patch(f"{PATH}/{made['id']}", json={"person": None}).json()["person"] is None


def test_what_whatsapp_calls_a_number_is_forgotten_with_the_number(
    own: Org, number: str, sql: psycopg.Connection[Any]
) -> None:
    made = _add(own, number)
    sql.execute("update notify.recipients set wa_id = '1555' where id = %s", (made["id"],))

    def wa_id_after(whatsapp: str) -> str | None:
        assert own.http.patch(f"{PATH}/{made['id']}", json={"whatsapp": whatsapp}).status_code == 200
        return sql.execute("select wa_id from notify.recipients where id = %s", (made["id"],)).fetchone()[0]  # type: ignore[index]

    assert wa_id_after(f"{number[:2]} {number[2:]}") == "1555"
    assert wa_id_after("+4915112345678") is None


def test_opting_in_and_out(own: Org, number: str) -> None:
    made = _add(own, number, opt_in=False)
    assert (made["opt_in"], made["opted_in_at"]) == (False, None)

    def change(**body: Any) -> dict[str, Any]:
        return own.http.patch(f"{PATH}/{made['id']}", json=body).json()

    since = change(opt_in=True)["opted_in_at"]
    assert since is not None
    assert change(opt_in=True)["opted_in_at"] == since
    assert change(name="Other")["opted_in_at"] == since
    assert change(opt_in=False)["opted_in_at"] is None
    assert change(name="Again")["opt_in"] is False


def test_a_fallback_is_kept_encrypted_and_never_shown(
    own: Org, number: str, product: Product, sql: psycopg.Connection[Any]
) -> None:
    made = _add(own, number, fallback=SECRET_URL)
    assert made["fallback"] == "mailto"

    ((kept,),) = sql.execute("select fallback from notify.recipients where id = %s", (made["id"],)).fetchall()
    key = product.data / "secret.key"
    assert b"hunter2" not in kept
    assert Vault(key.read_text().strip().__str__).decrypt(kept) == SECRET_URL
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert [file.name for file in product.data.glob("*secret*")] == ["secret.key"]

    slack = "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"
    assert own.http.patch(f"{PATH}/{made['id']}", json={"fallback": slack}).json()["fallback"] == "slack"
    assert own.http.patch(f"{PATH}/{made['id']}", json={"name": "x"}).json()["fallback"] == "slack"
    assert own.http.patch(f"{PATH}/{made['id']}", json={"fallback": None}).json()["fallback"] is None
    for shown in (own.http.get(PATH).text, product.log.read_text("utf-8", "replace")):
        assert not any(secret in shown for secret in ("hunter2", "TIiajkdn", key.read_text().strip()))


def test_a_removed_recipients_fallback_is_forgotten(own: Org, number: str, sql: psycopg.Connection[Any]) -> None:
    made = _add(own, number, fallback=SECRET_URL)
    own.http.delete(f"{PATH}/{made['id']}")

    query = "select fallback, fallback_kind, name from notify.recipients where id = %s"
    assert sql.execute(query, (made["id"],)).fetchone() == (None, None, "Grace")


def test_without_a_key_a_fallback_is_refused_and_nothing_else(
    own: Org, number: str, product: Product, tmp_path: Path
) -> None:
    body = {"name": "A", "whatsapp": number}
    with api_alone(product.cli("dsn").stdout.strip(), tmp_path) as url:
        with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {own.token}"}) as http:
            told = refused_field(http.post(PATH, json={**body, "fallback": SECRET_URL}), "fallback")
            assert "FANDESK_SECRET_KEY" in told["detail"]
            assert http.post(PATH, json=body).status_code == 201
    assert not list(tmp_path.glob("**/secret.key"))


def test_the_key_can_be_set(
    own: Org, number: str, product: Product, tmp_path: Path, sql: psycopg.Connection[Any]
) -> None:
    key, another = key_in(tmp_path / "some.key"), key_in(tmp_path / "another.key")
    with api_alone(product.cli("dsn").stdout.strip(), tmp_path, FANDESK_SECRET_KEY=key) as url:
        with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {own.token}"}) as http:
            made = http.post(PATH, json={"name": "A", "whatsapp": number, "fallback": SECRET_URL}).json()

    ((kept,),) = sql.execute("select fallback from notify.recipients where id = %s", (made["id"],)).fetchall()
    assert Vault(lambda: key).decrypt(kept) == SECRET_URL
    with pytest.raises(NotReadable):
        Vault(lambda: another).decrypt(kept)


@pytest.mark.parametrize("key", ["short", "x" * 44, "A" * 43, "A" * 44 + "=="])
def test_a_key_that_is_none_is_refused_at_the_start(product: Product, key: str) -> None:
    command = [sys.executable, "-m", "fandesk", "dsn", "--data", str(product.data)]
    run = subprocess.run(
        command, env={**os.environ, "FANDESK_SECRET_KEY": key}, capture_output=True, text=True, check=False
    )

    assert run.returncode == 1
    assert "FANDESK_SECRET_KEY" in run.stderr and "base64" in run.stderr
    assert key not in run.stderr


def test_processes_that_need_a_key_at_once_agree_on_one(tmp_path: Path) -> None:
    keys = at_once(8, lambda _: key_in(tmp_path / "secret.key"))

    assert len(set(keys)) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["secret.key"]


def test_who_may_read_and_who_may_change(org: Org, other: Org, number: str, sql: psycopg.Connection[Any]) -> None:
    made = _add(org, number)
    path = f"{PATH}/{made['id']}"

    def tried(http: httpx.Client) -> list[int]:
        new = {"name": "A", "whatsapp": f"+1555{int(number[5:]) ^ 2:07d}"}
        answers = (
            http.get(PATH),
            http.get(path),
            http.post(PATH, json=new),
            http.patch(path, json={"name": "B"}),
            http.delete(path),
        )
        for answer in answers:
            if answer.status_code >= 400:
                problem(answer)
        return [answer.status_code for answer in answers]

    for role, expected in (("responder", [200, 200, 403, 403, 403]), ("member", [403] * 5)):
        with org.client(add_token(sql, org.id, f"R {role}", role)) as http:  # type: ignore[arg-type]
            assert tried(http) == expected
    with httpx.Client(base_url=org.url) as http:
        assert tried(http) == [401] * 5
    assert tried(other.http) == [200, 404, 201, 404, 404]
    assert made["id"] not in other.http.get(PATH).text
    assert org.get(f"/notifications/recipients/{made['id']}") == made


def test_an_id_that_is_none(org: Org) -> None:
    refused_field(org.http.get(f"{PATH}/x"), "id")
    problem(org.http.get(f"{PATH}/{uuid4()}"), 404)


def test_pages_hold_everybody_once_in_order(own: Org) -> None:
    made = [_add(own, f"+1555020{n:04d}")["id"] for n in range(7)]

    for limit in (1, 3, 7, 200):
        pages = list(all_pages(own, "/notifications/recipients", limit=limit))
        assert [item["id"] for page in pages for item in page] == made
    for wrong in ("x", cursor_of("timeline", "2026-01-01T00:00:00Z", 1), cursor_of("recipients", 1, 2)):
        refused_field(own.http.get(PATH, params={"cursor": wrong}), "cursor")
    for limit in ("0", "201", "x"):
        refused_field(own.http.get(PATH, params={"limit": limit}), "limit")


def test_a_recipients_name_on_the_timeline_follows_a_change(
    own: Org, number: str, sql: psycopg.Connection[Any]
) -> None:
    """Looked up as the name of whoever acts, as recipients do on WhatsApp."""
    made = _add(own, number)
    incident = own.trigger()

    def name() -> str:
        return own.get(f"/incidents/{incident['id']}/timeline")["items"][0]["actor"]["name"]

    until(lambda: own.get(f"/incidents/{incident['id']}/timeline")["items"], what="the timeline")
    sql.execute("update read.timeline set actor_id = %s where incident_id = %s", (made["id"], incident["id"]))
    assert name() == "Grace"
    own.http.patch(f"{PATH}/{made['id']}", json={"name": "Hopper"})
    assert name() == "Hopper"
    sql.execute("update notify.recipients set name = 'From elsewhere' where id = %s", (made["id"],))
    until(lambda: name() == "From elsewhere", within_s=15, what="the name that another process wrote")
