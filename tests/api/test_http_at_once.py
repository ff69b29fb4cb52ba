"""Many at the same instant, the same twice, and versions: one outcome, told alike to everybody."""

import time
from typing import Any
from uuid import uuid4

import httpx
import pytest
from apitools import Org, about_incidents, at_once, problem


def _clients(org: Org, count: int) -> list[httpx.Client]:
    clients = [org.client() for _ in range(count)]
    at_once(count, lambda n: clients[n].get("/healthz"))  # connected before the race begins
    return clients


def test_fifty_acknowledge_at_once_and_one_wins(org: Org) -> None:
    incident = org.trigger()
    clients = _clients(org, 50)

    answers = at_once(50, lambda n: clients[n].post(f"/api/v1/incidents/{incident['id']}/acknowledge"))

    won = [a for a in answers if a.status_code == 200]
    assert len(won) == 1
    for answer in answers:
        if answer is not won[0]:
            told = problem(answer, 409)
            assert told["incident_status"] == "acknowledged"
            assert told["acted_by"]["name"] == "Ada Admin"
            assert told["acted_at"] == won[0].json()["acknowledged_at"]
    assert [e["type"] for e in org.events(incident)] == ["IncidentTriggered", "IncidentAcknowledged"]
    for client in clients:
        client.close()


def test_one_idempotency_key_twenty_times_at_once_appends_once(org: Org) -> None:
    incident = org.trigger()
    clients = _clients(org, 20)
    headers = {"Idempotency-Key": str(uuid4())}

    answers = at_once(
        20,
        lambda n: clients[n].post(
            f"/api/v1/incidents/{incident['id']}/updates", json={"body": "once"}, headers=headers
        ),
    )

    _alike(answers, 200)
    assert len(org.events(incident)) == 2
    for client in clients:
        client.close()


def test_one_idempotency_key_opens_one_incident(own: Org) -> None:
    clients = _clients(own, 20)
    headers = {"Idempotency-Key": "one of a kind ☂".encode()}
    body = {"title": "Once", "severity": "low"}

    answers = at_once(20, lambda n: clients[n].post("/api/v1/incidents", json=body, headers=headers))
    later = own.http.post("/api/v1/incidents", json=body, headers=headers)

    _alike([*answers, later], 201)
    assert len(own.get("/incidents")["items"]) == 1
    assert len(about_incidents(own.get("/ledger/events")["items"])) == 1
    for client in clients:
        client.close()


def _alike(answers: list[httpx.Response], status: int) -> None:
    assert [a.status_code for a in answers] == [status] * len(answers), [a.text for a in answers][:3]
    assert len({a.text for a in answers}) == 1
    assert len({(a.headers["ETag"], a.headers["Ledger-Position"]) for a in answers}) == 1


def test_a_replay_gives_the_first_answer_however_the_incident_moved_on(org: Org) -> None:
    headers = {"Idempotency-Key": str(uuid4())}
    make = {"title": "Moves on", "severity": "low", "occurred_at": "2026-01-05T12:00:00Z", "labels": {"a": "b"}}
    created = org.http.post("/api/v1/incidents", json=make, headers=headers)
    incident = created.json()
    ack = {"Idempotency-Key": str(uuid4())}
    path = f"/api/v1/incidents/{incident['id']}/acknowledge"
    acknowledged = org.http.post(path, headers=ack)
    org.do(incident, "severity", severity="critical")
    org.do(incident, "correct", title="Another name", labels={})
    org.do(incident, "resolve")
    before = org.events(incident)

    for first, again in (
        (created, org.http.post("/api/v1/incidents", json=make, headers=headers)),
        (acknowledged, org.http.post(path, headers=ack)),
        (acknowledged, org.http.post(path, headers={**ack, "If-Match": '"1"'})),
    ):
        assert again.status_code == first.status_code
        assert {**again.json(), "response_breached": 0} == {**first.json(), "response_breached": 0}
        assert again.headers["ETag"] == first.headers["ETag"]
        assert again.headers["Ledger-Position"] == first.headers["Ledger-Position"]

    assert org.events(incident) == before


def test_a_key_used_for_something_else_is_refused(org: Org) -> None:
    first, second = org.trigger(), org.trigger()
    headers = {"Idempotency-Key": str(uuid4())}
    path = f"/api/v1/incidents/{first['id']}/updates"
    assert org.http.post(path, json={"body": "a"}, headers=headers).status_code == 200

    for other, body in (
        (path, {"body": "b"}),
        (f"/api/v1/incidents/{second['id']}/updates", {"body": "a"}),
        ("/api/v1/incidents", {"title": "t", "severity": "low"}),
    ):
        problem(org.http.post(other, json=body, headers=headers), 409)

    assert (len(org.events(first)), len(org.events(second))) == (2, 1)


def test_twenty_different_bodies_under_one_key_at_once_leave_one(own: Org) -> None:
    clients = _clients(own, 20)
    headers = {"Idempotency-Key": str(uuid4())}

    answers = at_once(
        20,
        lambda n: clients[n].post(
            "/api/v1/incidents", json={"title": f"t{n}", "severity": "low"}, headers=headers
        ),
    )

    assert sorted(a.status_code for a in answers) == [201] + [409] * 19
    assert len(own.get("/incidents")["items"]) == 1
    for client in clients:
        client.close()


def test_a_refused_command_leaves_its_key_free(org: Org) -> None:
    incident = org.trigger()
    headers = {"Idempotency-Key": str(uuid4())}
    path = f"/api/v1/incidents/{incident['id']}/reopen"
    problem(org.http.post(path, json={"reason": "r"}, headers=headers), 409)
    org.do(incident, "resolve")

    assert org.http.post(path, json={"reason": "r"}, headers=headers).status_code == 200


def test_keys_are_an_organisations_own(org: Org, other: Org) -> None:
    headers = {"Idempotency-Key": str(uuid4())}
    body = {"title": "t", "severity": "low"}

    ours = org.http.post("/api/v1/incidents", json=body, headers=headers)
    theirs = other.http.post("/api/v1/incidents", json={**body, "title": "u"}, headers=headers)

    assert (ours.status_code, theirs.status_code) == (201, 201)
    assert ours.json()["id"] != theirs.json()["id"]


def test_if_match(org: Org) -> None:
    made = org.trigger()
    path = f"/api/v1/incidents/{made['id']}"
    tag = org.http.get(path).headers["ETag"]
    assert tag == '"1"'

    fresh = org.http.post(f"{path}/acknowledge", headers={"If-Match": tag})
    assert (fresh.status_code, fresh.headers["ETag"]) == (200, '"2"')
    for stale in (tag, '"0"', '"3"', '"999999999999999999"'):
        answer = org.http.post(f"{path}/updates", json={"body": "x"}, headers={"If-Match": stale})
        problem(answer, 412)
        assert answer.headers["ETag"] == '"2"'
    # an illegal command on a stale version: whoever sent it has to look first
    problem(org.http.post(f"{path}/acknowledge", headers={"If-Match": tag}), 412)
    assert org.http.post(f"{path}/updates", json={"body": "x"}, headers={"If-Match": "*"}).status_code == 200
    assert len(org.events(made)) == 3
    assert org.http.get(path).headers["ETag"] == '"3"'


def test_if_match_lets_one_of_twenty_through(org: Org) -> None:
    made = org.trigger()
    clients = _clients(org, 20)

    answers = at_once(
        20,
        lambda n: clients[n].post(
            f"/api/v1/incidents/{made['id']}/updates", json={"body": str(n)}, headers={"If-Match": '"1"'}
        ),
    )

    assert sorted(a.status_code for a in answers) == [200] + [412] * 19
    assert len(org.events(made)) == 2
    for client in clients:
        client.close()


def test_updates_from_many_all_arrive_once(org: Org) -> None:
    made = org.trigger()
    clients = _clients(org, 16)

    answers = at_once(
        16,
        lambda n: [
            clients[n].post(f"/api/v1/incidents/{made['id']}/updates", json={"body": f"{n}-{k}"}) for k in range(6)
        ],
    )

    assert {a.status_code for some in answers for a in some} == {200}
    events = org.events(made)
    assert [e["version"] for e in events] == list(range(1, 98))
    assert sorted(e["payload"]["body"] for e in events[1:]) == sorted(
        f"{n}-{k}" for n in range(16) for k in range(6)
    )
    for client in clients:
        client.close()


def test_a_read_with_a_ledger_position_reads_at_least_that_far(org: Org) -> None:
    reader = org.client()
    for n in range(20):
        made = org.http.post("/api/v1/incidents", json={"title": f"t{n}", "severity": "low"})
        position = made.headers["Ledger-Position"]

        read = reader.get(f"/api/v1/incidents/{made.json()['id']}", headers={"Ledger-Position": position})

        assert read.status_code == 200, read.text
        assert int(read.headers["Ledger-Position"]) >= int(position)
        listed = reader.get("/api/v1/incidents", params={"limit": 1})
        assert listed.json()["items"][0]["id"] == made.json()["id"]
    reader.close()


def test_a_position_that_is_not_reached_is_refused_in_time(org: Org) -> None:
    began = time.monotonic()

    answer = org.http.get("/api/v1/incidents", headers={"Ledger-Position": str(2**61)})

    problem(answer, 503)
    assert int(answer.headers["Retry-After"]) >= 1
    assert time.monotonic() - began < 8


@pytest.mark.parametrize("read", ["", "/timeline", "/events"])
def test_a_read_right_after_a_command_sees_it(org: Org, read: str) -> None:
    for _ in range(10):
        made = org.trigger()
        assert org.get(f"/incidents/{made['number']}{read}")
        done: Any = org.do(made, "acknowledge")
        seen = org.get(f"/incidents/{made['id']}{read}")
        assert (seen["version"] if read == "" else len(seen["items"])) == done["version"]
