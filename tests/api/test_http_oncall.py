"""Who is on call, when, and as calendars; what was so at a time; and whom an incident went to, and why."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from accesstools import super_http
from apitools import Org, problem, refused_field
from running import until
from settingtools import daily, now, person, post, put, soon

from api.directory import secret_hash
from fandesk.first_start import put_access_on_record


def test_who_is_on_call_now_and_at_any_time(own: Org, sql: psycopg.Connection[Any]) -> None:
    bea, _ = person(sql, own, "Bea")
    put(own, "/schedules/primary", daily(own.admin, bea))
    put(own, "/schedules/empty", {"time_zone": "UTC"})
    then = own.get("/on-call", at="2027-07-01T12:00:00Z")
    assert then["at"] == "2027-07-01T12:00:00.000000Z"
    empty, primary = then["items"]
    assert empty == {"schedule": "empty", "person": None, "until": None}
    assert primary["until"] == "2027-07-02T07:00:00.000000Z"
    assert primary["person"]["id"] == own.admin  # 546 days after the layer began: an even number
    one = own.get("/schedules/primary/on-call", at="2027-07-02T12:00:00Z")
    assert (one["person"]["id"], one["standing"][0]["decides"]) == (bea, True)
    shifts = own.get("/schedules/primary/shifts", **{"from": "2027-03-27T00:00:00Z", "to": "2027-03-30T00:00:00Z"})
    assert [(s["start"][:16], s["end"][:16]) for s in shifts["items"]] == [
        ("2027-03-27T00:00", "2027-03-27T08:00"), ("2027-03-27T08:00", "2027-03-28T07:00"),
        ("2027-03-28T07:00", "2027-03-29T07:00"), ("2027-03-29T07:00", "2027-03-30T00:00"),
    ]  # fmt: skip
    assert set(shifts["people"]) == {own.admin, bea}
    month = own.get("/schedules/primary/shifts")["items"]
    took = datetime.fromisoformat(month[-1]["end"]) - datetime.fromisoformat(month[0]["start"])
    assert took == timedelta(days=30)
    path = "/api/v1/schedules/primary/shifts"
    refused_field(own.http.get(path, params={"from": "2027-01-01T00:00:00Z", "to": "2028-01-03T00:00:00Z"}), "to")
    refused_field(own.http.get(path, params={"from": "2027-01-01T00:00:00Z", "to": "2027-01-01T00:00:00Z"}), "to")
    problem(own.http.get("/api/v1/schedules/none/on-call"), 404)


def test_an_override_wins_until_it_is_taken_back(own: Org, sql: psycopg.Connection[Any]) -> None:
    bea, _ = person(sql, own, "Bea")
    max_, _ = person(sql, own, "Max", "member")
    put(own, "/schedules/primary", daily(own.admin))
    body = {"start": soon(-1), "end": soon(1), "person": bea}
    made = post(own, "/schedules/primary/overrides", body, **{"Idempotency-Key": "k"}).json()
    assert post(own, "/schedules/primary/overrides", body, **{"Idempotency-Key": "k"}).json() == made
    [shown] = own.get("/on-call")["items"]
    assert shown["person"]["id"] == bea
    assert own.get("/schedules/primary/on-call")["standing"][-1] == {
        "kind": "override", "name": made["id"], "person": bea, "decides": True,
    }  # fmt: skip
    gap = post(own, "/schedules/primary/overrides", {**body, "person": None}).json()
    assert own.get("/on-call")["items"][0]["person"] is None
    for override in (gap, made):
        path = f"/api/v1/schedules/primary/overrides/{override['id']}"
        assert own.http.delete(path).status_code == 204
        problem(own.http.delete(path), 404)
    assert own.get("/on-call")["items"][0]["person"]["id"] == own.admin
    refused_field(own.http.post("/api/v1/schedules/primary/overrides", json={**body, "person": max_}), "person")
    refused_field(own.http.post("/api/v1/schedules/primary/overrides", json={**body, "end": body["start"]}), "end")
    refused_field(own.http.post("/api/v1/schedules/primary/overrides", json={"start": soon(0)}), "end")


def test_calendars_can_be_subscribed_to_and_revoked(own: Org, other: Org, sql: psycopg.Connection[Any]) -> None:
    bea, token = person(sql, own, "Bea")
    put(own, "/schedules/primary", daily(own.admin, bea))
    signed_in = own.http.get("/api/v1/schedules/primary/calendar.ics")
    assert signed_in.headers["Content-Type"].startswith("text/calendar")
    with own.client(token) as hers:
        feed = hers.post("/api/v1/calendar-feeds", json={"schedule": "primary"}).json()
        mine = hers.post("/api/v1/calendar-feeds", json={"person": bea}).json()
        assert feed["url"].startswith(f"{own.url}/feeds/fdc_") and feed["url"].endswith(".ics")
        calendar = httpx.get(feed["url"])
        texts = [re.sub("DTSTAMP:.*", "", each.text) for each in (calendar, signed_in)]
        assert calendar.status_code == 200 and texts[0] == texts[1]
        assert "SUMMARY:Ada Admin on call: primary" in calendar.text
        alone = httpx.get(mine["url"]).text
        assert "SUMMARY:Bea" in alone and "SUMMARY:Ada Admin" not in alone
        for wrong in ({}, {"schedule": "primary", "person": bea}, {"schedule": "none"}):
            refused_field(hers.post("/api/v1/calendar-feeds", json=wrong), "schedule")
        refused_field(hers.post("/api/v1/calendar-feeds", json={"person": str(uuid4())}), "person")
        assert [each["id"] for each in hers.get("/api/v1/calendar-feeds").json()["items"]] == [
            feed["id"],
            mine["id"],
        ]
    assert "url" not in own.get("/calendar-feeds")["items"][0]
    problem(other.http.delete(f"/api/v1/calendar-feeds/{feed['id']}"), 404)
    assert own.http.delete(f"/api/v1/calendar-feeds/{feed['id']}").status_code == 204
    problem(httpx.get(feed["url"]), 404)
    sql.execute("update access.people set role = 'member' where id = %s", (bea,))
    problem(httpx.get(mine["url"]), 404)
    problem(httpx.get(f"{own.url}/feeds/fdc_none.ics"), 404)
    kept = sql.execute("select f::text from access.feeds f").fetchall()
    assert not any(feed["url"].split("/")[-1][:-4] in row[0] for row in kept)


def test_a_persons_calendar_tells_their_schedules_apart(own: Org) -> None:
    for name in ("primary", "backup"):
        put(own, f"/schedules/{name}", daily(own.admin))
    put(own, "/schedules/others", {"time_zone": "UTC"})
    feed = post(own, "/calendar-feeds", {"person": own.admin}).json()
    first = httpx.get(feed["url"]).text
    lines = first.replace("\r\n ", "").split("\r\n")
    assert [line for line in lines if line.startswith("SUMMARY:")] == [
        "SUMMARY:Ada Admin on call: backup", "SUMMARY:Ada Admin on call: primary",
    ]  # fmt: skip
    assert len({line for line in lines if line.startswith("UID:")}) == 2
    for line in lines:
        if line.startswith("DTSTAMP:"):
            assert datetime.strptime(line, "DTSTAMP:%Y%m%dT%H%M%S%z") <= datetime.now(UTC)
    assert httpx.get(feed["url"]).text == first


@pytest.mark.parametrize("at", ["3000-01-01T00:00:00Z", "1969-12-31T00:00:00Z"])
def test_times_that_are_not_served_are_refused_by_their_own_names(own: Org, at: str) -> None:
    put(own, "/schedules/primary", daily(own.admin))
    shifts = "/api/v1/schedules/primary/shifts"
    refused_field(own.http.get(shifts, params={"from": at}), "from")
    refused_field(own.http.get(shifts, params={"from": "2999-12-31T00:00:00Z"}), "from")
    if at > "2":
        refused_field(own.http.get(shifts, params={"from": "2999-12-01T00:00:00Z", "to": at}), "to")
        for path in ("/on-call", "/schedules/primary/on-call"):
            refused_field(own.http.get(f"/api/v1{path}", params={"at": at}), "at")
            [shown] = [own.get(path, at="2999-12-31T00:00:00Z")]
            assert (shown["items"][0] if "items" in shown else shown)["person"]["id"] == own.admin


def test_settings_as_they_stood(own: Org, sql: psycopg.Connection[Any]) -> None:
    bea, _ = person(sql, own, "Bea")
    before = now(own, sql)
    put(own, "/schedules/primary", daily(own.admin))
    put(own, "/teams/payments", {"schedule": "primary"})
    put(own, "/routing-rules", {"rules": [{"name": "all", "team": "payments"}]})
    put(own, "/escalation-policies/p", {"steps": [{"wait_s": 1, "targets": [{"kind": "everybody"}]}]})
    between = now(own, sql)
    put(own, "/schedules/primary", daily(bea))
    put(own, "/teams/payments", {})
    put(own, "/routing-rules", {"rules": []})
    assert own.http.delete("/api/v1/escalation-policies/p").status_code == 204
    assert own.get("/on-call", at=before)["items"] == []
    assert own.get("/on-call", at=between)["items"][0]["person"]["id"] == own.admin
    assert own.get("/on-call")["items"][0]["person"]["id"] == bea
    assert own.get("/teams", at=before)["items"] == []
    assert own.get("/teams/payments", at=between)["schedule"] == "primary"
    assert own.get("/routing-rules", at=between)["rules"][0]["name"] == "all"
    assert own.get("/routing-rules")["rules"] == []
    assert [p["name"] for p in own.get("/escalation-policies", at=between)["items"]] == ["p"]
    assert own.get("/schedules/primary", at=between)["layers"][0]["people"] == [own.admin]
    problem(own.http.get("/api/v1/schedules/primary", params={"at": before}), 404)
    refused_field(own.http.get("/api/v1/teams", params={"at": "yesterday"}), "at")


def test_what_was_the_rule_who_was_on_call_and_who_could_see_it_then(
    own: Org, other: Org, sql: psycopg.Connection[Any]
) -> None:
    bea, _ = person(sql, own, "Bea")
    cy, _ = person(sql, own, "Cy", "member")
    with super_http(own.url) as root:
        first = root.get("/api/v1/me").json()["id"]
    put(own, "/schedules/primary", daily(bea))
    put(own, "/escalation-policies/calls", {"steps": [{"wait_s": 1, "targets": [{"kind": "schedule"}]}]})
    put(own, "/teams/payments", {"schedule": "primary", "policy": "calls"})
    rule = {"name": "checkout", "team": "payments", "conditions": {"severities": ["critical"]}}
    put(own, "/routing-rules", {"rules": [rule]})
    incident = own.trigger(severity="critical")
    at_three = now(own, sql)

    post(own, f"/people/{cy}/role", {"role": "responder"}, 200)
    put(own, "/schedules/primary", daily(cy))
    put(own, "/routing-rules", {"rules": [{**rule, "name": "renamed"}]})
    put(own, "/teams/search", {})
    until(lambda: own.http.get(f"/api/v1/incidents/{incident['id']}").status_code == 200)
    own.do(incident, "assign", team="search")

    for params in ({}, {"at": at_three}):
        told = own.get(f"/incidents/{incident['number']}/why", **params)
        assert (told["team"], told["rule"]["name"], told["rule"]["number"]) == ("payments", "checkout", 1)
        assert told["because"] == "rule 1, “checkout”: severity is critical"
        assert (told["schedule"], told["on_call"]["id"], told["assignee"]["id"]) == ("primary", bea, bea)
        assert told["policy"]["name"] == "calls"
        assert {(each["id"], each["role"]) for each in told["could_see"]} == {
            (own.admin, "org_admin"), (bea, "responder"), (first, "super_admin"),
        }  # fmt: skip
        assert all(each["name"] for each in told["could_see"])
    later = own.get(f"/incidents/{incident['id']}/why", at=now(own, sql))
    assert (later["team"], later["rule"], later["because"]) == ("search", None, "assigned by hand")
    assert cy in {each["id"] for each in later["could_see"]}
    problem(own.http.get(f"/api/v1/incidents/{incident['id']}/why", params={"at": "2026-01-01T00:00:00Z"}), 404)
    problem(other.http.get(f"/api/v1/incidents/{incident['id']}/why"), 404)
    problem(own.http.get(f"/api/v1/incidents/{own.id}/why"), 404)


def test_the_first_super_admin_could_see_what_is_in_their_organisation(
    own: Org, sql: psycopg.Connection[Any]
) -> None:
    with super_http(own.url) as root:
        me = root.get("/api/v1/me").json()["id"]
        made = root.post("/api/v1/incidents", json={"title": "T", "severity": "low", "category": "bug"})
        assert made.status_code == 201, made.text
        path = f"/api/v1/incidents/{made.json()['id']}/why"
        for params in ({}, {"at": now(own, sql)}):
            told = root.get(path, params=params).json()
            assert [each["role"] for each in told["could_see"] if each["id"] == me] == ["super_admin"]


def test_who_could_see_it_before_roles_were_on_record_is_not_known(
    new_org: Callable[..., Org], sql: psycopg.Connection[Any], product: Any
) -> None:
    """As after an upgrade: people and tokens are rows, and have no events yet."""
    org, id = new_org(), uuid4()
    token, person = f"fdt_{uuid4()}", uuid4()
    sql.execute("insert into access.organizations (id, name) values (%s, 'Old')", (id,))
    sql.execute(
        "insert into access.people (id, organization_id, name, role) values (%s, %s, 'Ada', 'org_admin')",
        (person, id),
    )
    sql.execute(
        "insert into access.tokens (id, organization_id, person_id, name, hash) values (%s, %s, %s, 't', %s)",
        (uuid4(), id, person, secret_hash(token)),
    )
    with org.client(token) as http:
        incident = http.post("/api/v1/incidents", json={"title": "T", "severity": "low"}).json()
        path = f"/api/v1/incidents/{incident['id']}/why"
        told = http.get(path).json()
        assert (told["could_see"], told["on_record_since"]) == (None, None)
        put_access_on_record(product.cli("dsn").stdout.strip())
        told = http.get(path).json()
        assert told["could_see"] is None and told["on_record_since"] > told["at"]
        later = http.get(path, params={"at": now(org, sql)}).json()
        assert str(person) in [each["id"] for each in later["could_see"]]
        assert later["on_record_since"] == told["on_record_since"]


def test_alerts_in_a_maintenance_window_attach_to_it_and_wake_nobody(own: Org) -> None:
    put(own, "/schedules/primary", daily(own.admin))
    put(own, "/teams/payments", {"schedule": "primary"})
    put(own, "/routing-rules", {"rules": [], "default_team": "payments"})
    number = {"name": "Ada", "whatsapp": "+15550100123"}
    assert own.http.post("/api/v1/notifications/recipients", json=number).status_code == 201
    about = {"conditions": {"labels": [{"label": "service", "equals": "db"}]}}
    window = {"name": "Upgrade", "start": soon(-1), "end": soon(1), **about}
    post(own, "/maintenance-windows", window)
    expected = own.trigger(severity="critical", labels={"service": "db"})
    other = own.trigger(severity="critical", labels={"service": "web"})
    assert (expected["maintenance"], expected["team"], expected["assignee"]) == ("Upgrade", "payments", None)
    assert (other["maintenance"], other["assignee"]) == (None, own.admin)
    until(lambda: own.get(f"/incidents/{other['id']}/deliveries")["items"], what="the other's alert")
    assert own.get(f"/incidents/{expected['id']}/deliveries")["items"] == []
    shown = own.get(f"/incidents/{expected['id']}")
    assert shown["maintenance"] == "Upgrade"
    told = own.get(f"/incidents/{expected['id']}/timeline")["items"][0]["summary"]
    assert told == "Triggered as critical, expected during maintenance “Upgrade”"
    assert own.get(f"/incidents/{expected['id']}/why")["maintenance"] == "Upgrade"
