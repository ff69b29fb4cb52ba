"""An incident as it stood: by what was recorded, or by what had happened."""

from apitools import Org, at, problem


def test_an_incident_as_it_stood(org: Org) -> None:
    made = org.trigger("as of", "high", occurred_at=at(0))
    org.do(made, "acknowledge", occurred_at=at(60))
    org.do(made, "resolve", occurred_at=at(600))
    path = f"/incidents/{made['id']}"
    recorded = [event["recorded_at"] for event in org.get(path + "/events")["items"]]

    assert [org.get(path, as_of=when)["status"] for when in recorded] == ["triggered", "acknowledged", "resolved"]
    happened = [org.get(path, as_of=at(s), clock="occurred")["status"] for s in (0, 59, 60, 599.999, 600)]
    assert happened == ["triggered", "triggered", "acknowledged", "acknowledged", "resolved"]
    assert org.get(path, as_of=recorded[-1]) == org.get(path)
    problem(org.http.get(f"/api/v1{path}", params={"as_of": at(-1), "clock": "occurred"}), 404)
    problem(org.http.get(f"/api/v1{path}", params={"as_of": "yesterday"}), 422)
