"""Which events an incident's figures follow from."""

from datetime import timedelta
from uuid import uuid4

from given import ID, acknowledged, at, corrected, investigated, meta, reopened, resolved, triggered
from histories import Histories, Step, figures_of, steps
from hypothesis import given

from domain import events as e
from domain.reasons import explain
from domain.recorded import Recorded


def entries(*events: e.IncidentEvent) -> list[Recorded]:
    return [Recorded(n, ID, n, event.occurred_at, event) for n, event in enumerate(events, 1)]


def why(*events: e.IncidentEvent) -> dict[str, tuple[float | str | None, list[int]]]:
    _, figures = explain(entries(*events), at(24 * 60))
    return {name: (reason.result, [entry.position for entry in reason.events]) for name, reason in figures.items()}


def test_a_straight_life() -> None:
    assert why(triggered(), acknowledged(), investigated(), resolved()) == {
        "tta": (300.0, [1, 2]),
        "ttr": (1200.0, [1, 4]),
        "ttr_first": (1200.0, [1, 4]),
        "reopenings": (0, []),
        "response_target": ("met", [1, 2]),
    }


def test_corrections_and_reopenings_are_named() -> None:
    again = resolved(50)
    told = why(
        triggered(), acknowledged(), resolved(), corrected(acknowledged_at=at(70)), reopened(), again,
        corrected(triggered_at=at(-10)), corrected(title="T"), corrected(resolved_at=at(60)),
    )  # fmt: skip
    assert told["tta"] == (80 * 60.0, [1, 2, 4, 7])
    assert told["ttr"] == (70 * 60.0, [1, 6, 7, 9])
    assert told["ttr_first"] == (30 * 60.0, [1, 3, 7])
    assert told["reopenings"] == (1, [5])
    assert told["response_target"] == ("breached", [1, 2, 4, 7])


def test_what_is_not_there_is_null_and_says_why() -> None:
    told = why(triggered(), resolved(), reopened())
    assert told["tta"] == (None, [1])
    assert told["ttr"] == (None, [1, 3])
    assert told["response_target"] == ("breached", [1, 3])
    assert why(triggered(), resolved(9 * 60))["response_target"] == ("breached", [1, 2])
    assert why(triggered(), resolved(1))["response_target"] == (None, [1, 2])
    easier = e.SeverityChanged(**meta(1), severity="low", previous="high", response_target_s=10**6)
    assert why(triggered(), easier)["response_target"] == (None, [1, 2])


@given(wanted=steps(1, at_most=20))
def test_results_are_those_of_the_raw_events(wanted: list[Step]) -> None:
    history = Histories([uuid4()], uuid4()).play(wanted)
    events = history.of(history.ids[0])
    raw = figures_of(events)
    _, figures = explain(entries(*events), at(0) + timedelta(days=300))
    results = [figures[name].result for name in ("tta", "ttr", "ttr_first", "reopenings")]
    assert results == [raw.tta, raw.ttr, raw.ttr_first, raw.reopenings]
    for name, moment in (("tta", raw.tta), ("ttr", raw.ttr)):
        assert moment is None or len(figures[name].events) >= 2
