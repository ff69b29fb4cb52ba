"""The figures of a set made by hand, to the digit."""

from collections.abc import Callable
from typing import Any

import pytest
from apitools import Org, at, refused_field

NONE = {"n": 0, "mean_s": None, "p50_s": None, "p90_s": None, "p95_s": None, "negative": 0}


@pytest.fixture(scope="module")
def made(new_org: Callable[..., Org]) -> tuple[Org, dict[str, dict[str, Any]]]:
    """Six incidents, one of which was merged away."""
    org = new_org()
    i = {
        "a": org.trigger("a", "critical", category="outage", team="X", labels={"eu": "1"}, occurred_at=at(0)),
        "b": org.trigger("b", "critical", category="bug", team="X", labels={"eu": "2"}, occurred_at=at(100)),
        "c": org.trigger("c", "high", team="Y", labels={"eu": "1", "odd key": "v%s"}, occurred_at=at(200)),
        "d": org.trigger("d", "low", occurred_at=at(300)),
        "e": org.trigger("e", "low", category="bug", occurred_at=at(400)),
        "m": org.trigger("m", "critical", category="bug", team="X", occurred_at=at(50)),
    }
    org.do(i["a"], "acknowledge", occurred_at=at(60))
    org.do(i["a"], "resolve", occurred_at=at(600))
    org.do(i["b"], "investigate", occurred_at=at(100 + 400))  # later than the target of 300 s
    org.do(i["b"], "resolve", occurred_at=at(100 + 1000))
    org.do(i["b"], "reopen", reason="r", occurred_at=at(100 + 1500))
    org.do(i["b"], "resolve", occurred_at=at(100 + 2000))
    org.do(i["c"], "resolve", occurred_at=at(200 + 30.5))  # never acknowledged
    org.do(i["d"], "acknowledge", occurred_at=at(300 + 10))
    org.do(i["d"], "resolve", occurred_at=at(300 + 20))
    org.do(i["d"], "reopen", reason="r", occurred_at=at(300 + 40))  # open again
    org.do(i["m"], "merge", into=i["a"]["id"], occurred_at=at(70))
    org.do(i["a"], "assign", person=org.admin)
    return org, i


def _duration(figures: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(figures[k] for k in ("n", "mean_s", "p50_s", "p90_s", "p95_s", "negative"))


def test_overall(made: tuple[Org, dict[str, dict[str, Any]]]) -> None:
    org, _ = made
    answer = org.get("/analytics/summary")
    all_of_it = answer["overall"]

    assert answer["groups"] == [all_of_it]
    counts = {k: v for k, v in all_of_it.items() if not isinstance(v, dict)}
    assert counts == {
        "key": None,
        "incidents": 5,
        "open": 2,
        "acknowledged": 3,
        "unacknowledged": 2,
        "resolved": 3,
        "reopened_incidents": 2,
        "reopenings": 2,
    }
    # 10, 60, 400
    assert _duration(all_of_it["tta"]) == pytest.approx(
        (3, 470 / 3, 60, 60 + 0.8 * 340, 60 + 0.9 * 340, 0), abs=1e-6
    )
    # 30.5, 600, 2000
    assert _duration(all_of_it["ttr"]) == pytest.approx(
        (3, 2630.5 / 3, 600, 600 + 0.8 * 1400, 600 + 0.9 * 1400, 0), abs=1e-6
    )
    # 20, 30.5, 600, 1000
    assert _duration(all_of_it["ttr_first"]) == pytest.approx(
        (4, 1650.5 / 4, (30.5 + 600) / 2, 600 + 0.7 * 400, 600 + 0.85 * 400, 0), abs=1e-6
    )
    # a and d in time; b too late; c was never acknowledged, and resolved in time; e is overdue since long
    assert all_of_it["response_target"] == {"met": 2, "breached": 2}


GROUPED = [
    ("severity", {"critical": "ab", "high": "c", "low": "de"}),
    ("category", {"outage": "a", "bug": "be", None: "cd"}),
    ("team", {"X": "ab", "Y": "c", None: "de"}),
    ("responder", {"ADMIN": "a", None: "bcde"}),
    ("label:eu", {"1": "ac", "2": "b", None: "de"}),
    ("label:odd key", {"v%s": "c", None: "abde"}),
    ("label:nowhere", {None: "abcde"}),
    ("label:%s'\"--", {None: "abcde"}),
    ("none", {None: "abcde"}),
]
TTA = {"a": 60, "b": 400, "d": 10}


@pytest.mark.parametrize(("group_by", "expected"), GROUPED, ids=lambda v: v if isinstance(v, str) else "")
def test_groups(
    made: tuple[Org, dict[str, dict[str, Any]]], group_by: str, expected: dict[str | None, str]
) -> None:
    org, _ = made
    answer = org.get("/analytics/summary", group_by=group_by)

    groups = {group["key"]: group for group in answer["groups"]}
    assert len(groups) == len(answer["groups"])
    assert set(groups) == {org.admin if key == "ADMIN" else key for key in expected}
    for key, names in expected.items():
        group = groups[org.admin if key == "ADMIN" else key]
        times = [TTA[name] for name in names if name in TTA]
        assert (group["incidents"], group["acknowledged"], group["tta"]["n"]) == (
            len(names),
            len(times),
            len(times),
        )
        assert group["unacknowledged"] == len(names) - len(times)
        assert group["tta"]["mean_s"] == (pytest.approx(sum(times) / len(times)) if times else None)
        if not times:
            assert group["tta"] == NONE
    assert answer["overall"]["incidents"] == 5


@pytest.mark.parametrize(
    ("params", "count"),
    [
        ({"severity": "critical"}, 2),
        ({"severity": ["critical", "low"]}, 4),
        ({"severity": "critical,high"}, 3),
        ({"category": "bug"}, 2),
        ({"team": "X"}, 2),
        ({"team": ["X", "Y"]}, 3),
        ({"team": "nobody"}, 0),
        ({"from": at(100)}, 4),
        ({"to": at(100)}, 1),
        ({"from": at(100), "to": at(300)}, 2),
        ({"from": at(401)}, 0),
        ({"from": "2026-01-05"}, 5),
        ({"to": "2026-01-05"}, 0),
        ({"from": "2026-01-05", "to": "2026-01-06"}, 5),
        ({"severity": "critical", "category": "bug", "team": "X", "from": at(0)}, 1),
    ],
    ids=str,
)
def test_filters(made: tuple[Org, dict[str, dict[str, Any]]], params: dict[str, Any], count: int) -> None:
    org, _ = made
    figures = org.get("/analytics/summary", **params)["overall"]

    assert figures["incidents"] == count
    if count == 0:
        assert figures["tta"] == figures["ttr"] == figures["ttr_first"] == NONE


def test_nothing_is_null_never_zero(own: Org) -> None:
    answer = own.get("/analytics/summary", group_by="severity")

    assert answer["groups"] == []
    assert answer["overall"]["tta"] == NONE and answer["overall"]["reopenings"] == 0


def test_dates_begin_at_midnight_in_the_time_zone_also_across_a_change_of_the_clock(own: Org) -> None:
    for time in (
        "2026-03-28T22:59:59.999999Z",
        "2026-03-28T23:00:00Z",  # 29 March begins at 23:00 UTC: still winter
        "2026-03-29T21:59:59.999999Z",
        "2026-03-29T22:00:00Z",  # and ends an hour early
        "2025-10-25T22:00:00Z",
        "2025-10-26T22:59:59.999999Z",
        "2025-10-26T23:00:00Z",
    ):
        own.trigger(occurred_at=time)

    def count(**params: str) -> int:
        incidents: int = own.get("/analytics/summary", **params)["overall"]["incidents"]
        return incidents

    berlin = {"tz": "Europe/Berlin"}
    assert count(**berlin, **{"from": "2026-03-29", "to": "2026-03-30"}) == 2
    assert count(**berlin, **{"from": "2026-03-30"}) == 1
    assert count(**berlin, **{"from": "2025-10-26", "to": "2025-10-27"}) == 2
    assert count(**berlin, **{"from": "2026-03-29T00:00:00Z", "to": "2026-03-30T00:00:00Z"}) == 2
    assert count(**{"from": "2026-03-29", "to": "2026-03-30"}) == 2
    assert count(tz="America/New_York", **{"from": "2026-03-28", "to": "2026-03-29"}) == 2
    answer = own.get("/analytics/summary", **berlin, **{"from": "2026-03-29", "to": "2026-03-30"})
    assert (answer["from"], answer["to"]) == ("2026-03-28T23:00:00.000000Z", "2026-03-29T22:00:00.000000Z")


def test_corrections_reopenings_and_merges_change_the_figures_at_once(own: Org) -> None:
    def figures() -> dict[str, Any]:
        overall: dict[str, Any] = own.get("/analytics/summary")["overall"]
        return overall

    incident = own.trigger("x", "critical", occurred_at=at(0))
    own.do(incident, "acknowledge", occurred_at=at(100))
    own.do(incident, "resolve", occurred_at=at(1000))
    assert (figures()["tta"]["mean_s"], figures()["ttr"]["mean_s"]) == (100, 1000)
    own.do(incident, "correct", acknowledged_at=at(400))
    assert figures()["tta"]["mean_s"] == 400 and figures()["response_target"] == {"met": 0, "breached": 1}
    own.do(incident, "correct", resolved_at=at(2000))
    assert (figures()["ttr"]["mean_s"], figures()["ttr_first"]["mean_s"]) == (2000, 2000)
    own.do(incident, "correct", triggered_at=at(-50.25))
    assert (figures()["tta"]["mean_s"], figures()["ttr"]["mean_s"]) == (450.25, 2050.25)
    own.do(incident, "reopen", reason="r", occurred_at=at(3000))
    again = figures()
    assert again["ttr"] == NONE and again["ttr_first"]["mean_s"] == 2050.25
    assert (again["open"], again["resolved"], again["reopenings"]) == (1, 0, 1)
    own.do(incident, "resolve", occurred_at=at(4000))
    after_its_first_resolve = {"triggered_at": at(3000), "acknowledged_at": at(3500)}
    refused = own.http.post(f"/api/v1/incidents/{incident['id']}/correct", json=after_its_first_resolve)
    assert refused_field(refused, "triggered_at")["status"] == 422
    own.do(incident, "correct", acknowledged_at=at(500), triggered_at=at(0))
    right = figures()
    assert [right[name]["mean_s"] for name in ("tta", "ttr", "ttr_first")] == [500, 4000, 2000]
    own.do(incident, "severity", severity="low")
    assert [g["key"] for g in own.get("/analytics/summary", group_by="severity")["groups"]] == ["low"]
    assert figures()["response_target"] == {"met": 1, "breached": 0}
    own.do(incident, "merge", into=own.trigger("heir")["id"])
    assert (figures()["incidents"], figures()["ttr"]) == (1, NONE)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[
            ("tz", v)
            for v in ("Nope", "", "Europe", "../etc/passwd", "/etc/localtime", "\0", "x" * 61, "+01:00", "\u00e9")
        ],
        *[
            ("group_by", v)
            for v in ("", "title", "Severity", "label", "severity,team", "\0", "label:" + "x" * 300, "label:\0")
        ],
        *[
            (f, v)
            for f in ("from", "to")
            for v in (
                "",
                "x",
                "5",
                "2026-13-01",
                "2026-02-30",
                "0001-01-01",
                "9999-12-31",
                "\0",
                "1767614400",
                "2026-01-05T25:00:00Z",
                "2026-01-05T12:00:00+99:99",
                "0001-01-01T00:00:00Z",
                "9999-12-31T23:59:59-23:59",
                "x" * 50,
            )
        ],
        ("severity", "urgent"),
        ("category", "fire"),
        ("team", "\0"),
    ],
)
def test_wrong_questions_are_refused_by_name(org: Org, field: str, value: str) -> None:
    answer = org.http.get("/api/v1/analytics/summary", params={field: value})

    assert refused_field(answer, field)["status"] == 422
