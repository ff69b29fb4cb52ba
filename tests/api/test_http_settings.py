"""Teams, rules, schedules, policies, windows and targets over HTTP: read by responders, changed by admins."""

from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from apitools import Org, problem, refused_field
from settingtools import daily, person, post, put, soon

from api import setting_shapes as shapes
from api import why_shapes

POLICY = {"steps": [{"wait_s": 60, "targets": [{"kind": "everybody"}]}]}
WINDOW = {"name": "Upgrade", "start": "2030-01-01T00:00:00Z", "end": "2030-01-01T04:00:00Z"}
QUIET = {"time_zone": "Asia/Tokyo", "windows": [{"start": "22:00", "end": "06:00"}]}
TARGETS = {"critical": 60, "high": 600, "medium": 6000, "low": 60000}
SETTINGS = [
    ("/teams/payments", {"members": []}),
    ("/routing-rules", {"rules": []}),
    ("/schedules/primary", {"time_zone": "UTC"}),
    ("/escalation-policies/standard", POLICY),
    ("/organization/response-targets", TARGETS),
]


def filled(org: Org) -> Org:
    """With a team, on call by a schedule and escalated by a policy, and a rule for it."""
    put(org, "/schedules/primary", daily(org.admin))
    put(org, "/escalation-policies/standard", POLICY)
    put(org, "/teams/payments", {"members": [org.admin], "schedule": "primary", "policy": "standard"})
    rule = {"name": "databases", "team": "payments", "conditions": {"labels": [{"label": "db", "equals": "x"}]}}
    put(org, "/routing-rules", {"rules": [rule], "default_team": "payments"})
    return org


def test_what_was_put_is_read_and_putting_it_again_changes_nothing(own: Org) -> None:
    filled(own)
    for path in ("/schedules/primary", "/escalation-policies/standard", "/teams/payments", "/routing-rules"):
        read = own.http.get(f"/api/v1{path}")
        again = put(own, path, read.json())
        assert (again.json(), again.headers["ETag"]) == (read.json(), read.headers["ETag"]), path
        assert int(again.headers["Ledger-Position"]) > 0
    teams = own.get("/teams")
    assert teams["items"] == [
        {"name": "payments", "members": [own.admin], "schedule": "primary", "policy": "standard"}
    ]
    assert teams["people"] == {own.admin: "Ada Admin"}
    assert [each["name"] for each in own.get("/schedules")["items"]] == ["primary"]
    policies = own.get("/escalation-policies")
    assert [each["name"] for each in policies["items"]] == ["standard"]
    assert set(policies["defaults"]) == {"critical", "high"}


def test_what_is_new_can_be_posted_and_only_once(own: Org) -> None:
    layer = daily(own.admin)
    for path, name, body, other in (
        ("/schedules", "primary", layer, {**layer, "time_zone": "Europe/Paris"}),
        ("/escalation-policies", "standard", POLICY, {**POLICY, "repeat": 7}),
        ("/teams", "payments", {"members": [own.admin]}, {"members": []}),
        ("/routing-rules", "all", {"team": "payments"}, {"team": "payments", "schedule": "primary"}),
    ):
        made = post(own, path, {"name": name, **body}).json()
        assert made["name"] == name
        assert post(own, path, {"name": name, **body}).json() == made, "a retry"
        problem(own.http.post(f"/api/v1{path}", json={"name": name, **other}), 409)
        assert problem(own.http.post(f"/api/v1{path}", json=body), 422)["errors"][0]["field"] == "name"
        listed = own.get(path)
        assert listed["rules" if path == "/routing-rules" else "items"] == [made]


def test_two_admins_do_not_overwrite_each_other(own: Org) -> None:
    seen = own.http.get("/api/v1/teams").headers["ETag"]
    changed = put(own, "/teams/search", {}, **{"If-Match": seen})
    assert changed.headers["ETag"] != seen
    for path, body in SETTINGS:
        told = problem(own.http.put(f"/api/v1{path}", json=body, headers={"If-Match": seen}), 412)
        assert told["version"] == int(changed.headers["ETag"].strip('"'))
    stale = own.http.delete("/api/v1/teams/search", headers={"If-Match": seen})
    assert problem(stale, 412) and stale.headers["ETag"] == changed.headers["ETag"]
    gone = own.http.delete("/api/v1/teams/search", headers={"If-Match": changed.headers["ETag"]})
    assert gone.status_code == 204
    assert own.get("/teams")["items"] == []


def test_responders_read_and_admins_change_and_members_get_nothing(own: Org, sql: psycopg.Connection[Any]) -> None:
    filled(own)
    _, responder = person(sql, own, "Rita")
    _, member = person(sql, own, "Max", "member")
    reads = ["/teams", "/teams/payments", "/routing-rules", "/schedules", "/on-call", "/schedules/primary/shifts",
             "/schedules/primary/on-call", "/escalation-policies", "/maintenance-windows",
             "/organization/response-targets", f"/people/{own.admin}/quiet-hours"]  # fmt: skip
    with own.client(responder) as theirs, own.client(member) as nobodys:
        for path in reads:
            assert theirs.get(f"/api/v1{path}").status_code == 200, path
            problem(nobodys.get(f"/api/v1{path}"), 403)
        assert nobodys.get("/api/v1/me/quiet-hours").json()["quiet_hours"] is None
        changes = [("PUT", path, body) for path, body in SETTINGS]
        changes += [("DELETE", path, None) for path, _ in SETTINGS if path != "/routing-rules"]
        changes += [("PUT", f"/people/{own.admin}/quiet-hours", QUIET), ("POST", "/maintenance-windows", WINDOW)]
        changes += [("DELETE", f"/maintenance-windows/{uuid4()}", None)]
        changes += [("POST", "/schedules/primary/overrides", {"start": soon(0), "end": soon(1), "person": None})]
        for method, path, body in changes:
            problem(theirs.request(method, f"/api/v1{path}", json=body), 403)
        problem(theirs.get("/api/v1/organization/events"), 403)
        assert theirs.put("/api/v1/me/quiet-hours", json=QUIET).status_code == 200
        assert theirs.get("/api/v1/me/quiet-hours").json()["quiet_hours"]["time_zone"] == "Asia/Tokyo"
        assert theirs.delete("/api/v1/me/quiet-hours").status_code == 204
        assert theirs.get("/api/v1/me/quiet-hours").json()["quiet_hours"] is None


def test_another_organisations_settings_are_not_there(own: Org, other: Org) -> None:
    filled(own)
    assert other.get("/teams")["items"] == []
    for path in ("/teams/payments", "/schedules/primary", "/escalation-policies/standard",
                 "/schedules/primary/shifts", "/schedules/primary/calendar.ics"):  # fmt: skip
        problem(other.http.get(f"/api/v1{path}"), 404)
    problem(other.http.delete("/api/v1/teams/payments"), 404)
    problem(other.http.get(f"/api/v1/people/{own.admin}/quiet-hours"), 404)
    problem(other.http.put(f"/api/v1/people/{own.admin}/quiet-hours", json=QUIET), 404)
    refused_field(other.http.put("/api/v1/teams/mine", json={"members": [own.admin]}), "members.0")


LABEL = {"label": "db", "matches": "*", "equals": "x"}
RULE = {"name": "a", "team": "payments"}
EVERYBODY = {"wait_s": 1, "targets": [{"kind": "everybody"}]}


def turning(rotation: dict[str, Any]) -> dict[str, Any]:
    """A schedule that hands over so."""
    made = daily(str(uuid4()))
    made["layers"][0]["rotation"] = {"handover": "09:00", **rotation}
    return made


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/routing-rules", {"rules": [RULE, {**RULE, "name": "b", "conditions": {"labels": [LABEL]}}]},
         "rules.1.conditions.labels.0.matches"),
        ("/routing-rules", {"rules": [{**RULE, "conditions": {"severity": ["high"]}}]},
         "rules.0.conditions.severity"),
        ("/routing-rules", {"rules": [RULE, {**RULE, "name": "b", "team": "nobody"}]}, "rules.1.team"),
        ("/routing-rules", {"rules": [{**RULE, "schedule": "none"}]}, "rules.0.schedule"),
        ("/routing-rules", {"rules": [{**RULE, "name": "a\x00"}]}, "rules.0.name"),
        ("/routing-rules", {"rules": [], "default": "x"}, "default"),
        ("/routing-rules", {"rules": [], "default_team": "x"}, "default_team"),
        ("/schedules/s", daily(str(uuid4())), "layers.0.people.0"),
        ("/schedules/s", daily(), "layers.0.people"),
        ("/schedules/s", {"time_zone": "Mars/Base"}, "time_zone"),
        ("/schedules/s", {"time_zone": "UTC", "zone": 1}, "zone"),
        ("/schedules/s", {"time_zone": "UTC", "name": "t"}, "name"),
        ("/schedules/s", {"time_zone": "UTC", "layers": [{"name": "a", "people": [str(uuid4())],
         "starts_on": "2026-01-01", "rotation": {"kind": "daily", "handover": "9:00"}}]},
         "layers.0.rotation.handover"),
        ("/schedules/s", {"time_zone": "UTC", "layers": [{"name": "a", "people": [str(uuid4())],
         "starts_on": "2026-01-01", "rotation": {"kind": "daily", "handover": "09:00", "day": 1}}]},
         "layers.0.rotation.day"),
        ("/escalation-policies/p", {"steps": []}, "steps"),
        ("/escalation-policies/p", {"steps": [{"wait_s": 1, "targets": [{"kind": "team", "id": "x"}]}]},
         "steps.0.targets.0.id"),
        ("/escalation-policies/p", {"steps": [{"wait_s": -1, "targets": [{"kind": "team"}]}]}, "steps.0.wait_s"),
        ("/teams/t", {"members": ["x"]}, "members.0"),
        ("/teams/t", {"schedule": "none"}, "schedule"),
        ("/teams/t", {"lead": None}, "lead"),
        ("/organization/response-targets", {**TARGETS, "high": 0}, "high"),
        ("/organization/response-targets", {**TARGETS, "high": True}, "high"),
        ("/organization/response-targets", {**TARGETS, "high": "5"}, "high"),
        ("/escalation-policies/p", {"steps": [EVERYBODY], "repeat": True}, "repeat"),
        ("/escalation-policies/p", {"steps": [EVERYBODY], "repeat_after_s": True}, "repeat_after_s"),
        ("/escalation-policies/p", {"steps": [{**EVERYBODY, "wait_s": True}]}, "steps.0.wait_s"),
        ("/schedules/s", turning({"kind": "days", "days": True}), "layers.0.rotation.days"),
        ("/schedules/s", turning({"kind": "hours", "hours": "12"}), "layers.0.rotation.hours"),
        ("/schedules/s", {"time_zone": "UTC", "layers": [turning({"kind": "daily"})["layers"][0]] * 21}, "layers"),
        ("/teams/%20", {}, "name"),
        ("/me/quiet-hours", {"time_zone": "UTC", "windows": []}, "windows"),
        ("/me/quiet-hours", {"time_zone": "UTC", "windows": [{"start": "22:00", "end": "06:00", "on": 1}]},
         "windows.0.on"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused_and_the_field_named(org: Org, path: str, body: Any, field: str) -> None:
    put(org, "/teams/payments", {})
    told = refused_field(org.http.put(f"/api/v1{path}", json=body), field)
    assert [each["field"] for each in told["errors"]] == [field]


def test_a_name_is_a_part_of_an_address(own: Org) -> None:
    put(own, "/teams/Zürich · büro 1", {})
    assert own.get("/teams")["items"][0]["name"] == "Zürich · büro 1"
    assert own.get("/teams/Zürich · büro 1")["members"] == []
    assert own.http.put("/api/v1/teams/a%2Fb", json={}).status_code in (404, 422)


def test_blanks_around_a_name_in_an_address_are_no_part_of_it(own: Org) -> None:
    about = (
        ("/teams", {}), ("/schedules", daily(own.admin)), ("/escalation-policies", {"steps": [EVERYBODY]}),
    )  # fmt: skip
    for path, body in about:
        assert put(own, f"{path}/%20yy%20", body).json()["name"] == "yy"
        assert own.get(f"{path}/%20yy%20") == own.get(f"{path}/yy")
    shift = {"start": soon(0), "end": soon(1), "person": None}
    assert post(own, "/schedules/%20yy%20/overrides", shift).json()["person"] is None
    for path, body in about:
        assert own.http.delete(f"/api/v1{path}/%20yy%20").status_code == 204
        refused_field(own.http.put(f"/api/v1{path}/%20", json=body), "name")
        assert own.get(path)["items"] == []


def test_what_is_in_use_is_not_removed(own: Org) -> None:
    filled(own)
    told = problem(own.http.delete("/api/v1/schedules/primary"), 409)
    assert told["in_use_by"] == ["the team “payments”"]
    assert "payments" in told["detail"]
    assert problem(own.http.delete("/api/v1/escalation-policies/standard"), 409)["in_use_by"]
    assert problem(own.http.delete("/api/v1/teams/payments"), 409)["in_use_by"] == [
        "rule 1, “databases”", "the default team of routing",
    ]  # fmt: skip
    put(own, "/routing-rules", {"rules": []})
    for path in ("/teams/payments", "/schedules/primary", "/escalation-policies/standard"):
        assert own.http.delete(f"/api/v1{path}").status_code == 204
        problem(own.http.delete(f"/api/v1{path}"), 404)


def test_the_rules_can_be_tried(own: Org) -> None:
    put(own, "/schedules/primary", daily(own.admin))
    put(own, "/teams/payments", {"schedule": "primary"})
    put(own, "/teams/ops", {})
    rules = [
        {"name": "low", "team": "ops", "conditions": {"severities": ["low"]}},
        {"name": "other service", "team": "ops", "conditions": {"labels": [{"label": "service", "equals": "x"}]}},
        {"name": "checkout", "team": "payments", "conditions": {"labels": [
            {"label": "service", "starts_with": "check"}]}},
    ]  # fmt: skip
    put(own, "/routing-rules", {"rules": rules, "default_team": "ops"})
    asked = {"severity": "critical", "labels": {"service": "checkout"}}
    told = post(own, "/routing-rules/test", asked, 200).json()
    assert (told["team"], told["rule"]["number"], told["rule"]["name"]) == ("payments", 3, "checkout")
    assert told["because"] == "rule 3, “checkout”: label service is “checkout”, which starts with “check”"
    assert told["person"] == {"id": own.admin, "name": "Ada Admin"}
    assert told["person_because"] == "on call by the schedule “primary”"
    assert (told["schedule"], told["policy"]) == ("primary", "Default, critical")
    assert [(p["number"], p["because"]) for p in told["passed_over"]] == [
        (1, "severity is critical, not low"), (2, "label service is “checkout”, not as asked"),
    ]  # fmt: skip
    told = post(own, "/routing-rules/test", {"severity": "medium"}, 200).json()
    assert (told["team"], told["rule"], told["person"], told["policy"]) == ("ops", None, None, None)
    assert told["because"] == "no rule holds: the organisation's default team"
    assert len(told["passed_over"]) == 3
    refused_field(own.http.post("/api/v1/routing-rules/test", json={"severity": "bad"}), "severity")


def test_maintenance_is_announced_once_per_key_and_cancelled(own: Org) -> None:
    made = post(own, "/maintenance-windows", WINDOW, **{"Idempotency-Key": "w1"}).json()
    again = post(own, "/maintenance-windows", WINDOW, **{"Idempotency-Key": "w1"}).json()
    assert again == made
    assert own.get("/maintenance-windows")["items"] == [made]
    changed = {**WINDOW, "name": "Other"}
    answer = own.http.post("/api/v1/maintenance-windows", json=changed, headers={"Idempotency-Key": "w1"})
    problem(answer, 409)
    refused_field(own.http.post("/api/v1/maintenance-windows", json={**WINDOW, "end": WINDOW["start"]}), "end")
    past = {"name": "Past", "start": "2020-01-01T00:00:00Z", "end": "2020-01-02T00:00:00Z"}
    refused_field(own.http.post("/api/v1/maintenance-windows", json=past), "end")
    assert own.http.delete(f"/api/v1/maintenance-windows/{made['id']}").status_code == 204
    problem(own.http.delete(f"/api/v1/maintenance-windows/{made['id']}"), 404)
    assert own.get("/maintenance-windows")["items"] == []


def test_response_targets_are_those_of_new_incidents(own: Org) -> None:
    assert own.get("/organization/response-targets")["high"] == 3600
    put(own, "/organization/response-targets", TARGETS)
    assert own.trigger(severity="high")["response_target_s"] == 600
    assert own.http.delete("/api/v1/organization/response-targets").status_code == 204
    assert own.trigger(severity="high")["response_target_s"] == 3600


def test_quiet_hours_of_a_person(own: Org) -> None:
    path = f"/people/{own.admin}/quiet-hours"
    put(own, path, QUIET)
    assert own.get(path)["quiet_hours"]["windows"][0]["start"] == "22:00"
    assert own.http.delete(f"/api/v1{path}").status_code == 204
    problem(own.http.get(f"/api/v1/people/{uuid4()}/quiet-hours"), 404)
    problem(own.http.put(f"/api/v1/people/{uuid4()}/quiet-hours", json=QUIET), 404)


def test_the_events_of_the_organisation_a_page_at_a_time(own: Org) -> None:
    filled(own)
    first = own.get("/organization/events", limit=4)
    rest = own.get("/organization/events", cursor=first["next_cursor"])
    items = first["items"] + rest["items"]
    assert [each["type"] for each in items] == [
        "RoleGranted", "TokenIssued", "ScheduleDefined", "PolicyDefined", "TeamDefined", "RoutingChanged",
    ]  # fmt: skip
    assert [each["version"] for each in items] == [1, 2, 3, 4, 5, 6]
    assert all(each["payload"]["actor"] == {"kind": "person", "id": own.admin} for each in items[2:])
    assert rest["next_cursor"] is None


@pytest.mark.parametrize("path", ["/routing-rules", "/schedules/s", "/escalation-policies/p", "/me/quiet-hours"])
@pytest.mark.parametrize("sent", ["", "{", "[]", "null", "7", "\xff", "[" * 20_000, '{"a": ' * 5_000])
def test_a_body_that_is_none_is_refused(org: Org, path: str, sent: str) -> None:
    problem(org.http.put(f"/api/v1{path}", content=sent.encode("latin-1")), (400, 422))
    unknown = httpx.put(f"{org.url}/api/v1{path}", content=sent.encode("latin-1"))
    assert unknown.status_code in (400, 401, 422)
    problem(httpx.put(f"{org.url}/api/v1{path}", json={"more": 1}), 401)


def test_nobody_without_a_token(own: Org) -> None:
    for path in ("/teams", "/routing-rules", "/schedules", "/on-call", "/organization/events"):
        problem(httpx.get(f"{own.url}/api/v1{path}"), 401)


def test_answers_have_the_documented_shapes(own: Org) -> None:
    filled(own)
    post(own, "/maintenance-windows", WINDOW)
    put(own, "/me/quiet-hours", QUIET)
    feed = post(own, "/calendar-feeds", {"schedule": "primary"})
    incident = own.trigger(severity="critical")
    for model, answer in (
        (shapes.NewFeed, feed),
        (why_shapes.Why, own.http.get(f"/api/v1/incidents/{incident['id']}/why")),
        (shapes.RoutingAnswer, post(own, "/routing-rules/test", {"severity": "critical"}, 200)),
        *(
            (model, own.http.get(f"/api/v1{path}"))
            for model, path in (
                (shapes.Teams, "/teams"),
                (shapes.Team, "/teams/payments"),
                (shapes.Routing, "/routing-rules"),
                (shapes.Schedules, "/schedules"),
                (shapes.OnCallNow, "/on-call"),
                (shapes.OnCallBySchedule, "/schedules/primary/on-call"),
                (shapes.Shifts, "/schedules/primary/shifts"),
                (shapes.Policies, "/escalation-policies"),
                (shapes.Windows, "/maintenance-windows"),
                (shapes.Quiet, "/me/quiet-hours"),
                (shapes.TargetsBody, "/organization/response-targets"),
                (shapes.Feeds, "/calendar-feeds"),
                (shapes.OrganizationEntries, "/organization/events"),
            )
        ),
    ):
        shown = model.model_validate_json(answer.text)
        assert set(answer.json()) == set(model.model_fields) == set(shown.model_fields_set), model


def test_no_team_is_called_what_stands_for_no_team(own: Org) -> None:
    for name in ("none", "None"):
        problem(own.http.put(f"/api/v1/teams/{name}", json={"members": []}), 422)
        problem(own.http.post("/api/v1/teams", json={"name": name, "members": []}), 422)
