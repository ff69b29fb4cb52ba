"""What people answer on WhatsApp: taps and texts become commands, and everybody is told what came of it."""

import hashlib
import hmac
import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from alerting import JSON, NUMBER_ID, SECRET, Alerting, Team, alerting, at_once, child, paused
from running import until


@pytest.fixture(scope="module")
def alerts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Alerting]:
    with alerting(tmp_path_factory.mktemp("taps"), "--keep", "5000") as running:
        yield running
        said = running.product.log.read_text()
        assert "Traceback" not in said, said[said.index("Traceback") :][-4000:]


@pytest.fixture(autouse=True)
def _well(alerts: Alerting) -> Iterator[None]:
    yield
    alerts.sandbox.behave()


def alerted(team: Team, severity: str = "critical", **more: Any) -> tuple[JSON, dict[str, JSON]]:
    """An incident, and the alert of each person, by their name."""
    incident = team.trigger(severity, **more)
    found = {each["to"]: each for each in team.arrives(incident, len(team.people))}
    return incident, {person["name"]: found[person["whatsapp"].lstrip("+")] for person in team.people}


def acknowledged(team: Team, incident: JSON) -> JSON:
    """Wait for the event."""
    until(lambda: team.types(incident)["IncidentAcknowledged"], what="the acknowledgement")
    (event,) = [each for each in team.all_of(incident, "events") if each["type"] == "IncidentAcknowledged"]
    return event


def replies(team: Team) -> list[str]:
    """What the product answers these people, whether Meta takes it or not."""
    query = (
        "select content ->> 'text' as text from notify.deliveries where kind = 'reply' and organization_id = %s"
    )
    return [each["text"] for each in team.alerts.sql(query, team.id)]


def test_a_tap_acknowledges_as_that_person_and_everybody_sees_it(alerts: Alerting) -> None:
    team = alerts.team(2)
    incident, message = alerted(team)
    heard: list[str] = []
    began = threading.Event()

    def listen() -> None:
        with (
            httpx.Client(base_url=team.http.base_url, headers=team.http.headers, timeout=30) as http,
            http.stream("GET", f"/api/v1/incidents/{incident['id']}/stream") as answer,
        ):
            for line in answer.iter_lines():
                began.set()
                heard.append(line)
                if "IncidentAcknowledged" in line:
                    return

    thread = threading.Thread(target=listen)
    thread.start()
    assert began.wait(10)
    alerts.sandbox.tap(message["P0"])
    thread.join(10)
    assert not thread.is_alive()
    (shown,) = [line for line in heard if "IncidentAcknowledged" in line]
    assert '"whatsapp"' in shown

    event = acknowledged(team, incident)
    assert event["payload"]["actor"] == {"kind": "whatsapp", "id": team.people[0]["id"]}
    (item,) = [each for each in team.all_of(incident, "timeline") if each["type"] == "IncidentAcknowledged"]
    assert (item["actor"]["kind"], item["actor"]["name"], item["actor"]["via"]) == ("whatsapp", "P0", "whatsapp")
    answer = team.answer(team.people[0]["whatsapp"])
    assert answer["text"].startswith(f"You have {incident['number']} now: It is down\nAcknowledged at ")
    assert [each["title"] for each in answer["buttons"]] == ["Start work", "Resolve"]

    alerts.sandbox.tap(answer, "Start work")
    until(lambda: team.incident(incident)["status"] == "investigating")
    second = team.answer(team.people[0]["whatsapp"], after=1)
    assert "investigated by you" in second["text"]
    alerts.sandbox.tap(second, "Resolve")
    until(lambda: team.incident(incident)["status"] == "resolved")
    assert team.answer(team.people[0]["whatsapp"], after=2)["text"].startswith(f"{incident['number']} is resolved")
    assert not team.heard(team.people[1]["whatsapp"])


def test_a_tap_as_a_person_of_the_organisation(alerts: Alerting) -> None:
    team = alerts.team(0)
    (person,) = alerts.sql(
        "insert into access.people (id, organization_id, name, role)"
        " values (gen_random_uuid(), %s, 'Rosa', 'responder') returning id::text",
        team.id,
    )
    recipient = team.add("Rosa's phone", person=person["id"])
    incident, message = alerted(team)
    alerts.sandbox.tap(message["Rosa's phone"])
    assert acknowledged(team, incident)["payload"]["actor"] == {"kind": "whatsapp", "id": person["id"]}
    other, message = alerted(team)
    alerts.sql("update access.people set role = 'member' where id = %s", person["id"])
    alerts.sandbox.tap(message["Rosa's phone"])
    assert "no responder any more" in team.answer(recipient["whatsapp"], after=1)["text"]
    assert team.incident(other)["status"] == "triggered"


def test_a_tap_repeated_and_one_after_it_is_resolved(alerts: Alerting) -> None:
    team = alerts.team(2)
    (first, second) = (person["whatsapp"] for person in team.people)
    incident, message = alerted(team)
    alerts.sandbox.tap(message["P0"])
    assert team.answer(first)["text"].startswith("You have ")
    alerts.sandbox.tap(message["P0"])
    again = team.answer(first, after=1)["text"]
    assert again.startswith(f"You have already acknowledged {incident['number']}, at ")
    alerts.sandbox.tap(message["P1"])
    assert team.answer(second)["text"].startswith(f"P0 has already acknowledged {incident['number']}, at ")
    team.do(incident, "resolve")
    alerts.sandbox.tap(message["P1"])
    late = team.answer(second, after=1)["text"]
    assert late.startswith(f"Ada Admin has already resolved {incident['number']}, at "), late
    assert team.types(incident)["IncidentAcknowledged"] == 1
    assert team.types(incident)["IncidentResolved"] == 1


def test_two_people_at_once_are_one_acknowledgement(alerts: Alerting) -> None:
    rounds = 12
    winners: Counter[str] = Counter()
    for _ in range(rounds):
        team = alerts.team(2)
        incident, message = alerted(team)
        at_once(*(lambda m=m: alerts.sandbox.tap(m) for m in message.values()))  # type: ignore[misc]
        said = {person["name"]: team.answer(person["whatsapp"])["text"] for person in team.people}
        assert team.types(incident)["IncidentAcknowledged"] == 1
        actor = acknowledged(team, incident)["payload"]["actor"]["id"]
        (winner,) = [person["name"] for person in team.people if person["id"] == actor]
        loser = "P1" if winner == "P0" else "P0"
        assert said[winner].startswith(f"You have {incident['number']} now")
        assert said[loser].startswith(f"{winner} has already acknowledged {incident['number']}, at ")
        winners[winner] += 1
    print(f"who was first: {dict(winners)}")


def test_a_tap_and_a_click_at_once_are_one_acknowledgement(alerts: Alerting) -> None:
    for _ in range(8):
        team = alerts.team(1)
        incident, message = alerted(team)
        statuses: list[int] = []

        def click(team: Team = team, incident: JSON = incident, statuses: list[int] = statuses) -> None:
            answer = team.http.post(f"/api/v1/incidents/{incident['id']}/acknowledge", json={})
            statuses.append(answer.status_code)

        at_once(click, lambda m=message["P0"]: alerts.sandbox.tap(m))  # type: ignore[misc]
        text = team.answer(team.people[0]["whatsapp"])["text"]
        actor = acknowledged(team, incident)["payload"]["actor"]["kind"]
        assert (statuses, actor) in (([200], "person"), ([409], "whatsapp"))
        assert text.startswith("You have " if actor == "whatsapp" else "Ada Admin has already acknowledged")


def test_texts_are_commands(alerts: Alerting) -> None:
    team = alerts.team(2)
    me = team.people[0]["whatsapp"]
    said = 0

    def say(text: str) -> str:
        nonlocal said
        alerts.sandbox.reply(me, text)
        answer = team.answer(me, after=said)
        said += 1
        return str(answer["text"])

    (one, two) = (alerted(team, title=title)[0] for title in ("First", "Second"))
    overview = say("status")
    assert "CRITICAL INC-1 triggered: First" in overview and "CRITICAL INC-2 triggered: Second" in overview
    assert [each["title"] for each in team.heard(me)[0]["buttons"]] == ["Ack INC-1", "Ack INC-2"]
    assert say("ack INC-1").startswith("You have INC-1 now: First")
    assert team.incident(one)["status"] == "acknowledged" and team.incident(two)["status"] == "triggered"
    assert say("Resolve inc-1 the cache was full").startswith("INC-1 is resolved")
    (resolved,) = [each for each in team.all_of(one, "timeline") if each["type"] == "IncidentResolved"]
    assert (resolved["body"], resolved["actor"]["name"]) == ("the cache was full", "P0")
    assert say("ack INC-999") == "There is no INC-999."
    assert say("ack") == "Which incident? Say its number too, as in: ack INC-12"
    assert "I understand" in say("help") and "I understand" in say("what is this?")

    alerts.sandbox.tap(team.heard(me)[0], "Ack INC-2")  # the other form of a tap
    assert team.answer(me, after=said)["text"].startswith("You have INC-2 now: Second")
    said += 1

    assert "no more alerts" in say("STOP")
    third = team.trigger("critical", "Third")
    team.have(third, read=1, failed=1)
    assert {each["to"] for each in team.messages(third)} == {team.people[1]["whatsapp"].lstrip("+")}
    assert "again" in say("start")
    alerted(team, title="Fourth")


def test_a_text_in_reply_to_an_alert_needs_no_number(alerts: Alerting) -> None:
    team = alerts.team(1)
    incident, message = alerted(team)
    alerted(team, title="Another")
    inbound(alerts, team.people[0]["whatsapp"], {"type": "text", "text": {"body": "ack"}}, message["P0"]["wamid"])
    acknowledged(team, incident)


def inbound(alerts: Alerting, number: str, content: JSON, context: str | None = None, **contact: Any) -> str:
    """Post what Meta would, with nothing in it that it does not have to hold. Its wamid."""
    wamid = f"wamid.{uuid4().hex}"
    told = {"from": number.lstrip("+"), "id": wamid, "timestamp": str(int(time.time())), **content}
    if context:
        told["context"] = {"id": context}
    value = {
        "messaging_product": "whatsapp",
        "metadata": {"phone_number_id": NUMBER_ID},
        "messages": [told],
        **contact,
    }
    entry = {"id": "1", "changes": [{"field": "messages", "value": value}]}
    raw = json.dumps({"object": "whatsapp_business_account", "entry": [entry]}).encode()
    signed = "sha256=" + hmac.new(SECRET.encode(), raw, hashlib.sha256).hexdigest()
    headers = {"X-Hub-Signature-256": signed, "Content-Type": "application/json"}
    for _ in range(2):  # as Meta does now and then
        answer = httpx.post(f"{alerts.product.url}/webhooks/whatsapp", content=raw, headers=headers)
        assert answer.status_code == 200, answer.text
    return wamid


@pytest.mark.parametrize("contacts", [[], [{}], [{"profile": {}}], [{"wa_id": None, "user_id": None}], None])
@pytest.mark.parametrize("form", ["button", "interactive"])
def test_a_tap_without_what_is_optional(alerts: Alerting, form: str, contacts: Any) -> None:
    team = alerts.team(1)
    incident, _ = alerted(team)
    payload = f"ack:{incident['id']}"
    content: JSON = (
        {"type": "button", "button": {"payload": payload}}
        if form == "button"
        else {"type": "interactive", "interactive": {"button_reply": {"id": payload}}}
    )
    inbound(alerts, team.people[0]["whatsapp"], content, contacts=contacts)
    assert acknowledged(team, incident)["payload"]["actor"]["id"] == team.people[0]["id"]
    until(alerts.settled)
    assert team.types(incident)["IncidentAcknowledged"] == 1


@pytest.mark.parametrize("mode", ["twice", "without_contacts", "without_user_id"])
def test_a_tap_as_meta_sends_it(alerts: Alerting, mode: str) -> None:
    team = alerts.team(1)
    alerts.sandbox.behave(statuses=mode)
    incident, message = alerted(team)
    alerts.sandbox.tap(message["P0"])
    acknowledged(team, incident)
    team.answer(team.people[0]["whatsapp"])
    until(alerts.settled)
    assert len(team.heard(team.people[0]["whatsapp"])) == 1


def test_a_stranger_is_ignored_and_their_words_are_kept_nowhere(alerts: Alerting) -> None:
    team = alerts.team(1)
    incident, _ = alerted(team)
    word = "Xylophonsaturn"
    stranger = "+4915777000001"
    inbound(alerts, stranger, {"type": "text", "text": {"body": f"ack {incident['number']} {word}"}})
    inbound(alerts, stranger, {"type": "button", "button": {"payload": f"ack:{incident['id']}", "text": word}})
    until(alerts.settled)
    assert team.incident(incident)["status"] == "triggered"
    assert not alerts.sandbox.messages(stranger)
    said = alerts.product.log.read_text()
    assert "from a number that is no recipient's was ignored" in said
    assert word not in said and stranger.lstrip("+") not in said
    with psycopg.connect(alerts.dsn, autocommit=True) as connection:
        tables = connection.execute(
            "select format('%I.%I', table_schema, table_name) from information_schema.tables"
            " where table_type = 'BASE TABLE' and table_schema not in ('pg_catalog', 'information_schema')"
        ).fetchall()
        assert ("notify.inbox",) in tables and ("ledger.events",) in tables
        for (table,) in tables:
            query = f"select count(*) from {table} t where t::text ~ '{word}|{stranger.lstrip('+')}'"
            if table == "ledger.events":
                query = f"select count(*) from {table} where convert_from(state, 'UTF8') ~ '{word}'"
            assert connection.execute(query.encode()).fetchone() == (0,), table


def test_another_organisation_s_incident_is_not_theirs(alerts: Alerting) -> None:
    team, other = alerts.team(1), alerts.team(1)
    incident, _ = alerted(team)
    alerted(other)
    inbound(
        alerts, other.people[0]["whatsapp"], {"type": "button", "button": {"payload": f"ack:{incident['id']}"}}
    )
    until(lambda: replies(other), what="a reply")
    assert replies(other) == ["There is no such incident."]
    assert team.incident(incident)["status"] == "triggered"


def test_taps_while_the_notifier_is_killed_again_and_again(alerts: Alerting) -> None:
    teams = [alerts.team(2) for _ in range(12)]
    rounds = [(team, *alerted(team)) for team in teams]
    for n, (_, _, message) in enumerate(rounds):
        at_once(*(lambda m=m: alerts.sandbox.tap(m) for m in message.values()))  # type: ignore[misc]
        if n % 3 == 1:
            os.kill(child(alerts.product, "notify"), signal.SIGKILL)
    with paused(child(alerts.product, "notify")):
        pass
    for team, incident, _ in rounds:
        acknowledged(team, incident)
    until(
        lambda: not alerts.sql("select 1 from notify.inbox where handled_at is null"),
        what="all taps to be handled",
    )
    for team, incident, _ in rounds:
        assert team.types(incident)["IncidentAcknowledged"] == 1
        said = sorted(each.split(" INC-")[0] for each in replies(team))
        assert len(said) == 2 and said[1] == "You have" and said[0].endswith("has already acknowledged"), said
    broken = alerts.sql("select outcome from notify.inbox where outcome like 'failed%%'")
    assert broken == []
