"""The real histories of status pages come out of the ledger with the figures that were computed independently."""

import gzip
import json
import random
from collections import defaultdict
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from filetools import ORG, Reader, figures, folded, given, imported, shown

from commands.event_store import LedgerRecorder
from commands.importers import LeftOut, Unreadable, gcp_status, statuspage
from commands.importers.run import run
from domain.incident import Incident, fold

MakeLedger = Callable[[], LedgerRecorder]


def in_ledger(reader: Reader, path: Path, ledger: LedgerRecorder) -> tuple[list[Incident], Any]:
    with path.open("rb") as file:
        report = run(reader(file, ORG), ledger)
    streams: dict[Any, list[Any]] = defaultdict(list)
    page = ledger.read(0, 100_000)
    for entry in page.entries:
        streams[entry.stream_id].append(entry.event)
    return [incident for id, events in streams.items() if (incident := fold(id, events))], report


def grouped(incidents: list[Incident], metric: str, key: Callable[[Incident], str]) -> dict[str, Any]:
    groups: dict[str, list[float]] = defaultdict(list)
    for incident in incidents:
        if (value := getattr(incident, metric)) is not None:
            groups[key(incident)].append(value)
    return {name: figures(values) for name, values in groups.items()}


def test_github(make_ledger: MakeLedger, real_data: Callable[[str], Path]) -> None:
    truth = json.loads(real_data("github-status/ground_truth_dev.json").read_text())
    path = real_data("github-status/dev.jsonl.gz")
    ledger = make_ledger()
    incidents, report = in_ledger(statuspage.read_incidents, path, ledger)
    metrics = truth["metrics"]["R1_resolved_minus_first_update"]

    assert len(incidents) + truth["counts"]["maintenance"] == truth["incidents"]
    assert (len(report.left_out), report.unreadable) == (truth["counts"]["maintenance"], [])
    assert report.rows_read == truth["counts"]["incident_updates"]
    assert grouped(incidents, "time_to_resolve_s", lambda _: "")[""] == shown(metrics["overall"])
    for key, by in (
        ("by_impact", lambda i: i.labels["source_impact"]),
        ("by_year", lambda i: str(i.triggered_at.year)),
    ):
        assert grouped(incidents, "time_to_resolve_s", by) == {k: shown(v) for k, v in metrics[key].items()}
    assert all(incident.time_to_acknowledge_s is None for incident in incidents)
    by_component: dict[str, list[float]] = defaultdict(list)
    for incident in incidents:
        for component in incident.labels.get("source_component", "(none)").split(", "):
            by_component[component].append(incident.time_to_resolve_s or 0.0)
    assert {k: figures(v) for k, v in by_component.items()} == {
        k: shown(v) for k, v in metrics["by_component"].items()
    }

    # U1: the second thing that was said, after the first
    seconds = []
    for item in imported(given(statuspage.read_incidents, path.read_bytes())):
        rows = {event.causation_id: event.occurred_at for event in item.events}
        if len(rows) > 1:
            first, second = list(rows.values())[:2]
            seconds.append((second - first).total_seconds())
    assert figures(seconds) == shown(truth["metrics"]["U1_first_followup_update"]["overall"])

    kept = "\n".join(entry.event.model_dump_json() for entry in ledger.read(0, 100_000).entries)
    for row in map(json.loads, gzip.decompress(path.read_bytes()).splitlines()):
        for update in row["updates"] if row["impact"] != "maintenance" else ():
            assert json.dumps(update["message"], ensure_ascii=False)[1:-1] in kept


def test_gcp(make_ledger: MakeLedger, real_data: Callable[[str], Path]) -> None:
    truth = json.loads(real_data("gcp-status/ground_truth.json").read_text())
    incidents, report = in_ledger(
        gcp_status.read_incidents, real_data("gcp-status/incidents.json.gz"), make_ledger()
    )
    assert len(incidents) == truth["incidents"]
    assert len(report.left_open) == truth["counts"]["no_AVAILABLE_update"]
    assert report.unreadable == []
    for metric, wanted in (
        ("time_to_acknowledge_s", "A1_created_minus_begin"),
        ("time_to_resolve_s", "R2_last_entry_AVAILABLE_minus_begin"),
        ("time_to_first_resolve_s", "R3_first_AVAILABLE_minus_begin"),
    ):
        expected = truth["metrics"][wanted]
        assert grouped(incidents, metric, lambda _: "")[""] == shown(expected["overall"])
        for group, by in (
            ("by_severity", lambda i: i.severity),
            ("by_service", lambda i: i.labels["source_service"]),
        ):
            assert grouped(incidents, metric, by) == {k: shown(v) for k, v in expected[group].items()}
    assert sum(incident.reopen_count for incident in incidents) == truth["counts"]["incidents_reopened"]
    assert sum((i.time_to_acknowledge_s or 0) < 0 for i in incidents) == truth["counts"]["created_before_begin"]


def made(rng: random.Random, n: int) -> tuple[str, datetime, list[tuple[datetime, bool]]]:
    """A history nobody has seen: an id, its beginning, and updates in order, each with whether it ends it."""
    begun = datetime.fromisoformat("2023-01-01T00:00:00+00:00") + timedelta(minutes=rng.randrange(500_000))
    at, updates = begun, []
    for _ in range(rng.randrange(1, 6)):
        at += timedelta(seconds=rng.choice([0, 60, 61, 3600, 86_401]))
        updates.append((at, rng.random() < 0.4))
    return f"id{n}", begun, updates


def truth_of(updates: list[tuple[datetime, bool]], since: datetime) -> tuple[float | None, float | None, int]:
    """Last entry into the end (none while it goes on), first entry, and how often it went on after an end."""
    entered = [at for n, (at, over) in enumerate(updates) if over and (n == 0 or not updates[n - 1][1])]
    reopened = sum(not over and updates[n - 1][1] for n, (_, over) in enumerate(updates) if n)
    last = (entered[-1] - since).total_seconds() if entered and updates[-1][1] else None
    return last, (entered[0] - since).total_seconds() if entered else None, reopened


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize("form", ["lines", "array", "api"])
def test_a_status_page_held_back(form: str, newest_first: bool) -> None:
    rng = random.Random(7)
    histories = [made(rng, n) for n in range(200)]
    documents = []
    for id, begun, updates in histories:
        said = [{"at": begun, "status": "Investigating", "message": f"{id} began"}] + [
            {"at": at, "status": "Resolved" if over else "Monitoring", "message": f"{id} {n}"}
            for n, (at, over) in enumerate(updates)
        ]
        if newest_first:
            said.reverse()
        shape = {"id": id, "name": f"Trouble {id}", "impact": rng.choice(["minor", "critical", "none", "odd"])}
        if form == "api":
            shape["incident_updates"] = [
                {"id": u["message"], "status": u["status"].lower(), "body": u["message"], "display_at": u["at"]}
                for u in said
            ]
        else:
            shape["updates"] = said
        documents.append(shape)
    as_json = [json.dumps(document, default=datetime.isoformat) for document in documents]
    content = {
        "lines": "\n".join(as_json),
        "array": "[" + ",\n ".join(as_json) + "]",
        "api": '{"page": {"id": "x", "tags": [1]}, "incidents": [' + ",".join(as_json) + '], "more": {"a": []}}',
    }[form]
    items = given(statuspage.read_incidents, content)
    assert [item.reference for item in imported(items)] == [id for id, _, _ in histories]
    for item, (_, begun, updates), document in zip(imported(items), histories, documents, strict=True):
        incident = folded(item)
        wanted = truth_of(updates, begun)
        assert (incident.time_to_resolve_s, incident.time_to_first_resolve_s, incident.reopen_count) == wanted
        severity = {"minor": "medium", "critical": "critical", "none": "low", "odd": "medium"}[document["impact"]]
        assert (incident.severity, incident.triggered_at) == (severity, begun)
        assert incident.labels["source_impact"] == document["impact"]
        assert item.rows == len(updates) + 1


def test_a_gcp_history_held_back() -> None:
    rng = random.Random(8)
    histories = [made(rng, n) for n in range(200)]
    documents = []
    for id, begun, updates in histories:
        said = [
            {"when": at.isoformat(), "text": f"{id} {n}", "status": "AVAILABLE" if over else "SERVICE_OUTAGE"}
            for n, (at, over) in enumerate(updates)
        ]
        documents.append(
            {
                **{"id": id, "begin": begun.isoformat(), "created": (begun + timedelta(seconds=90)).isoformat()},
                **{"external_desc": f"About {id}", "severity": "high", "updates": said[::-1]},
                **{"most_recent_update": said[-1], "end": "2024-01-01T00:00:00+00:00"},
            }
        )
    items = imported(given(gcp_status.read_incidents, json.dumps(documents, indent=1)))
    for item, (_, begun, updates) in zip(items, histories, strict=True):
        incident = folded(item)
        wanted = truth_of(updates, begun)
        assert (incident.time_to_resolve_s, incident.time_to_first_resolve_s, incident.reopen_count) == wanted
        assert incident.time_to_acknowledge_s == 90
        assert item.left_open == (incident.status != "resolved")


def test_maintenance_and_what_is_wrong_are_told() -> None:
    content = [
        {"id": "a", "impact": "maintenance", "updates": [{"at": "2024-01-01T00:00:00Z"}] * 3},
        {"impact": "minor"},
        {"id": "b", "updates": [{"at": "no time"}, 5, {"at": "2024-01-01T00:00:00Z", "status": "Strange"}]},
        {"id": "c"},
        {"id": "d", "created_at": "2024-01-01T00:00:00Z", "title": "t" * 400},
        {"id": "e", "updates": [{"at": "1969-12-31T23:59:59Z"}]},
    ]
    items = given(statuspage.read_incidents, json.dumps(content))
    assert [type(item) for item in items[:2]] == [LeftOut, Unreadable]
    reasons = [item.reason for item in items if isinstance(item, Unreadable)]
    assert reasons == [
        "no id",
        "update 1 of b has no time",
        "update 2 of b has no time",
        "c has neither updates nor a time",
        "update 1 of e has no time",
    ]
    b, d = imported(items)
    assert (b.reference, folded(b).status, folded(b).severity) == ("b", "triggered", "medium")
    assert (len(folded(d).title), folded(d).description) == (300, "t" * 400)
