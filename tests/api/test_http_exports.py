"""Lists and figures as CSV and JSON Lines: whole, the same as the list, safe to open, behind the same wall."""

import csv
import io
import json
from typing import Any

import httpx
import pytest
from running import Product

PREFIX = "/api/v1"
EVIL = ["=1+1", "+49 30 123", "-2+3", "@SUM(A1)", "\tx", "-5", "+1.5e3", 'plain, with "quotes"\nand lines', "ü ☃"]


def trigger(http: httpx.Client, title: str, **more: Any) -> dict[str, Any]:
    answer = http.post(f"{PREFIX}/incidents", json={"title": title, "severity": "low", "category": "bug", **more})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def rows(answer: httpx.Response) -> list[dict[str, str]]:
    assert answer.status_code == 200, answer.text
    return list(csv.DictReader(io.StringIO(answer.content.decode(), newline="")))


@pytest.fixture(scope="module")
def many(product: Product) -> list[str]:
    """More than a page of incidents of one team, by number."""
    with product.client() as http:
        return [trigger(http, f"Exported {n}", team="export-team")["number"] for n in range(205)]


def test_a_list_longer_than_a_page_is_exported_whole(http: httpx.Client, many: list[str]) -> None:
    query = {"team": "export-team", "sort": "number"}
    table = rows(http.get(f"{PREFIX}/incidents", params={**query, "format": "csv"}))
    assert [row["number"] for row in table] == many
    lines = http.get(f"{PREFIX}/incidents", params=query, headers={"Accept": "application/x-ndjson"})
    assert lines.headers["content-type"] == "application/x-ndjson"
    assert 'filename="incidents.jsonl"' in lines.headers["content-disposition"]
    assert int(lines.headers["ledger-position"]) > 0
    items = [json.loads(line) for line in lines.content.splitlines()]
    first = http.get(f"{PREFIX}/incidents", params={**query, "limit": 1}).json()["items"][0]
    assert items[0].keys() == first.keys()
    assert (items[0]["id"], len(items)) == (first["id"], len(many))


def test_cells_are_safe_and_come_back(http: httpx.Client) -> None:
    number = trigger(http, "Cells", labels={"a": "=x"})["number"]
    for body in EVIL:
        http.post(f"{PREFIX}/incidents/{number}/updates", json={"body": body}).raise_for_status()
    answer = http.get(f"{PREFIX}/incidents/{number}/timeline", headers={"Accept": "text/csv"})
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    table = [row for row in rows(answer) if row["type"] == "UpdatePosted"]
    assert [row["body"] for row in table] == [
        *("'=1+1", "'+49 30 123", "'-2+3", "'@SUM(A1)", "'\tx", "-5", "+1.5e3"),
        *EVIL[7:],
    ]
    assert {row["actor.kind"] for row in table} == {"person"}
    lines = http.get(f"{PREFIX}/incidents/{number}/timeline?format=jsonl").content.splitlines()
    assert [json.loads(line)["body"] for line in lines][1:] == EVIL
    (one,) = rows(http.get(f"{PREFIX}/incidents/{number}?format=csv"))
    assert json.loads(one["labels"]) == {"a": "=x"}
    assert one["resolved_at"] == ""


def test_the_ledger_goes_on_after_its_page(http: httpx.Client, many: list[str]) -> None:
    after = 0
    wanted: list[int] = []
    while page := http.get(f"{PREFIX}/ledger/events", params={"after": after, "limit": 200}).json()["items"]:
        wanted += [item["position"] for item in page]
        after = wanted[-1]
    lines = http.get(f"{PREFIX}/ledger/events?format=jsonl").content.splitlines()
    assert [json.loads(line)["position"] for line in lines] == wanted
    assert len(wanted) > 205


@pytest.mark.parametrize("path", ["/people", "/teams", "/analytics/summary?group_by=severity", "/tokens"])
def test_other_lists_and_figures(http: httpx.Client, many: list[str], path: str) -> None:
    joined = "&" if "?" in path else "?"
    answer = http.get(f"{PREFIX}{path}")
    found = answer.json().get("items", answer.json().get("groups"))
    table = rows(http.get(f"{PREFIX}{path}{joined}format=csv"))
    assert len(table) == len(found)
    lines = http.get(f"{PREFIX}{path}{joined}format=jsonl").content.splitlines()
    assert [json.loads(line) for line in lines] == found
    if "analytics" in path:
        assert [row["response_target.met"] for row in table] == [str(g["response_target"]["met"]) for g in found]


def test_an_empty_list_has_its_header(http: httpx.Client) -> None:
    answer = http.get(f"{PREFIX}/incidents?team=nobody-at-all&format=csv")
    assert answer.content.decode().startswith("id,number,title,") and answer.content.count(b"\n") == 1
    assert http.get(f"{PREFIX}/incidents?team=nobody-at-all&format=jsonl").content == b""


def test_refusals_are_those_of_the_list(http: httpx.Client, product: Product) -> None:
    assert http.get(f"{PREFIX}/incidents?format=xml").json()["errors"][0]["field"] == "format"
    assert http.get(f"{PREFIX}/incidents?format=csv&severity=odd").status_code == 422
    assert http.get(f"{PREFIX}/incidents/INC-999999/timeline?format=csv").status_code == 404
    assert httpx.get(f"{product.url}{PREFIX}/incidents?format=csv").status_code == 401
    made = http.post(f"{PREFIX}/organizations", json={"name": "Behind another wall"})
    elsewhere = {"Fandesk-Organization": made.json()["id"]}
    assert rows(http.get(f"{PREFIX}/incidents?format=csv", headers=elsewhere)) == []


@pytest.mark.parametrize("how", [{"params": {"format": "csv"}}, {"headers": {"Accept": "text/csv"}}])
def test_a_stream_stays_a_stream(http: httpx.Client, product: Product, how: dict[str, Any]) -> None:
    with product.client() as client, client.stream("GET", f"{PREFIX}/stream", **how) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        made = http.post(f"{PREFIX}/incidents", json={"title": "Heard", "severity": "low"}).json()
        assert any(made["id"] in line for line in answer.iter_lines())
    assert http.get("/healthz").status_code == 200


def test_what_is_liked_best_is_given(http: httpx.Client) -> None:
    for accept, media in (
        ("application/json, text/csv;q=0.1", "application/json"),
        ("text/csv, application/json;q=0.9", "text/csv"),
        ("*/*;q=0.1, application/x-ndjson", "application/x-ndjson"),
        ("text/csv;q=x, */*", "application/json"),
        ("text/html, */*;q=0.8", "application/json"),
    ):
        answer = http.get(f"{PREFIX}/incidents", params={"limit": 1}, headers={"Accept": accept})
        assert answer.headers["content-type"].startswith(media), accept


def test_who_leaves_early_disturbs_nobody(http: httpx.Client, product: Product, many: list[str]) -> None:
    for _ in range(5):
        with product.client() as client, client.stream("GET", f"{PREFIX}/ledger/events?format=csv") as answer:
            next(answer.iter_raw(10))
    assert len(rows(http.get(f"{PREFIX}/incidents?team=export-team&format=csv"))) == len(many)


def test_the_command_line_gives_the_same(
    product: Product, http: httpx.Client, many: list[str], tmp_path: Any
) -> None:
    out = tmp_path / "incidents.csv"
    product.cli("export", "incidents", "--query", "team=export-team", "--query", "sort=number", "--out", str(out))
    wanted = http.get(f"{PREFIX}/incidents?team=export-team&sort=number&format=csv").content
    assert out.read_bytes() == wanted
    said = product.cli("export", "timeline", many[0], "--format", "jsonl").stdout
    assert said.encode() == http.get(f"{PREFIX}/incidents/{many[0]}/timeline?format=jsonl").content
    ledger = product.cli("export", "ledger", "--format", "jsonl").stdout.splitlines()
    assert len(ledger) >= len(http.get(f"{PREFIX}/ledger/events?format=jsonl").content.splitlines())
    assert product.cli("export", "ledger", "--format", "csv").stdout.startswith(
        "position,incident_id,version,type,"
    )
    refused = product.cli("export", "timeline", "INC-999999", check=False)
    assert (refused.returncode, refused.stdout, "Traceback" in refused.stderr) == (1, "", False)
    assert product.cli("export", "nonsense", check=False).returncode == 2
