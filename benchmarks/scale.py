"""Figures, lists, searches, rebuilds and the projector on 1,000,000 incidents with 5,000,000 events.

Two products side by side, each with a PostgreSQL of its own: `large`, and `small` with 10,000 incidents, which
are the large one's last 180 days. Reads are real HTTP, in interleaved rounds; pages have 10 incidents, so that the
small one has a thousandth page, too. rebuild: all read models, against SELECT and `json.loads` of the same log.
keeps up: how long 2,000 events a second take to be in the read models. live: commands and reads while all read
models are rebuilt. Memory is the peak of each process.

`--data` keeps the ledgers in a folder, for another run; making them takes most of the time.
"""

import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from statistics import quantiles
from typing import Any, TypeVar
from urllib.parse import urlencode
from uuid import UUID

if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.dirname(sys.path.pop(0) + os.sep)))

import httpx
import psycopg

from benchmarks import measure, scale_live, years
from commands.importers.run import run
from fandesk import compose
from fandesk.embedded import EmbeddedPostgres
from fandesk.first_start import first_start
from fandesk.migrate import migrate
from projections.rebuild import rebuild
from projections.runner import NeedsRebuild, ensure_tables

LATELY = 10_000
"""Incidents of the last 180 days, which is all that the small ledger has."""

WINDOW = timedelta(days=90)
PAGE = 10
READ_AT_ONCE = 20_000

Answer = TypeVar("Answer")


def apart(work: Callable[..., Answer], *values: Any) -> tuple[Answer, float]:
    """What it gives in a process of its own, and that one's peak in megabytes."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(work, *values).result(), pool.submit(peak_mb).result()


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@contextmanager
def server(folder: Path) -> Iterator[EmbeddedPostgres]:
    """The PostgreSQL of a product that is not running."""
    made = EmbeddedPostgres(folder / "data")
    made.start()
    try:
        yield made
    finally:
        made.stop()


def make(dsn: str, organization_id: UUID, incidents: int) -> float:
    """Events per second, through what imports write with."""
    compose.tune()
    store = compose.open_store(dsn)
    began = time.perf_counter()
    report = run(years.incidents(organization_id, incidents, LATELY, years.whole_hour()), store)
    took = time.perf_counter() - began
    store.close()
    return report.events_written / took


def rebuilt(dsn: str) -> float:
    """Seconds to make all read models anew and switch."""
    compose.tune()
    store = compose.open_store(dsn)
    with psycopg.connect(dsn, autocommit=True) as connection, suppress(NeedsRebuild):
        ensure_tables(connection, compose.read_models())
    began = time.perf_counter()
    rebuild(dsn, store.read, compose.read_models(), reading=partial(compose.reading, dsn))
    took = time.perf_counter() - began
    store.close()
    return took


def selected(dsn: str) -> float:
    """Seconds to SELECT the log and decode it."""
    compose.tune()
    began = time.perf_counter()
    position = 0
    with psycopg.connect(dsn, autocommit=True) as connection:
        while rows := connection.execute(
            "select notification_id, originator_id, originator_version, recorded_at, topic, state"
            " from ledger.events where notification_id > %s order by notification_id limit %s",
            (position, READ_AT_ONCE),
            prepare=True,
            binary=True,
        ).fetchall():
            for row in rows:
                json.loads(row[5])
            position = rows[-1][0]
    return time.perf_counter() - began


def prepare(folder: Path, incidents: int, samples: dict[str, Any]) -> None:
    """A ledger and its read models, where they are not there already."""
    name = folder.name
    with server(folder) as postgres:
        migrate(postgres.dsn("postgres"), app_role="fandesk")
        first = first_start(postgres.dsn("postgres"), "Years", measure.TOKEN)
        if first is not None:
            rate, peak = apart(make, postgres.dsn(), first.organization_id, incidents)
            samples |= {f"{name}_made_per_s": rate, f"{name}_made_peak_mb": peak}
            measure.note(f"{name}: {incidents * years.PER_INCIDENT:,} events at {rate:,.0f}/s, {peak:.0f} MB")
        before, _ = apart(selected, postgres.dsn())
        took, peak = apart(rebuilt, postgres.dsn())
        after, _ = apart(selected, postgres.dsn())
        samples |= {
            f"{name}_rebuild_s": took,
            f"{name}_select_s": [before, after],
            f"{name}_rebuild_peak_mb": peak,
        }
        measure.note(
            f"{name}: rebuilt in {took:.1f} s, {peak:.0f} MB; SELECT and decode {before:.1f} {after:.1f} s"
        )


class Reader:
    """Reads one product over HTTP."""

    def __init__(self, product: measure.Product) -> None:
        self.client = httpx.Client(
            base_url=f"http://127.0.0.1:{product.port}/api/v1",
            headers={"Authorization": f"Bearer {measure.TOKEN}"},
            timeout=120,
        )

    def get(self, path: str, **query: str) -> Any:
        answer = self.client.get(f"{path}?{urlencode(query)}")
        answer.raise_for_status()
        return answer.json()

    def timed(self, path: str, query: dict[str, str]) -> float:
        """Milliseconds."""
        began = time.perf_counter()
        self.get(path, **query)
        return (time.perf_counter() - began) * 1000

    def deep(self, query: dict[str, str]) -> dict[str, str]:
        """The query for its thousandth page, or for the last full one where there are fewer."""
        place, left = query, 999 * PAGE
        while left > 0:
            size = min(left, 200)
            cursor = self.get("/incidents", **place, limit=str(size))["next_cursor"]
            if cursor is None:
                break
            place, left = {**query, "cursor": cursor}, left - size
        return place


def reads(until: datetime) -> dict[str, tuple[str, dict[str, str]]]:
    """What is asked, by name."""
    window = {"from": (until - WINDOW).isoformat(), "to": until.isoformat()}
    lists: dict[str, dict[str, str]] = {
        "all": {},
        "by_severity": {"sort": "severity"},
        "critical": {"severity": "critical"},
        "open": {"status": "open"},
        "team": {"team": "team-3"},
        "label": {"label:service": "service-7"},
        "narrow": {"team": "team-3", "severity": "critical,high", "category": "outage"},
        "counted": {**window, "severity": "high", "figure": "breached"},
        "rare_word": {"q": years.RARE_WORD},
        "common_word": {"q": years.COMMON_WORD},
        "words_and_team": {"q": f"{years.WORDS[1]} {years.WORDS[2]}", "team": "team-5"},
    }
    summary = "/analytics/summary"
    return {
        "summary_window": (summary, {**window, "group_by": "severity"}),
        "summary_history": (summary, {"group_by": "severity"}),
        **{f"list_{name}": ("/incidents", query) for name, query in lists.items()},
    }


def read(large: Reader, small: Reader, rounds: int) -> dict[str, dict[str, list[float]]]:
    """Milliseconds of each read, of both."""
    found: dict[str, dict[str, list[float]]] = {}
    for name, (path, query) in reads(years.whole_hour()).items():
        kinds: dict[str, tuple[dict[str, str], dict[str, str]]] = {name: (query, query)}
        if path == "/incidents":
            kinds[f"{name}_deep"] = large.deep(query), small.deep(query)
        for kind, (of_large, of_small) in kinds.items():
            more = {"limit": str(PAGE)} if path == "/incidents" else {}
            measured = {
                "large": partial(large.timed, path, {**of_large, **more}),
                "small": partial(small.timed, path, {**of_small, **more}),
            }
            for each in measured.values():
                each()
            found[kind] = {"large": [], "small": []}
            for n in range(rounds):
                for size in ("large", "small") if n % 2 else ("small", "large"):
                    found[kind][size].append(measured[size]())
            measure.note(f"{kind:28} " + ", ".join(f"{s} p95 {p95(t):8.1f} ms" for s, t in found[kind].items()))
    return found


def p95(values: list[float]) -> float:
    return quantiles(values, n=20, method="inclusive")[-1]


@contextmanager
def products(folder: Path) -> Iterator[tuple[measure.Product, measure.Product]]:
    large, small = (measure.Product(folder / name) for name in ("large", "small"))
    try:
        large.start(within_s=3600)
        small.start(within_s=3600)
        yield large, small
    finally:
        large.stop()
        small.stop()


def main() -> None:
    parser = measure.arguments(__doc__)
    parser.add_argument("--data", type=Path, help="keep the ledgers here, and take them from here")
    parser.add_argument("--reads", action="store_true", help="only the reads")
    parser.add_argument("--incidents", type=int, help="of the large ledger: 1,000,000, with --quick 50,000")
    options = parser.parse_args()
    incidents, rounds, seconds = (50_000, 10, 10) if options.quick else (1_000_000, 40, 60)
    incidents = options.incidents or incidents
    samples: dict[str, Any] = {"incidents": incidents}
    ratios: dict[str, float] = {}
    with measure.folder() as own:
        folder = options.data or own
        for name, count in (("small", LATELY), ("large", incidents)):
            (folder / name).mkdir(parents=True, exist_ok=True)
            if not options.reads:
                prepare(folder / name, count, samples)
        with products(folder) as (large, small):
            found = read(Reader(large), Reader(small), rounds)
            if not options.reads:
                samples["keeps_up"] = scale_live.keep_up(large, seconds)
                samples["live"] = scale_live.rebuild_live(large)
                samples["peaks_mb"] = peaks = scale_live.peaks(large)
                ratios |= {
                    "rebuild/select": sum(samples["large_select_s"]) / 2 / samples["large_rebuild_s"],
                    "keeps_up_lag_p99_ms": samples["keeps_up"]["lag_p99_ms"],
                    "live_errors": float(len(samples["live"]["wrong"])),
                    "live_lag_most_ms": samples["live"]["lag_most_ms"],
                    "peak/400MB": max(*peaks.values(), samples["large_rebuild_peak_mb"]) / 400,
                }
    for name, times in found.items():
        ratios[name] = p95(times["large"]) / p95(times["small"])
    ratios["summary_history_p95_ms"] = p95(found["summary_history"]["large"])
    aims = {name: "<= 3" for name in found if name.startswith("list")} | {
        "summary_window": "<= 1.5",
        "summary_history_p95_ms": "<= 1000",
        "rebuild/select": ">= 0.2",
        "keeps_up_lag_p99_ms": "<= 500",
        "live_errors": "<= 0",
        "peak/400MB": "<= 1",
    }
    measure.finish("scale", ratios, {**samples, "reads_ms": found}, aims)


if __name__ == "__main__":
    main()
