"""The figures of the real ServiceNow logs come out of the ledger as they were computed independently.

Nothing of the importer is used to say what is right: the file is read a second time, in this test's own way.
"""

import csv
import gzip
import io
import json
import statistics
from collections import defaultdict
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from commands.event_store import LedgerRecorder
from commands.importers.run import run
from commands.importers.servicenow import read_incidents
from domain.events import IncidentEvent
from domain.incident import Incident, fold

ORG = UUID(int=1)
GROUPS = ("by_priority", "by_category", "by_impact")
METRICS = {
    "tta": "A1b_ack_work_before_resolve",
    "ttr": "R2_last_entry_into_resolved",
    "ttr_first": "R1_first_resolved_row",
}
Figures = dict[str, float | None]


def instant(date: str) -> datetime:
    return datetime.strptime(date + " +0000", "%d/%m/%Y %H:%M %z")


def said_by_file(path: Path) -> dict[str, dict[str, Any]]:
    """By incident number: the durations, reopenings and last words that the file's rows say."""
    raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    histories: dict[str, list[dict[str, str]]] = defaultdict(list)
    for row in csv.DictReader(io.StringIO(raw.decode())):
        histories[row["number"]].append(row)
    return {number: said_by_rows(history) for number, history in histories.items()}


def said_by_rows(history: list[dict[str, str]]) -> dict[str, Any]:
    states = [row["incident_state"] for row in history]
    after = [(instant(row["sys_updated_at"]) - instant(row["opened_at"])).total_seconds() for row in history]
    resolved = [n for n, state in enumerate(states) if state == "Resolved"]
    work = [n for n, state in enumerate(states) if state == "Active" or state.startswith("Awaiting")]
    entered = [n for n in resolved if n == 0 or states[n - 1] != "Resolved"]
    return {
        "tta": after[work[0]] if work and (not resolved or work[0] < resolved[0]) else None,
        "ttr": after[entered[-1]] if entered else None,
        "ttr_first": after[resolved[0]] if resolved else None,
        "reopenings": sum(n > 0 and states[n - 1] in ("Resolved", "Closed") for n in work),
        "reopen_count": max(int(row["reopen_count"]) for row in history),
        "by_priority": history[-1]["priority"],
        "by_category": history[-1]["category"],
        "by_impact": history[-1]["impact"],
        "month": instant(history[0]["opened_at"]).strftime("%Y-%m"),
    }


def said_by_ledger(incident: Incident) -> dict[str, Any]:
    words = {"critical": "1 - Critical", "high": "2 - High", "medium": "3 - Moderate", "low": "4 - Low"}
    return {
        "tta": incident.time_to_acknowledge_s,
        "ttr": incident.time_to_resolve_s,
        "ttr_first": incident.time_to_first_resolve_s,
        "reopenings": incident.reopen_count,
        "by_priority": words[incident.severity],
        "by_category": incident.labels.get("source_category", "?"),
        "by_impact": incident.labels.get("source_impact", "?"),
        "month": incident.triggered_at.strftime("%Y-%m"),
    }


def figures(seconds: list[float]) -> Figures:
    if len(seconds) < 2:
        return {"n": len(seconds), **dict.fromkeys(("mean_s", "p50_s", "p90_s"), seconds[0] if seconds else None)}
    tenths = statistics.quantiles(seconds, n=10, method="inclusive")
    mean = round(statistics.fmean(seconds), 3)
    return {"n": len(seconds), "mean_s": mean, "p50_s": statistics.median(seconds), "p90_s": tenths[8]}


def shown(wanted: dict[str, Any]) -> Figures:
    return {name: wanted.get(name) for name in ("n", "mean_s", "p50_s", "p90_s")}


def read_back(recorder: LedgerRecorder) -> list[Incident]:
    streams: dict[UUID, list[IncidentEvent]] = defaultdict(list)
    page = recorder.read(0, 10_000, organization_id=ORG)
    while page.entries:
        for entry in page.entries:
            streams[entry.stream_id].append(entry.event)
        page = recorder.read(page.upto, 10_000, organization_id=ORG)
    return [incident for id, events in streams.items() if (incident := fold(id, events)) is not None]


@pytest.mark.parametrize(("log", "name"), [("smoke.csv", "smoke"), ("dev.csv.gz", "dev")])
def test_real_figures(
    make_ledger: Callable[[], LedgerRecorder], real_data: Callable[[str], Path], log: str, name: str
) -> None:
    path = real_data(f"uci-servicenow/{log}")
    truth = json.loads(real_data(f"uci-servicenow/ground_truth_{name}.json").read_text())
    ledger = make_ledger()
    with path.open("rb") as file:
        report = run(read_incidents(file, ORG), ledger)
    ours = {incident.labels["source_number"]: said_by_ledger(incident) for incident in read_back(ledger)}
    theirs = said_by_file(path)

    assert (report.rows_taken, report.incidents_taken) == (truth["events"], truth["incidents"])
    assert (report.rows_read, report.unreadable, report.already_there) == (truth["events"], [], 0)
    assert ours.keys() == theirs.keys()

    assert all(said["reopenings"] == theirs[number]["reopenings"] for number, said in ours.items())
    assert all(said["reopenings"] == theirs[number]["reopen_count"] for number, said in ours.items())
    reopened = [said["reopenings"] for said in ours.values() if said["reopenings"]]
    assert report.reopenings == sum(reopened) == truth["reopenings"]["transitions"]
    assert len(reopened) == truth["reopenings"]["incidents_reopened"]

    # The file never says of these that they were resolved, so it has no times to resolve for them; we have.
    closed = set(report.resolved_by_closing)
    assert closed == {number for number, said in theirs.items() if said["ttr_first"] is None}
    assert closed == set(truth["oddities"]["never_resolved_row"]["first_20"])
    for metric, differing in (("tta", set()), ("ttr", closed), ("ttr_first", closed)):
        assert {number for number, said in ours.items() if said[metric] != theirs[number][metric]} == differing

    for metric, wanted in METRICS.items():
        counted = [said for number, said in ours.items() if metric == "tta" or number not in closed]
        groups: dict[tuple[str, str], list[float]] = defaultdict(list)
        for said in counted:
            if said[metric] is not None:
                groups["overall", ""].append(said[metric])
                for group in GROUPS:
                    groups[group, said[group]].append(said[metric])
        expected = truth["metrics"][wanted]
        assert figures(groups["overall", ""]) == shown(expected["overall"])
        for group in GROUPS:
            for key, figure in expected[group].items():
                assert figures(groups[group, key]) == shown(figure), (metric, group, key)

    months: dict[str, list[str]] = defaultdict(list)
    for number, said in ours.items():
        assert said["month"] == theirs[number]["month"]
        months[said["month"]].append(number)
    assert {month: len(numbers) for month, numbers in months.items()} == truth["incidents_opened_by_month"]
    for metric in METRICS:
        for numbers in months.values():
            counted = [number for number in numbers if metric == "tta" or number not in closed]
            mine, wanted_ = (
                figures([value for n in counted if (value := said[n][metric]) is not None])
                for said in (ours, theirs)
            )
            assert mine == wanted_

    again = run(read_incidents(io.BufferedReader(io.BytesIO(path.read_bytes())), ORG), ledger)
    assert (again.events_written, again.already_there, again.rows_read) == (0, report.incidents, report.rows_read)
    assert again.resolved_by_closing == report.resolved_by_closing
