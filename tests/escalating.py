"""What the tests of escalation share: people of a team, and a policy that climbs from one to the next."""

from typing import Any

from alerting import Alerting, Team, new_number

JSON = dict[str, Any]


def person(team: Team, name: str, number: str | None = None) -> str:
    """Somebody of the organisation who sees incidents. number: to be alerted on by a step alone. Their id."""
    body = {"name": name, "role": "responder", **({"whatsapp": number} if number else {})}
    made: str = team.post("/people", 201, **body)["id"]
    return made


def team_of(alerts: Alerting, names: str = "P0 P1 P2", **recipient: Any) -> Team:
    """An organisation with these people, each a recipient. recipient: what more is said of each."""
    team = alerts.team(people=0)
    for name in names.split():
        team.add(name, new_number(), person=person(team, name), **recipient)
    return team


def put(team: Team, path: str, **body: Any) -> None:
    answer = team.http.put(f"/api/v1{path}", json=body)
    assert answer.status_code == 200, answer.text


def to(team: Team, name: str) -> JSON:
    """A target of a step: a person by name, else everybody."""
    found = [each["person"] for each in team.people if each["name"] == name and each["person"]]
    return {"kind": "person", "id": found[0]} if found else {"kind": "everybody"}


def climbing(team: Team, *steps: tuple[float, str], owner: str = "shop", category: str = "outage") -> None:
    """Incidents of the category are that team's, whose policy has these steps: a wait in seconds and whom."""
    listed = [{"wait_s": wait, "targets": [to(team, name)]} for wait, name in steps]
    put(team, f"/escalation-policies/of {owner}", steps=listed)
    put(team, f"/teams/{owner}", policy=f"of {owner}")
    rules = [rule for rule in team.get("/routing-rules")["rules"] if rule["name"] != owner]
    put(
        team,
        "/routing-rules",
        rules=[*rules, {"name": owner, "team": owner, "conditions": {"categories": [category]}}],
    )


def alerted(team: Team, incident: JSON) -> list[str]:
    """Whom Meta was given an alert of this incident for, in order."""
    names = {each["whatsapp"].lstrip("+"): each["name"] for each in team.people}
    return [names[message["to"]] for message in sorted(team.messages(incident), key=lambda m: m["received_at"])]


def timers(alerts: Alerting, incident: JSON) -> list[JSON]:
    """Its timers, in order, with their state."""
    query = "select number, state from escalation.timers where incident_id = %s order by cause_position, number"
    return alerts.sql(query, incident["id"])
