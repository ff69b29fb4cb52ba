"""Why an incident's figures are what they are: for each its rule, its result and the events that made it so."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from domain.events import DetailsCorrected, IncidentTriggered
from domain.incident import Incident
from domain.recorded import Recorded

RULES: Final[dict[str, str]] = {
    "tta": "Seconds from the trigger to the first acknowledgement, or to the start of work where that came first."
    " Null where there was none.",
    "ttr": "Seconds from the trigger to the final resolve. Null while it is open, also when it is open again.",
    "ttr_first": "Seconds from the trigger to the first resolve, whatever came after. Null where there was none.",
    "reopenings": "How often it was reopened.",
    "response_target": "Met: acknowledged within the target of its severity. Breached: not, and the time is over."
    " Null: resolved in time without an acknowledgement, or the time is not over yet.",
}
"""What each figure means. Corrections count as if it had been written down so from the beginning."""

_USES: Final[dict[str, tuple[str, ...]]] = {
    "tta": ("triggered_at", "acknowledged_at"),
    "ttr": ("triggered_at", "resolved_at"),
    "ttr_first": ("triggered_at", "first_resolved_at"),
    "reopenings": ("reopen_count",),
    "response_target": ("triggered_at", "response_target_s", "acknowledged_at"),
}
_FIELDS: Final = sorted({field for uses in _USES.values() for field in uses})
_ADDS: Final = frozenset(("reopen_count",))


class Reason(NamedTuple):
    """A figure of one incident. result: seconds, a number, `met` or `breached`; events: those it follows from, in
    the order of the ledger."""

    rule: str
    result: float | str | None
    events: list[Recorded]


class Explained(NamedTuple):
    """The incident, and its figures by name."""

    incident: Incident
    figures: dict[str, Reason]


def explain(stream: Sequence[Recorded], now: datetime) -> Explained:
    """The figures of the incident whose entries these are, from the first on, seen from `now`."""
    first = stream[0]
    assert isinstance(first.event, IncidentTriggered)
    incident = Incident.opened(first.stream_id, first.event)
    made: dict[str, list[Recorded]] = {"triggered_at": [first], "response_target_s": [first]}
    for entry in stream[1:]:
        before = [getattr(incident, field) for field in _FIELDS]
        incident.apply(entry.event)
        for field, old in zip(_FIELDS, before, strict=True):
            if getattr(incident, field) != old:
                kept = field in _ADDS or isinstance(entry.event, DetailsCorrected)
                made[field] = [*(made.get(field, ()) if kept else ()), entry]
    results: dict[str, float | str | None] = {
        "tta": incident.time_to_acknowledge_s,
        "ttr": incident.time_to_resolve_s,
        "ttr_first": incident.time_to_first_resolve_s,
        "reopenings": incident.reopen_count,
        "response_target": _target(incident, now),
    }
    figures = {}
    for name, rule in RULES.items():
        uses = _USES[name]
        if name == "response_target" and incident.acknowledged_at is None:
            uses = (*uses, "resolved_at")  # what ended the time in which somebody could have acknowledged
        used = _used(made[field] for field in uses if field in made)
        figures[name] = Reason(rule, results[name], used)
    return Explained(incident, figures)


def _target(incident: Incident, now: datetime) -> str | None:
    if incident.response_breached(now):
        return "breached"
    return "met" if incident.acknowledged_at is not None else None


def _used(parts: Iterable[list[Recorded]]) -> list[Recorded]:
    by_position = {entry.position: entry for part in parts for entry in part}
    return [by_position[position] for position in sorted(by_position)]
