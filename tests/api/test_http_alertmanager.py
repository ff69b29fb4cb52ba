"""Alertmanager's webhook: one open incident per group, storms counted in full, and nothing lost."""

import copy
import json
import os
import random
import threading
from typing import Any
from uuid import uuid4

import httpx
import pytest
from apitools import DATA, Org, Poster, about_incidents, at_once, problem, refused_field
from running import until

CAPTURES = DATA / "alertmanager-captures"


def _captured(number: int) -> dict[str, Any]:
    path = CAPTURES / f"am_webhook_{number}.json"
    if not path.exists() and os.environ.get("CI") != "true":
        pytest.skip(f"{path} is absent")
    return json.loads(path.read_text("utf-8"))


def group(key: str | None = None, status: str = "firing", alerts: int = 1, **labels: str) -> dict[str, Any]:
    """A group of alerts as Alertmanager posts it."""
    labels = {"alertname": "Made", **labels}
    return {
        "version": "4",
        "status": status,
        "groupKey": key or f"{{}}:{{n={uuid4()}}}",
        "groupLabels": labels,
        "commonLabels": labels,
        "alerts": [
            {
                "status": status,
                "labels": {**labels, "n": str(n)},
                "annotations": {"summary": f"s{n}"},
                "fingerprint": f"{n:016x}",
                "startsAt": "2026-01-05T12:00:00Z",
            }
            for n in range(alerts)
        ],
    }


def _accepted(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 202, answer.text
    return answer.json()


def _counted(org: Org, incident: str, count: int) -> dict[str, Any]:
    until(lambda: org.get(f"/incidents/{incident}")["alert_count"] >= count, within_s=20, what=f"{count} alerts")
    shown = org.get(f"/incidents/{incident}")
    assert shown["alert_count"] == count
    return shown


@pytest.mark.parametrize("whole", [True, False], ids=["whole file", "its body"])
def test_the_captured_alert_opens_and_resolves_one_critical_incident(own: Org, post: Poster, whole: bool) -> None:
    firing, resolved = _captured(3), _captured(7)
    sent, over = (firing, resolved) if whole else (firing["body"], resolved["body"])
    path = own.integration(name="Prom EU", default_category="performance")

    told = _accepted(post(path, sent))

    (incident,) = own.get("/incidents")["items"]
    assert told["incident"] == {"id": incident["id"], "number": incident["number"]}
    assert (incident["severity"], incident["status"], incident["alert_count"]) == ("critical", "triggered", 1)
    assert (incident["category"], incident["source"]) == ("performance", "alertmanager")
    assert "HighErrorRate" in incident["title"] and "5xx > 5%" in incident["title"]
    assert incident["labels"]["service"] == "checkout"
    assert incident["dedup_key"] == firing["body"]["groupKey"]
    (event,) = own.events(incident)
    assert event["payload"]["actor"]["kind"] == "integration"
    assert event["payload"]["alerts"][0]["fingerprint"] == "7d2d332feada5c59"
    item = own.get(f"/incidents/{incident['id']}/timeline")["items"][0]
    assert item["actor"]["name"] == "Prom EU"

    _accepted(post(path, over))
    closed = own.get(f"/incidents/{incident['id']}")
    assert (closed["status"], closed["time_to_acknowledge_s"]) == ("resolved", None)
    _accepted(post(path, over))  # Alertmanager repeats itself
    assert len(own.events(incident)) == 2
    again = _accepted(post(path, sent))
    assert again["incident"]["id"] != incident["id"]
    assert len(own.get("/incidents")["items"]) == 2


def test_a_storm_of_a_thousand_is_one_incident_with_few_events(own: Org, product: Any) -> None:
    sent = _captured(3)["body"]
    path = own.integration()

    def work(_: int) -> set[int]:
        poster = Poster(product.url)
        statuses = {poster(path, sent).status_code for _ in range(1000 // 16 + (_ < 1000 % 16))}
        poster.close()
        return statuses

    statuses = at_once(16, work)

    assert set().union(*statuses) == {202}
    (incident,) = own.get("/incidents")["items"]
    shown = _counted(own, incident["id"], 1000)
    events = own.events(shown)
    assert len(events) <= 50
    counts = [sum(a["count"] for a in e["payload"]["alerts"]) for e in events]
    assert sum(counts) == 1000
    assert all(e["payload"]["count"] == c for e, c in zip(events[1:], counts[1:], strict=True))
    assert own.http.post(f"/api/v1/incidents/{incident['id']}/acknowledge").status_code == 200


def test_every_alert_of_a_group_counts_and_resolved_ones_do_not(own: Org, post: Poster) -> None:
    path, sent = own.integration(), group(alerts=5)
    sent["alerts"][0]["status"] = "resolved"
    told = _accepted(post(path, sent))
    _accepted(post(path, sent))

    _counted(own, told["incident"]["id"], 8)


def test_more_kinds_of_alerts_than_are_listed_are_all_counted(own: Org, post: Poster) -> None:
    path, sent = own.integration(), group(alerts=250)
    told = _accepted(post(path, sent))
    _accepted(post(path, sent))

    shown = _counted(own, told["incident"]["id"], 500)
    for event in own.events(shown):
        assert sum(a["count"] for a in event["payload"]["alerts"]) == 250


def test_other_groups_integrations_and_long_keys_are_other_incidents(own: Org, post: Poster) -> None:
    path, elsewhere = own.integration(), own.integration(name="Other")
    long = "{}:{" + "n" * 3000
    cyrillic = "".join(random.Random(7).choices("абвгдежзийклмнопрстуфхцчшщъыьэюя", k=5000))
    keys = ["a", "A", "a ", long + "1", long + "2", long[:2000], cyrillic, cyrillic + "я", "\U0001f600" * 600]

    opened = [_accepted(post(p, group(key)))["incident"]["id"] for p in (path, elsewhere) for key in keys]
    again = [_accepted(post(p, group(key)))["incident"]["id"] for p in (path, elsewhere) for key in keys]

    assert len(set(opened)) == 2 * len(keys)
    assert again == opened
    for key in keys:
        assert _accepted(post(path, group(key, "resolved")))["incident"]
    statuses = {i["id"]: i["status"] for i in own.get("/incidents", limit=200)["items"]}
    assert [statuses[id] for id in opened] == ["resolved"] * len(keys) + ["triggered"] * len(keys)


def test_a_group_without_a_key_is_known_by_its_labels(own: Org, post: Poster) -> None:
    path, first, second = own.integration(), group(a="1"), group(a="2")
    for sent in (first, second):
        del sent["groupKey"]

    ids = [_accepted(post(path, sent))["incident"]["id"] for sent in (first, second, first)]

    assert ids[0] == ids[2] != ids[1]


def test_firing_after_a_person_resolved_opens_a_new_one(own: Org, post: Poster) -> None:
    path, sent = own.integration(), group("k")
    first = _accepted(post(path, sent))["incident"]
    own.do(first, "resolve", note="by hand")
    second = _accepted(post(path, sent))["incident"]
    assert second["id"] != first["id"]

    answer = own.http.post(f"/api/v1/incidents/{first['id']}/reopen", json={"reason": "was not over"})

    told = problem(answer, 409)
    assert second["number"] in told["detail"]
    own.do(second, "resolve")
    assert own.do(first, "reopen", reason="now")["status"] == "investigating"
    assert _accepted(post(path, sent))["incident"]["id"] == first["id"]
    _accepted(post(path, group("k", "resolved")))
    assert own.get(f"/incidents/{first['id']}")["status"] == "resolved"


def test_alerts_of_a_merged_incident_count_where_it_went(own: Org, post: Poster) -> None:
    path = own.integration()
    heir = own.trigger("The real one")
    merged = _accepted(post(path, group("k")))["incident"]
    _accepted(post(path, group("k")))  # waits in the intake while its incident is merged
    own.do(merged, "merge", into=heir["id"])
    assert _accepted(post(path, group("k")))["incident"]["id"] == heir["id"]

    until(lambda: len(own.events(merged)) + len(own.events(heir)) >= 5, within_s=15, what="the intake")
    _counted(own, heir["id"], 3)
    _accepted(post(path, group("k", "resolved")))
    shown = own.get(f"/incidents/{heir['id']}")
    assert shown["status"] == "triggered"
    assert own.events(heir)[-1]["type"] == "UpdatePosted"


def test_resolved_without_an_open_one_is_taken_and_nothing_happens(own: Org, post: Poster) -> None:
    assert _accepted(post(own.integration(), group(status="resolved")))["incident"] is None
    assert own.get("/incidents")["items"] == [] and about_incidents(own.get("/ledger/events")["items"]) == []


def test_unknown_and_disabled_keys(own: Org, post: Poster, sql: Any) -> None:
    for key in ("nobody", "fdi_", "x" * 5000, "%00", "%ff", own.token, "\u2602"):
        problem(post(f"/api/v1/integrations/{key}/alertmanager", group()), 404)
    path = own.integration(name="Gone")
    _accepted(post(path, group()))
    sql.execute("update access.integrations set disabled_at = now() where organization_id = %s", (own.id,))
    until(lambda: post(path, group()).status_code == 404, within_s=3, what="the integration to end")


@pytest.mark.parametrize(
    ("word", "severity"),
    [
        ("critical", "critical"),
        ("page", "critical"),
        ("CRITICAL", "critical"),
        ("error", "high"),
        ("P2", "high"),
        ("warning", "medium"),
        ("Warn", "medium"),
        ("info", "low"),
        ("none", "low"),
        (" low ", "low"),
    ],
)
def test_severity_words(org: Org, post: Poster, word: str, severity: str) -> None:
    path = org.integration(default_severity="high" if severity != "high" else "low")
    told = _accepted(post(path, group(severity=word)))

    assert org.get(f"/incidents/{told['incident']['id']}")["severity"] == severity


def test_defaults_where_labels_say_nothing_known(org: Org, post: Poster) -> None:
    plain, with_defaults = org.integration(), org.integration(default_severity="low", default_category="security")
    shown = []
    for path in (plain, with_defaults):
        for labels in ({}, {"severity": "purple", "category": "nonsense"}, {"category": "Data"}):
            told = _accepted(post(path, group(**labels)))
            incident = org.get(f"/incidents/{told['incident']['id']}")
            shown.append((incident["severity"], incident["category"]))

    assert shown == [
        ("medium", None),
        ("medium", None),
        ("medium", "data"),
        ("low", "security"),
        ("low", "security"),
        ("low", "data"),
    ]


def test_the_worst_severity_of_the_group_counts(org: Org, post: Poster) -> None:
    sent = group(alerts=3)
    for alert, severity in zip(sent["alerts"], ("info", "critical", "warning"), strict=True):
        alert["labels"]["severity"] = severity
    told = _accepted(post(org.integration(), sent))

    assert org.get(f"/incidents/{told['incident']['id']}")["severity"] == "critical"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "", "kind": "alertmanager"}, "name"),
        ({"kind": "alertmanager"}, "name"),
        ({"name": "n"}, "kind"),
        ({"name": "a\0", "kind": "alertmanager"}, "name"),
        ({"name": "n", "kind": "alertmanager", "default_severity": "urgent"}, "default_severity"),
        ({"name": 5, "kind": "alertmanager"}, "name"),
        ({"name": "n", "kind": "alertmanager", "default_category": "x"}, "default_category"),
        ({"name": "n", "kind": "alertmanager", "key": "mine"}, "key"),
    ],
)
def test_integrations_are_checked(org: Org, body: dict[str, Any], field: str) -> None:
    answer = org.http.post("/api/v1/integrations", json=body)
    assert refused_field(answer, field)["status"] == 422


def test_the_real_payloads_of_others(own: Org, post: Poster) -> None:
    folder = DATA / "alert-payloads"
    if not folder.exists() and os.environ.get("CI") != "true":
        pytest.skip(f"{folder} is absent")
    path = own.integration()
    taken = []
    for file in sorted(folder.glob("*.json")):
        sent = json.loads(file.read_text("utf-8"))
        for payload in [sent, *(each.get("payload", each) for each in _parts(sent))]:
            answer = post(path, payload)
            if answer.status_code == 202:
                taken.append(file.name)
            else:
                refused_field(answer, "")
    assert {
        "alerta_prometheus_v3_alert.json",
        "alerta_prometheus_v4_alert.json",
        "keep_grafana12_webhook.json",
    } <= set(taken)
    assert len(own.get("/incidents")["items"]) >= 3


def _parts(sent: Any) -> list[Any]:
    return [each for each in (sent.values() if isinstance(sent, dict) else sent) if isinstance(each, dict)]


def test_odd_characters_in_labels_are_no_reason_to_lose_an_alert(own: Org, product: Any) -> None:
    path = own.integration()
    sent = json.dumps(
        group("odd\x00\ud800key", **{"a\x00b": "c\x00", "l\udfff": "\ud83d", "\U0001f600": "\U0001f600\u202e"})
    )
    assert "\\u0000" in sent and "\\ud800" in sent

    first = httpx.post(product.url + path, content=sent)
    again = httpx.post(product.url + path, content=sent)

    incident = _accepted(first)["incident"]
    assert _accepted(again)["incident"] == incident
    shown = _counted(own, incident["id"], 2)
    assert shown["labels"]["\U0001f600"] == "\U0001f600\u202e"
    _accepted(httpx.post(product.url + path, content=sent.replace("firing", "resolved")))
    assert own.get(f"/incidents/{incident['id']}")["status"] == "resolved"


NOT_GROUPS: list[Any] = [
    b"",
    b"{",
    b"null",
    b"[]",
    b"5",
    b'"x"',
    b"{}",
    b"\xff",
    b'{"status":5}',
    b'{"status":null}',
    b'{"alerts":[]}',
    b'{"status":"firing","alerts":{}}',
    b'{"status":"firing","alerts":[5]}',
    b'{"status":"firing","alerts":null}',
    b'{"status":"firing","commonLabels":{"a":5}}',
    b'{"status":"firing","commonLabels":[]}',
    b'{"status":"firing","groupKey":5}',
    b'{"status":"firing","alerts":[{"labels":{"a":{"b":"c"}}}]}',
    b'{"method":1,"path":2,"body":3}',
    *[
        b'{"status":"firing","x":' + b"[" * depth + b"]" * depth + b"}"
        for depth in (480, 600, 900, 985, 5000, 100_000)
    ],
    *[
        b'{"status":"firing","x":' + b'{"a":' * depth + b"1" + b"}" * depth + b"}"
        for depth in (480, 600, 900, 5000)
    ],
    b'{"status":"firing","x":' + b"9" * 5000 + b"}",
]


@pytest.mark.parametrize("body", NOT_GROUPS, ids=lambda body: f"{body[:32]!r} {len(body)}")
def test_what_is_no_group_is_refused_or_taken_but_never_our_fault(org: Org, product: Any, body: bytes) -> None:
    path = _path(org)
    answer = httpx.post(product.url + path, content=body, headers={"Content-Type": "application/json"}, timeout=30)

    if answer.status_code != 202:
        refused_field(answer, "")
    else:
        assert json.loads(body)["status"] == "firing"


_paths: dict[str, str] = {}


def _path(org: Org) -> str:
    if org.id not in _paths:
        _paths[org.id] = org.integration()
    return _paths[org.id]


def test_wide_and_long_alerts_are_taken(own: Org, post: Poster) -> None:
    sent = group("wide", alerts=300, **{f"label{n}": "v" * 100 for n in range(150)})
    for alert in sent["alerts"]:
        alert["labels"] = {"alertname": "x" * 1000}
    sent["commonAnnotations"] = {"summary": "\U0001f600" * 5000, "description": "d" * 100_000}
    told = _accepted(post(own.integration(), sent))

    shown = own.get(f"/incidents/{told['incident']['id']}")
    assert (len(shown["title"]), len(shown["labels"]), shown["alert_count"]) == (300, 100, 300)


def test_no_alert_is_lost_while_its_incident_is_resolved_again_and_again(own: Org, product: Any) -> None:
    path, sent = own.integration(), group("race")
    posts, done = 12 * 25, threading.Event()

    def alert(_: int) -> None:
        poster = Poster(product.url)
        for _ in range(posts // 12):
            _accepted(poster(path, copy.deepcopy(sent)))
        poster.close()

    def resolve() -> None:
        over = group("race", "resolved")
        poster, http = Poster(product.url), own.client()
        while not done.is_set():
            _accepted(poster(path, over))
            for item in http.get("/api/v1/incidents", params={"status": "open"}).json()["items"]:
                http.post(f"/api/v1/incidents/{item['id']}/resolve")
        poster.close()
        http.close()

    resolving = threading.Thread(target=resolve)
    resolving.start()
    try:
        at_once(12, alert)
    finally:
        done.set()
        resolving.join()

    def total() -> int:
        return sum(i["alert_count"] for i in own.get("/incidents", limit=200)["items"])

    assert own.get("/incidents", limit=200)["next_cursor"] is None
    until(lambda: total() >= posts, within_s=20, what=f"{posts} alerts")
    assert total() == posts
    incidents = own.get("/incidents", limit=200)["items"]
    assert len(incidents) > 1
    assert sum(i["status"] != "resolved" for i in incidents) <= 1


def test_fifty_first_alerts_at_once_open_one(own: Org, product: Any) -> None:
    path, sent = own.integration(), group("first")
    posters = [Poster(product.url) for _ in range(50)]

    answers = at_once(50, lambda n: posters[n](path, sent))

    told = [_accepted(a) for a in answers]
    assert len({t["incident"]["id"] for t in told}) == 1
    assert sum(t["created"] for t in told) == 1
    _counted(own, told[0]["incident"]["id"], 50)
    for poster in posters:
        poster.close()
