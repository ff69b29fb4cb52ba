"""The figures against a plain computation over the raw events of random histories."""

import asyncio
import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
from given import T0, at, meta, triggered
from histories import Figures, Histories, Step, figures_of, steps
from hypothesis import HealthCheck, Phase, given, settings

from domain import events as e
from projections.figures import Cohort, summary

NOW = T0 + timedelta(days=30)
UNSHRUNK = (Phase.reuse, Phase.generate)
"""To look for the shortest history that fails would take minutes."""


class Raw:
    """One incident, read off its events."""

    def __init__(self, events: Sequence[Any]) -> None:
        self.figures: Figures = figures_of(events)
        self.severity, self.target = self._last(events, "severity"), self._last(events, "response_target_s")
        self.category = self._last(events, "category", e.CategoryChanged)
        self.team = self._last(events, "team", e.TeamAssigned)
        self.responder = next((x.person_id for x in reversed(events) if isinstance(x, e.ResponderAssigned)), None)
        relabelled = (x.labels for x in reversed(events) if isinstance(x, e.DetailsCorrected))
        self.labels = next((labels for labels in relabelled if labels is not None), events[0].labels)

    @staticmethod
    def _last(events: Sequence[Any], name: str, kind: type = e.SeverityChanged) -> Any:
        return next(getattr(x, name) for x in reversed(events) if isinstance(x, kind | e.IncidentTriggered))

    def late(self) -> bool:
        spent = self.figures.tta
        if spent is None:
            spent = self.figures.ttr
        if spent is None:
            spent = (NOW - self.figures.triggered_at).total_seconds()
        return spent > self.target


KEYS: dict[str, Callable[[Raw], Any]] = {
    "severity": lambda raw: raw.severity,
    "category": lambda raw: raw.category,
    "team": lambda raw: raw.team,
    "responder": lambda raw: None if raw.responder is None else str(raw.responder),
    "label:region": lambda raw: raw.labels.get("region"),
    "none": lambda raw: None,
}


def percentile(ordered: Sequence[float], share: float) -> float:
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def durations(values: Sequence[float | None]) -> dict[str, Any]:
    known = sorted(value for value in values if value is not None)
    if not known:
        return {"n": 0, "mean_s": None, "p50_s": None, "p90_s": None, "p95_s": None, "negative": 0}
    return {
        "n": len(known),
        "mean_s": sum(known) / len(known),
        "p50_s": percentile(known, 0.5),
        "p90_s": percentile(known, 0.9),
        "p95_s": percentile(known, 0.95),
        "negative": len([value for value in known if value < 0]),
    }


def group(key: Any, raws: Sequence[Raw]) -> dict[str, Any]:
    figures = [raw.figures for raw in raws]
    return {
        "key": key,
        "incidents": len(raws),
        "open": sum(f.open for f in figures),
        "acknowledged": sum(f.tta is not None for f in figures),
        "unacknowledged": sum(f.tta is None for f in figures),
        "resolved": sum(not f.open for f in figures),
        "reopened_incidents": sum(f.reopenings > 0 for f in figures),
        "reopenings": sum(f.reopenings for f in figures),
        "tta": durations([f.tta for f in figures]),
        "ttr": durations([f.ttr for f in figures]),
        "ttr_first": durations([f.ttr_first for f in figures]),
        "response_target": {
            "met": sum(r.figures.tta is not None and r.figures.tta <= r.target for r in raws),
            "breached": sum(r.late() for r in raws),
        },
    }


def expected(raws: Sequence[Raw], group_by: str) -> list[dict[str, Any]]:
    groups: dict[Any, list[Raw]] = defaultdict(list)
    for raw in raws:
        groups[KEYS[group_by](raw)].append(raw)
    if group_by == "none":
        return [group(None, raws)]
    return [group(key, groups[key]) for key in sorted(groups, key=lambda key: (key is None, str(key)))]


def computed(dsn: str, cohort: Cohort, group_by: str) -> list[dict[str, Any]]:
    async def ask() -> list[dict[str, Any]]:
        async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
            groups, overall = await summary(connection, cohort, group_by=group_by, now=NOW)
            return [overall] if group_by == "none" else groups

    return asyncio.run(ask())


def same(found: Any, wanted: Any) -> bool:
    """Whether the figures agree, to the microsecond: times have no more."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        return found.keys() == wanted.keys() and all(same(found[name], wanted[name]) for name in wanted)
    if isinstance(found, list) and isinstance(wanted, list):
        return len(found) == len(wanted) and all(map(same, found, wanted))
    if isinstance(wanted, float) and found is not None:  # JSON shows a whole number without its point
        return abs(found - wanted) <= 1.1e-6
    return bool(found == wanted)


def of(history: Histories) -> list[Raw]:
    return [raw for raw in (Raw(history.of(id)) for id in history.incidents) if not raw.figures.merged]


@settings(
    max_examples=12, deadline=None, phases=UNSHRUNK, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(wanted=steps(8, at_most=70))
def test_the_figures_are_what_the_events_say(shared_world: Any, wanted: list[Step]) -> None:
    history = Histories([uuid4() for _ in range(8)], uuid4()).play(wanted)
    shared_world.record(history.ledger)
    shared_world.catch_up()
    raws = of(history)
    for group_by in KEYS:
        found = computed(shared_world.dsn, Cohort(organization_id=history.organization), group_by)
        assert same(found, expected(raws, group_by)), group_by
    middle = sorted(raw.figures.triggered_at for raw in raws)[len(raws) // 2]
    for start, end in ((None, middle), (middle, None), (middle, middle + timedelta(microseconds=1))):
        chosen = [raw for raw in raws if inside(raw.figures.triggered_at, start, end)]
        cohort = Cohort(organization_id=history.organization, start=start, end=end)
        assert same(computed(shared_world.dsn, cohort, "none"), expected(chosen, "none"))
        assert same(computed(shared_world.dsn, cohort, "severity"), expected(chosen, "severity"))


def inside(moment: datetime, start: datetime | None, end: datetime | None) -> bool:
    return (start is None or moment >= start) and (end is None or moment < end)


def test_only_what_is_asked_for_is_counted(shared_world: Any) -> None:
    organization = uuid4()
    for n, (severity, category, team) in enumerate(
        (("high", "bug", "shop"), ("high", None, None), ("low", "bug", "payments"), ("low", "data", "shop"))
    ):
        facts = {"severity": severity, "category": category, "team": team, "number": n + 1}
        event = triggered(n, **facts).model_copy(update={"organization_id": organization})
        shared_world.record([(uuid4(), 1, event)])
    shared_world.catch_up()

    def count(**chosen: Any) -> int:
        cohort = Cohort(organization_id=organization, **chosen)
        return int(computed(shared_world.dsn, cohort, "none")[0]["incidents"])

    assert count() == 4
    assert count(severities=["high"]) == count(categories=["bug"]) == count(teams=["shop"]) == 2
    assert count(severities=["high", "low"]) == 4
    assert count(severities=["low"], categories=["bug", "data"], teams=["shop"]) == 1
    assert count(start=at(1)) == 3
    assert count(start=at(1), end=at(3)) == 2


def test_no_incidents_give_no_figures(shared_world: Any) -> None:
    nobody = Cohort(organization_id=UUID(int=0xFFF))
    assert computed(shared_world.dsn, nobody, "none") == [group(None, [])]
    assert computed(shared_world.dsn, nobody, "severity") == []


def test_merged_incidents_are_left_out_and_negative_times_are_kept(shared_world: Any) -> None:
    organization = uuid4()

    def mine(event: Any) -> Any:
        return event.model_copy(update={"organization_id": organization})

    gone, early = uuid4(), uuid4()
    shared_world.record([
        (gone, 1, mine(triggered(0, number=1))), (early, 1, mine(triggered(10, number=2))),
        (gone, 2, mine(e.IncidentMerged(**meta(1), into=early, into_number=2))),
        (early, 2, mine(e.IncidentAcknowledged(**meta(9)))), (early, 3, mine(e.IncidentResolved(**meta(8)))),
    ])  # fmt: skip
    shared_world.catch_up()
    (found,) = computed(shared_world.dsn, Cohort(organization_id=organization), "none")
    assert found["incidents"] == 1
    assert (found["tta"]["mean_s"], found["tta"]["negative"]) == (-60, 1)
    assert (found["ttr"]["p95_s"], found["ttr"]["negative"]) == (-120, 1)
    assert found["response_target"] == {"met": 1, "breached": 0}
