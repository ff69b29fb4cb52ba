"""Trends, the period before, load, hours and noise; and that each figure's link lists just what it counts."""

from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from apitools import Org, about_incidents, all_pages, at, problem, refused_field

from api.cohorts import MOST_LABELS
from commands.append import Append, NewEvent
from commands.event_store import LedgerDatastore, LedgerRecorder
from domain import events as e

COUNTS = ("incidents", "open", "acknowledged", "unacknowledged", "resolved", "reopened_incidents")


def listed(org: Org, link: str) -> list[dict[str, Any]]:
    """What is behind a link."""
    url = httpx.URL(link)
    assert url.path == "/api/v1/incidents" and not url.host
    pages = all_pages(org, "/incidents", **{name: url.params.get_list(name) for name in url.params}, limit=200)
    return [incident for page in pages for incident in page]


@pytest.fixture(scope="module")
def busy(new_org: Callable[..., Org]) -> Org:
    """Forty incidents of all kinds over four weeks, some of them merged away."""
    org = new_org()
    person = {"person": org.admin}
    for n in range(40):
        fields: dict[str, Any] = {"category": ("bug", "data", None)[n % 3], "team": ("A & B", "ü", None)[n % 3]}
        labels = ({"region": "eu"}, {"region": "a=b&c", "x": ""}, {})[n % 3]
        begin = n * 60_000.0
        severity = ("critical", "high", "medium", "low")[n % 4]
        fields = {name: value for name, value in fields.items() if value}
        made = org.trigger(f"{n}", severity, labels=labels, occurred_at=at(begin), **fields)
        if n % 5:
            org.do(made, "acknowledge", occurred_at=at(begin + n * 37.5))
        if n % 7 == 2:
            org.do(made, "assign", **person)
        if n % 3:
            org.do(made, "resolve", occurred_at=at(begin + n * 101))
        if n % 9 == 1:
            org.do(made, "reopen", reason="r", occurred_at=at(begin + n * 200 + 1))
        if n % 11 == 3:
            org.do(made, "merge", into=last["id"])  # noqa: F821
        last = made  # noqa: F841
    return org


GROUPS = ["none", "severity", "category", "team", "responder", "label:region", "label:x"]


@pytest.mark.parametrize("group_by", GROUPS)
def test_behind_each_figure_are_just_the_incidents_it_counts(busy: Org, group_by: str) -> None:
    asked = {"from": at(120_000), "to": at(2_000_000), "severity": "critical,high,low", "group_by": group_by}
    answer = busy.get("/analytics/summary", **asked)
    assert len(answer["groups"]) > (group_by != "none")
    for group in (*answer["groups"], answer["overall"]):
        behind = {name: listed(busy, link) for name, link in group["links"].items()}
        counted = {name: group[name] for name in COUNTS} | group["response_target"]
        counted |= {name: group[name]["n"] for name in ("tta", "ttr", "ttr_first")}
        counted |= {f"negative_{name}": group[name]["negative"] for name in ("tta", "ttr", "ttr_first")}
        assert {name: len(found) for name, found in behind.items()} == counted
        assert sum(i["reopen_count"] for i in behind["reopened_incidents"]) == group["reopenings"]
        assert sum(i["time_to_acknowledge_s"] for i in behind["tta"]) == pytest.approx(
            (group["tta"]["mean_s"] or 0) * group["tta"]["n"], abs=1e-3
        )
        assert all(i["response_breached"] for i in behind["breached"])
        assert not any(i["merged_into"] for found in behind.values() for i in found)


@pytest.mark.parametrize("interval", ["day", "week", "month"])
def test_a_trend_has_every_bucket_and_they_add_up(busy: Org, interval: str) -> None:
    asked = {"tz": "Asia/Kathmandu", "group_by": "category", "interval": interval}
    answer = busy.get("/analytics/trend", **asked, **{"from": "2026-01-02", "to": "2026-02-11"})
    whole = busy.get("/analytics/summary", **asked, **{"from": "2026-01-02", "to": "2026-02-11"})
    buckets = answer["buckets"]
    assert len(buckets) == {"day": 40, "week": 7, "month": 2}[interval]
    assert [bucket["to"] for bucket in buckets[:-1]] == [bucket["from"] for bucket in buckets[1:]]
    assert (buckets[0]["from"], buckets[-1]["to"]) == (
        "2026-01-01T18:15:00.000000Z",
        "2026-02-10T18:15:00.000000Z",
    )
    for name in COUNTS:
        assert sum(bucket["overall"][name] for bucket in buckets) == whole["overall"][name]
    for bucket in buckets:
        assert [group["key"] for group in bucket["groups"]] == ["bug", "data", None]
        assert sum(group["incidents"] for group in bucket["groups"]) == bucket["overall"]["incidents"]
        assert bucket["overall"]["tta"]["n"] or bucket["overall"]["tta"]["p50_s"] is None
        alone = busy.get("/analytics/summary", **{"from": bucket["from"], "to": bucket["to"]})["overall"]
        shown = bucket["overall"]
        assert {k: v for k, v in shown.items() if k != "link"} == {
            name: alone[name] for name in shown if name != "link"
        }
    linked = [(group, group["link"]) for bucket in buckets[:8] for group in (*bucket["groups"], bucket["overall"])]
    assert all(len(listed(busy, link)) == group["incidents"] for group, link in linked)
    assert answer["previous"]["to"] == answer["from"]
    assert {bucket["overall"]["incidents"] for bucket in answer["previous"]["buckets"]} == {0}


def test_days_across_changes_of_the_clock(own: Org) -> None:
    times = ("2026-03-28T22:30:00Z", "2026-03-28T23:30:00Z", "2026-03-29T21:30:00Z", "2026-03-29T22:30:00Z")
    for time in (*times, "2025-10-26T22:30:00Z", "2025-10-26T23:30:00Z"):
        own.trigger(occurred_at=time)

    def counts(start: str, end: str, **params: str) -> list[int]:
        asked = {"from": start, "to": end, "tz": "Europe/Berlin", "interval": "day", **params}
        return [bucket["overall"]["incidents"] for bucket in own.get("/analytics/trend", **asked)["buckets"]]

    assert counts("2026-03-28", "2026-03-31") == [1, 2, 1]
    assert counts("2025-10-25", "2025-10-28") == [0, 1, 1]
    assert counts("2026-03-28", "2026-03-31", tz="UTC") == [2, 2, 0]
    open_ended = own.get("/analytics/trend", tz="Europe/Berlin", interval="month")
    assert open_ended["from"] == "2025-09-30T22:00:00.000000Z"
    assert [bucket["overall"]["incidents"] for bucket in open_ended["buckets"]][:6] == [2, 0, 0, 0, 0, 4]
    assert "previous" not in open_ended
    assert own.get("/analytics/trend", to="2020-01-01")["buckets"] == []


def test_the_period_before_stands_beside_each_group(own: Org) -> None:
    for time, category in (
        ("2026-02-01T00:00:00Z", "bug"), ("2026-02-28T23:59:59Z", "bug"), ("2026-01-31T23:59:59Z", "bug"),
        ("2026-02-10T00:00:00Z", "data"), ("2026-03-31T12:00:00Z", "bug"), ("2026-03-01T00:00:00Z", "outage"),
    ):  # fmt: skip
        own.trigger(category=category, occurred_at=time)
    march = {"from": "2026-03-01", "to": "2026-04-01", "group_by": "category"}
    answer = own.get("/analytics/summary", **march)
    assert answer["previous"]["from"] == "2026-02-01T00:00:00.000000Z"
    assert answer["previous"]["to"] == answer["from"] == "2026-03-01T00:00:00.000000Z"
    was = {group["key"]: group["previous"]["incidents"] for group in answer["groups"]}
    assert was == {"bug": 2, "outage": 0}
    assert [(group["key"], group["incidents"]) for group in answer["previous"]["gone"]] == [("data", 1)]
    assert answer["overall"]["previous"]["incidents"] == 3
    assert len(listed(own, answer["overall"]["previous"]["links"]["incidents"])) == 3
    assert "previous" not in own.get("/analytics/summary", to="2026-04-01")


def test_filters_by_label_responder_and_source(busy: Org) -> None:
    def count(**params: Any) -> int:
        return int(busy.get("/analytics/summary", **params)["overall"]["incidents"])

    everything = count()
    eu, other = count(**{"label:region": "eu"}), count(**{"label:region": "a=b&c"})
    assert eu and other and count(**{"label:region": ["eu", "a=b&c"]}) == eu + other
    assert count(unlabelled="region") == everything - eu - other
    assert count(**{"label:region": "a=b&c", "label:x": ""}) == other
    assert count(**{"label:region": "eu", "label:x": ""}) == 0
    assert count(responder=busy.admin) + count(responder="none") == everything
    assert count(source="api") == everything and count(source="alertmanager") == 0
    assert count(responder=str(uuid4())) == 0


@pytest.fixture
def told(sql: psycopg.Connection[Any]) -> Iterator[Callable[..., None]]:
    """Records that an alert was sent, as the notifier does."""
    store = LedgerRecorder(LedgerDatastore(sql.info.dsn))

    def record(org: Org, incident: dict[str, Any], recipient: str, when: str) -> None:
        version = len(org.events(incident)) + 1
        event = e.AlertSent.model_validate(
            {
                "organization_id": org.id,
                "actor": {"kind": "system"},
                "occurred_at": when,
                "correlation_id": uuid4(),
                "causation_id": uuid4(),
                "delivery_id": uuid4(),
                "recipient_id": recipient,
                "channel": "email",
                "attempt": 1,
            }
        )
        (result,) = store.append([Append(events=[NewEvent(incident["id"], version, event)])])
        assert result.outcome == "appended"
        answer = org.http.get("/api/v1/analytics/noise", headers={"Ledger-Position": str(result.position)})
        assert answer.status_code == 200

    yield record
    store.close()


def test_load_of_each_responder(own: Org, told: Callable[..., None]) -> None:
    mine = {"name": "Ada", "whatsapp": "+15550107001", "severities": ["low"], "person": own.admin}
    hers = {"name": "Eve", "whatsapp": "+15550107002", "severities": ["low"]}
    recipients = [
        own.http.post("/api/v1/notifications/recipients", json=body).json()["id"] for body in (mine, hers)
    ]
    one, two, merged = (own.trigger(occurred_at=at(0)) for _ in range(3))
    for incident, begin, end in ((one, 0, 3600), (two, 1800, 5400), (merged, 0, 9000)):
        own.do(incident, "acknowledge", occurred_at=at(begin))
        own.do(incident, "resolve", occurred_at=at(end))
        # at 13:30 on a Monday, and at 7:30 and 18:00 on a Saturday and a Monday: in New York five hours earlier
        for when in ("2026-01-05T13:30:00Z", "2026-01-10T07:30:00Z", "2026-01-05T18:00:00Z"):
            told(own, incident, recipients[0], when)
    told(own, one, recipients[1], "2026-01-05T13:30:00Z")
    own.do(merged, "merge", into=one["id"])

    def load(**params: str) -> dict[str, Any]:
        return {row["responder"]: row for row in own.get("/analytics/load", **params)["responders"]}

    ada, eve = (load()[id] for id in (own.admin, recipients[1]))
    assert (ada["alerts"], ada["out_of_hours_alerts"], ada["alerted"], ada["engaged"]) == (6, 4, 2, 2)
    assert (ada["engaged_s"], ada["tz"]) == (5400.0, "UTC")
    assert (eve["alerts"], eve["out_of_hours_alerts"], eve["engaged_s"], eve["name"]) == (1, 0, 0.0, "Eve")
    for who, row in load().items():
        for name, link in row["links"].items():
            assert len(listed(own, link)) == row[name], (who, name)
    assert load(tz="America/New_York")[recipients[1]]["out_of_hours_alerts"] == 1
    assert own.http.patch("/api/v1/me", json={"time_zone": "America/New_York"}).status_code == 200
    ada = load()[own.admin]
    assert (ada["out_of_hours_alerts"], ada["tz"]) == (4, "America/New_York")  # 8:30 instead of 18:00
    own.do(one, "correct", resolved_at=at(7200))
    assert load()[own.admin]["engaged_s"] == 7200.0
    assert load(**{"from": at(1)}) == {}


def test_zones_that_python_and_the_database_read_differently(own: Org) -> None:
    own.trigger(occurred_at="2026-07-06T12:30:00Z")  # a Monday in summer
    for zone, hour in (("CET", 14), ("MET", 14), ("EET", 15), ("WET", 13), ("EST5EDT", 8), ("UTC", 12)):
        days = own.get("/analytics/hours", tz=zone)["days"]
        assert days[0].index(1) == hour, zone
        assert len(own.get("/incidents", hour_of_week=hour, tz=zone)["items"]) == 1, zone
    for zone in ("posix/Europe/Berlin", "localtime", "Factory"):
        problem(own.http.get("/api/v1/analytics/hours", params={"tz": zone}), 422)
        problem(own.http.patch(f"/api/v1/people/{own.admin}", json={"time_zone": zone}), 422)


def test_the_future_is_now(own: Org) -> None:
    made = own.trigger("Open", "critical")
    later = {"as_of": "2099-01-01T00:00:00Z"}
    assert own.get("/analytics/summary", **later)["overall"]["response_target"]["breached"] == 0
    assert not own.get(f"/incidents/{made['id']}", **later)["response_breached"]
    assert own.get("/analytics/summary", **later)["as_of"] < "2090"


def test_hours_of_the_week(own: Org) -> None:
    for time in ("2026-01-05T00:30:00Z", "2026-01-05T00:45:00Z", "2026-01-11T23:30:00Z", "2026-07-06T00:30:00Z"):
        own.trigger(occurred_at=time)
    utc = own.get("/analytics/hours")
    assert (utc["days"][0][0], utc["days"][6][23], utc["incidents"]) == (3, 1, 4)
    assert len(utc["days"]) == 7 and all(len(day) == 24 for day in utc["days"])
    berlin = own.get("/analytics/hours", tz="Europe/Berlin")
    assert (berlin["days"][0][0], berlin["days"][0][1], berlin["days"][0][2]) == (1, 2, 1)
    for hour in (0, 1, 2, 3, 167):
        assert len(listed(own, f"{berlin['link']}{hour}")) == berlin["days"][hour // 24][hour % 24]


def test_noise_by_source(own: Org) -> None:
    path = own.integration(default_severity="low")
    alert = {"status": "firing", "labels": {"alertname": "A"}, "startsAt": at(0), "fingerprint": "f1"}
    for _ in range(3):
        body = {
            "version": "4",
            "groupKey": "g",
            "status": "firing",
            "alerts": [alert, {**alert, "fingerprint": "f2"}],
        }
        assert own.http.post(path, json=body).status_code == 202
    mine = own.trigger()
    own.do(mine, "acknowledge")
    answer = own.get("/analytics/noise")
    sources = {row["source"]: row for row in answer["sources"]}
    loud = sources["alertmanager"]
    assert (loud["incidents"], loud["unacknowledged"], loud["unacknowledged_share"]) == (1, 1, 1.0)
    assert loud["alerts"] >= 2 and loud["alerts_per_incident"] == loud["alerts"]
    quiet = {
        "incidents": 1,
        "alerts": 0,
        "alerts_per_incident": 0.0,
        "unacknowledged": 0,
        "unacknowledged_share": 0.0,
    }
    assert {name: sources["api"][name] for name in quiet} == quiet
    overall = answer["overall"]
    assert (overall["source"], overall["incidents"], overall["unacknowledged_share"]) == (None, 2, 0.5)
    for row in (overall, *answer["sources"]):
        assert {name: len(listed(own, link)) for name, link in row["links"].items()} == {
            name: row[name] for name in row["links"]
        }


def test_each_incident_explains_its_figures(own: Org) -> None:
    made = own.trigger(severity="critical", occurred_at=at(0))
    own.do(made, "acknowledge", occurred_at=at(400))
    own.do(made, "resolve", occurred_at=at(1000))
    own.do(made, "correct", acknowledged_at=at(100))
    events = about_incidents(own.events(made))
    found = own.get(f"/incidents/{made['number']}/figures")
    assert (found["number"], found["counted"], found["response_target_s"]) == (made["number"], True, 300)
    tta = found["figures"]["tta"]
    assert (tta["result"], tta["rule"][:7]) == (100.0, "Seconds")
    used = [events[n] for n in (0, 1, 3)]
    assert tta["events"] == [
        {"position": x["position"], "type": x["type"], "occurred_at": x["payload"]["occurred_at"],
         "recorded_at": x["recorded_at"]} for x in used
    ]  # fmt: skip
    assert found["figures"]["response_target"]["result"] == "met"
    then = own.get(f"/incidents/{made['id']}/figures", as_of=events[2]["recorded_at"])
    assert (then["figures"]["tta"]["result"], then["figures"]["response_target"]["result"]) == (400.0, "breached")
    own.do(made, "merge", into=own.trigger()["id"])
    assert own.get(f"/incidents/{made['id']}/figures")["counted"] is False
    assert own.http.get(f"/api/v1/incidents/{uuid4()}/figures").status_code == 404


def test_reports_as_they_were(own: Org) -> None:
    """What each report said then is what it says as of then, links and all, whatever was put right since."""
    paths = {
        "summary": {"group_by": "severity", "from": at(-10_000), "to": at(90_000)},
        "trend": {"interval": "day", "from": at(-10_000), "to": at(90_000), "group_by": "team"},
        "load": {}, "hours": {}, "noise": {},
    }  # fmt: skip

    def reports(**as_of: str) -> dict[str, Any]:
        return {path: own.get(f"/analytics/{path}", **params, **as_of) for path, params in paths.items()}

    def without(found: Any) -> Any:
        """But for the links and the moment, which say as of when."""
        if isinstance(found, list):
            return [without(each) for each in found]
        told = ("link", "links", "as_of")
        return {k: without(v) for k, v in found.items() if k not in told} if isinstance(found, dict) else found

    one, two = own.trigger(severity="low", occurred_at=at(0)), own.trigger(team="A", occurred_at=at(50))
    own.do(one, "acknowledge", occurred_at=at(100))
    own.do(one, "resolve", occurred_at=at(1000))
    before, moment = reports(), own.events(one)[-1]["recorded_at"]
    own.do(one, "correct", triggered_at=at(-500), acknowledged_at=at(-100))
    own.do(one, "reopen", reason="r")
    own.do(one, "severity", severity="critical")
    own.do(two, "merge", into=one["id"])
    own.trigger("late", occurred_at=at(-5000))
    assert without(reports()) != without(before)
    then = reports(as_of=moment)
    assert without(then) == without(before)
    for group in then["summary"]["groups"]:
        assert len(listed(own, group["links"]["incidents"])) == group["incidents"]
        assert {i["severity"] for i in listed(own, group["links"]["incidents"])} == {group["key"]}
    for row in then["load"]["responders"]:
        assert len(listed(own, row["links"]["engaged"])) == row["engaged"]
    assert reports(as_of="2020-01-01")["summary"]["overall"]["incidents"] == 0
    assert own.get("/incidents", as_of=moment, q="late")["items"] == []
    assert [i["status"] for i in own.get("/incidents", as_of=moment, sort="number")["items"]] == [
        "resolved",
        "triggered",
    ]


ROUTES = ("summary", "trend", "load", "hours", "noise")


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tz", "Nope"), ("tz", "\0"), ("as_of", "yesterday"), ("as_of", "\0"), ("from", "x"), ("to", "9999-12-31"),
        ("severity", "urgent"), ("category", "fire"), ("team", "\0"), ("responder", "me"), ("source", "\0"),
        ("unlabelled", "\0"), ("label:", "x"), ("label:a", "\0"), ("label:" + "x" * 201, "y"), ("label:\0", "y"),
    ],
)  # fmt: skip
def test_wrong_questions_are_refused_by_name(org: Org, route: str, field: str, value: str) -> None:
    answer = org.http.get(f"/api/v1/analytics/{route}", params={field: value})
    assert refused_field(answer, field.split(":")[0])["status"] == 422


@pytest.mark.parametrize(
    ("path", "params", "field"),
    [
        ("/analytics/trend", {"interval": "hour"}, "interval"),
        ("/analytics/trend", {"from": "1990-01-01", "to": "2026-01-01"}, "interval"),
        ("/analytics/trend", {"group_by": "title"}, "group_by"),
        ("/analytics/summary", {f"label:{n}": "x" for n in range(MOST_LABELS + 1)}, "label"),
        ("/incidents", {"figure": "everything"}, "figure"),
        ("/incidents", {"hour_of_week": "168"}, "hour_of_week"),
        ("/incidents", {"engaged": "me"}, "engaged"),
        ("/incidents", {"tz": "Mars"}, "tz"),
        ("/incidents", {"as_of": "2026-01-01"}, "as_of"),
    ],
)
def test_what_cannot_be_answered_is_refused_by_name(
    org: Org, path: str, params: dict[str, str], field: str
) -> None:
    assert refused_field(org.http.get(f"/api/v1{path}", params=params), field)["status"] == 422


def test_others_see_nothing_of_it(busy: Org, other: Org) -> None:
    for route in ROUTES:
        assert str(other.get(f"/analytics/{route}")).count(busy.admin) == 0
    assert other.get("/analytics/summary")["overall"]["incidents"] == 0
    made = busy.get("/incidents", limit=1)["items"][0]
    assert other.http.get(f"/api/v1/incidents/{made['id']}/figures").status_code == 404
    as_of = {"as_of": "2099-01-01T00:00:00Z"}
    assert other.get("/analytics/summary", **as_of)["overall"]["incidents"] == 0
    assert busy.get("/analytics/summary", **as_of)["overall"] | {"links": 0} == busy.get("/analytics/summary")[
        "overall"
    ] | {"links": 0}
