"""Lists: filters, search, order, pages."""

import threading
from datetime import UTC, datetime
from typing import Any

import pytest
from apitools import Org, all_pages, at, refused_field
from running import until

SORTS = ("-triggered_at", "triggered_at", "-number", "number", "severity")


@pytest.fixture(scope="module")
def filled(org: Org) -> dict[str, str]:
    """Some incidents, by name their number."""
    made: dict[str, Any] = {}
    for n, (name, severity, more) in enumerate(
        [
            (
                "outage",
                "critical",
                {"category": "outage", "team": "Payments", "description": "The gateway is unreachable"},
            ),
            (
                "bug",
                "low",
                {"category": "bug", "team": "Search", "labels": {"service": "checkout-eu", "zone": "b"}},
            ),
            ("nothing", "medium", {}),
            ("data", "high", {"category": "data", "team": "Payments"}),
            ("over", "high", {"category": "bug"}),
        ]
    ):
        made[name] = org.trigger(f"{name} happened", severity, occurred_at=at(n), **more)
    org.do(made["over"], "resolve")
    org.do(made["data"], "acknowledge")
    org.do(made["outage"], "investigate")
    org.do(made["bug"], "assign", person=org.admin)
    return {name: incident["number"] for name, incident in made.items()}


FILTERS: list[tuple[dict[str, Any], str]] = [
    ({}, "outage bug nothing data over"),
    ({"status": "triggered"}, "bug nothing"),
    ({"status": ["triggered", "resolved"]}, "bug nothing over"),
    ({"status": "triggered,investigating"}, "outage bug nothing"),
    ({"status": "open"}, "outage bug nothing data"),
    ({"status": "postmortem"}, ""),
    ({"severity": "high"}, "data over"),
    ({"severity": ["high", "low"]}, "bug data over"),
    ({"category": "bug"}, "bug over"),
    ({"category": "none"}, "nothing"),
    ({"category": ["none", "data"]}, "nothing data"),
    ({"team": "Payments"}, "outage data"),
    ({"team": "none"}, "nothing over"),
    ({"team": ["none", "Search"]}, "bug nothing over"),
    ({"team": "payments"}, ""),
    ({"assignee": "none"}, "outage nothing data over"),
    ({"assignee": "ME"}, "bug"),
    ({"assignee": ["none", "ME"]}, "outage bug nothing data over"),
    ({"assignee": "00000000-0000-0000-0000-000000000000"}, ""),
    ({"from": at(2)}, "nothing data over"),
    ({"to": at(2)}, "outage bug"),
    ({"from": at(1), "to": at(3)}, "bug nothing"),
    ({"from": at(3), "to": at(1)}, ""),
    ({"from": "2026-01-05T13:00:01+01:00", "to": at(2)}, "bug"),
    ({"severity": "high", "status": "open", "category": "data", "team": "Payments"}, "data"),
    ({"q": "happened"}, "outage bug nothing data over"),
    ({"q": "gateway"}, "outage"),
    ({"q": "GATEWAYS"}, "outage"),
    ({"q": '"gateway is unreachable"'}, "outage"),
    ({"q": '"unreachable gateway"'}, ""),
    ({"q": "happened -gateway"}, "bug nothing data over"),
    ({"q": "gateway or checkout"}, "outage bug"),
    ({"q": "checkout-eu"}, "bug"),
    ({"q": "checkout"}, "bug"),
    ({"q": ""}, "outage bug nothing data over"),
    ({"q": "bug", "category": "outage"}, ""),
]


@pytest.mark.parametrize(("params", "expected"), FILTERS, ids=lambda v: str(v)[:40])
def test_filters(org: Org, filled: dict[str, str], params: dict[str, Any], expected: str) -> None:
    mine = {
        name: [org.admin if v == "ME" else v for v in value]
        if isinstance(value, list)
        else org.admin
        if value == "ME"
        else value
        for name, value in params.items()
    }
    names = {number: name for name, number in filled.items()}

    found = {names[item["number"]] for item in org.get("/incidents", **mine)["items"]}

    assert found == set(expected.split())


def test_a_number_finds_its_incident_alone(own: Org) -> None:
    numbers = [own.trigger(f"thing {n}")["number"] for n in range(12)]
    for number in ("INC-1", "inc-12", '"INC-11"'):
        items = own.get("/incidents", q=number)["items"]
        assert [item["number"] for item in items] == [number.strip('"').upper()]
    assert numbers[-1] == "INC-12"
    own.do(own.get("/incidents/INC-1"), "correct", title="Renamed xylophone", labels={"k": "marimba"})
    for word in ("xylophone", "marimba", "INC-1 xylophone"):
        assert [i["number"] for i in own.get("/incidents", q=word)["items"]] == ["INC-1"]


ODD = [
    "'",
    '"',
    '"""',
    "-",
    "--",
    "- -",
    "&",
    "|",
    "!",
    "()",
    "a & | b",
    ":*",
    "\\",
    "%",
    "_",
    "a:b:c",
    "<->",
    "or",
    "or or",
    "-or",
    "the",
    "\u202e",
    "\U0001f600",
    "\U0001d54f",
    "x" * 500,
    "- " * 250,
    '"' * 499,
    "'; drop table",
    "\x01",
    "\ufffe",
    "INC-",
    "INC-0",
    "INC-99999999999999999999",
    "a/b/c",
    "a@b.c",
    "http://x/y?z=1",
    "1e999",
    "-1",
    "\t\n",
]


@pytest.mark.parametrize("q", ODD, ids=lambda q: repr(q[:12]))
def test_odd_searches_are_answered(org: Org, filled: dict[str, str], q: str) -> None:
    answer = org.http.get("/api/v1/incidents", params={"q": q})

    if answer.status_code == 422:  # PostgreSQL nests no more than 32 times
        refused_field(answer, "q")
        assert q.count("-") > 30
    else:
        assert answer.status_code == 200 and isinstance(answer.json()["items"], list)


@pytest.mark.parametrize("sort", SORTS)
def test_sorts(org: Org, filled: dict[str, str], sort: str) -> None:
    items = org.get("/incidents", sort=sort)["items"]
    order = ["critical", "high", "medium", "low"]
    if sort == "severity":
        keys: list[Any] = [(order.index(i["severity"]), i["triggered_at"]) for i in items]
    elif sort.endswith("number"):
        keys = [int(i["number"][4:]) for i in items]
    else:
        keys = [i["triggered_at"] for i in items]

    assert keys == sorted(keys, reverse=sort.startswith("-")) and len(items) == 5


@pytest.mark.parametrize("sort", SORTS)
def test_pages_walk_everything_once_while_more_is_added(own: Org, sort: str) -> None:
    """Many share one time, so that only the id tells them apart."""
    with own.client() as http:
        for n in range(23):
            body = {"title": f"t{n}", "severity": ("low", "high")[n % 2], "occurred_at": at(n // 6)}
            assert http.post("/api/v1/incidents", json=body).status_code == 201
    before = {item["id"] for item in own.get("/incidents", limit=200)["items"]}
    stop = threading.Event()

    def add() -> None:
        with own.client() as http:
            while not stop.is_set():
                http.post("/api/v1/incidents", json={"title": "new", "severity": "low", "occurred_at": at(2)})

    adding = threading.Thread(target=add)
    adding.start()
    seen: list[str] = []
    sizes: list[int] = []
    try:
        cursor: str | None = None
        while True:
            page = own.get("/incidents", sort=sort, limit=4, **({"cursor": cursor} if cursor else {}))
            seen += [item["id"] for item in page["items"]]
            sizes.append(len(page["items"]))
            if len(sizes) == 4:
                stop.set()
                adding.join()
            cursor = page["next_cursor"]
            if cursor is None:
                break
    finally:
        stop.set()
        adding.join()

    assert len(seen) == len(set(seen))
    assert before <= set(seen)
    assert set(sizes[:-1]) == {4}


def test_the_last_page_says_so(own: Org) -> None:
    for n in range(4):
        own.trigger(f"t{n}")
    assert [len(page) for page in all_pages(own, "/incidents", limit=2)] == [2, 2]
    assert [len(page) for page in all_pages(own, "/incidents", limit=3)] == [3, 1]
    assert own.get("/incidents", limit=4)["next_cursor"] is None
    assert own.get("/incidents", q="nothing like it") == {"items": [], "next_cursor": None}
    assert [len(page) for page in all_pages(own, "/incidents", limit=1, q="t3", sort="severity")] == [1]


def test_pages_of_a_timeline_and_of_the_ledger(own: Org) -> None:
    incident = own.trigger(occurred_at=at(0))
    until(lambda: len(own.events(incident)) == 2, what="the target, which is long past, to be missed")
    for n in range(11):  # backdated crosswise, several at the same instant
        own.do(incident, "updates", body=f"u{n}", occurred_at=at(10 - n // 3))

    timeline = [item for page in all_pages(own, f"/incidents/{incident['id']}/timeline", limit=3) for item in page]
    assert timeline == own.get(f"/incidents/{incident['id']}/timeline", limit=200)["items"]
    keys = [(item["occurred_at"], item["position"]) for item in timeline]
    assert keys == sorted(set(keys)) and len(keys) == 13
    events = [item for page in all_pages(own, f"/incidents/{incident['id']}/events", limit=5) for item in page]
    assert events == own.events(incident)
    assert [e["version"] for e in events] == list(range(1, 14))
    positions = [e["position"] for e in events]
    assert positions == sorted(set(positions))
    after = own.get("/ledger/events", after=positions[6], limit=200)["items"]
    assert after == events[7:]
    for event in events:
        assert {"position", "incident_id", "version", "type", "recorded_at", "payload"} <= event.keys()
        missed = event["type"] == "ResponseTargetMissed"
        assert event["payload"]["actor"] == ({"kind": "system"} if missed else {"kind": "person", "id": own.admin})
        assert "Ada" not in str(event)


def test_a_new_incident_has_the_time_of_its_request(own: Org) -> None:
    before = datetime.now(UTC)
    made = own.trigger()
    assert before <= datetime.fromisoformat(made["triggered_at"]) <= datetime.now(UTC)
