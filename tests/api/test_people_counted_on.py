"""Who is counted on by teams, schedules and policies is not removed by the way; erased they can always be."""

from typing import Any

import psycopg
import pytest
from apitools import Org, problem
from settingtools import daily, now, person, post, put, soon

COUNTS: list[tuple[str, Any, str]] = [
    ("/teams/payments", lambda id: {"members": [id]}, "the team “payments”"),
    ("/schedules/primary", lambda id: daily(id), "the schedule “primary”"),
    (
        "/schedules/primary",
        lambda id: {"time_zone": "UTC", "overrides": [{"start": soon(1), "end": soon(2), "person": id}]},
        "the schedule “primary”",
    ),
    (
        "/escalation-policies/calls",
        lambda id: {"steps": [{"wait_s": 1, "targets": [{"kind": "person", "id": id}]}]},
        "the policy “calls”",
    ),
]


@pytest.mark.parametrize(("path", "body", "by"), COUNTS)
def test_who_is_counted_on_keeps_their_access(
    own: Org, sql: psycopg.Connection[Any], path: str, body: Any, by: str
) -> None:
    bea, _ = person(sql, own, "Bea")
    put(own, path, body(bea))
    for refused in (
        own.http.delete(f"/api/v1/people/{bea}"),
        own.http.post(f"/api/v1/people/{bea}/role", json={"role": "member"}),
    ):
        told = problem(refused, 409)
        assert told["in_use_by"] == [by] and told["detail"].endswith(f"is still counted on by {by}.")
    assert own.get(f"/people/{bea}")["role"] == "responder"
    post(own, f"/people/{bea}/role", {"role": "org_admin"}, 200)
    assert own.http.delete(f"/api/v1{path}").status_code == 204
    assert own.http.delete(f"/api/v1/people/{bea}").status_code == 204


def test_an_override_that_is_over_holds_nobody(own: Org, sql: psycopg.Connection[Any]) -> None:
    bea, _ = person(sql, own, "Bea")
    over = {"start": soon(-2), "end": soon(-1), "person": bea}
    put(own, "/schedules/primary", {"time_zone": "UTC", "overrides": [over]})
    assert own.http.delete(f"/api/v1/people/{bea}").status_code == 204


def test_an_erased_person_is_counted_on_no_more_and_was_before(own: Org, sql: psycopg.Connection[Any]) -> None:
    bea, _ = person(sql, own, "Bea")
    for path, body, _ in COUNTS[:2]:
        put(own, path, body(bea))
    to_bea, to_team = {"kind": "person", "id": bea}, {"kind": "team", "id": "payments"}
    steps = [{"wait_s": 1, "targets": [to_bea]}, {"wait_s": 2, "targets": [to_bea, to_team]}]
    put(own, "/escalation-policies/calls", {"steps": steps})
    [shown] = own.get("/on-call")["items"]
    assert shown["person"]["id"] == bea
    before = now(own, sql)

    post(own, f"/people/{bea}/erase", {}, 200)

    assert own.get("/teams")["items"][0]["members"] == []
    assert own.get("/on-call")["items"][0]["person"] is None
    [schedule] = own.get("/schedules")["items"]
    assert schedule["layers"][0]["people"] == [None]
    assert [shift["person"] for shift in own.get("/schedules/primary/shifts")["items"]] == [None]
    [policy] = own.get("/escalation-policies")["items"]
    assert [step["targets"] for step in policy["steps"]] == [[], [to_team]]
    assert own.get("/teams", at=before)["items"][0]["members"] == [bea]
    assert own.get("/on-call", at=before)["items"][0]["person"]["id"] == bea
    put(own, "/schedules/primary", {key: schedule[key] for key in ("time_zone", "layers")})
