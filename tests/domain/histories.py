"""Random histories of several incidents, made by commands at random times, and figures read off raw events."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from given import ALICE, BOB, CAROL, T0, TARGETS, asked
from hypothesis import strategies as st

from domain import decisions as d
from domain import events as e
from domain import reactions
from domain.errors import InvalidField, NotAllowedNow
from domain.incident import Incident
from domain.words import CATEGORIES, SEVERITIES

COMMANDS = (
    "acknowledge", "investigate", "resolve", "reopen", "postmortem", "update", "severity", "category", "responder",
    "team", "alerts", "told", "merge", "correct words", "correct trigger", "correct acknowledgement",
    "correct resolve",
)  # fmt: skip
OFTEN = ("resolve", "resolve", "resolve", "reopen", "reopen", "correct resolve")
"""Tried more often: most of what can go wrong does so in those that are reopened."""

PEOPLE = (ALICE, BOB, CAROL)
TEAMS = (None, "shop", "payments")
LABELS = ({}, {"region": "eu"}, {"region": "us", "tier": "1"})


@dataclass(frozen=True)
class Step:
    """One command: on which incident, how long after the last one, how long ago it really happened."""

    which: int
    what: str
    later_s: int
    happened_before_s: int | None
    pick: int
    """Chooses among the values a command may carry."""


def steps(incidents: int, *, at_most: int) -> st.SearchStrategy[list[Step]]:
    one = st.builds(
        Step,
        which=st.integers(0, incidents - 1),
        what=st.sampled_from(COMMANDS + OFTEN),
        later_s=st.integers(0, 7200),
        happened_before_s=st.none() | st.integers(-400, 9000),
        pick=st.integers(0, 11),
    )
    return st.lists(one, min_size=at_most // 2, max_size=at_most)


class Happened(NamedTuple):
    """An event at its place, as it follows the ones before it in the ledger."""

    id: UUID
    version: int
    event: e.IncidentEvent


class Histories:
    """Lives of some incidents, all told by `ledger`. Each command comes at a moment of its own."""

    def __init__(self, ids: Sequence[UUID], organization: UUID) -> None:
        self.ids = ids
        self.organization = organization
        self.incidents: dict[UUID, Incident] = {}
        self.ledger: list[Happened] = []
        self._clock = 0.0
        self._commands = 0

    def of(self, id: UUID) -> list[e.IncidentEvent]:
        return [happened.event for happened in self.ledger if happened.id == id]

    def play(self, wanted: Sequence[Step]) -> "Histories":
        """Trigger all the incidents, then take what is allowed."""
        for which in range(len(self.ids)):
            self.take(Step(which, "trigger", 60, None, which))
        for step in wanted:
            self.take(step)
        return self

    def take(self, step: Step) -> bool:
        """Whether the command was allowed. An incident that is not there yet is triggered instead."""
        self._commands += 1
        self._clock += step.later_s / 60
        minutes = self._clock + self._commands / 60_000_000  # no two commands at the same microsecond
        before = step.happened_before_s
        request = replace(
            asked(minutes, PEOPLE[step.pick % 3], organization=self.organization),
            occurred_at=None if before is None else T0 + timedelta(minutes=minutes) - timedelta(seconds=before),
        )
        id = self.ids[step.which]
        try:
            for stream_id, events in self._decide(step, id, request):
                for event in events:
                    self._record(stream_id, event)
        except (NotAllowedNow, InvalidField):
            return False
        return True

    def _decide(self, step: Step, id: UUID, request: d.Request) -> list[tuple[UUID, d.Events]]:
        pick, incident = step.pick, self.incidents.get(id)
        if incident is None:
            severity, category = SEVERITIES[pick % 4], (None, *CATEGORIES)[pick % 7]
            known = {"severity": severity, "category": category, "team": TEAMS[pick % 3]}
            number, labels = step.which + 1, LABELS[pick % 2]
            return [(id, d.trigger(request, number=number, title="T", labels=labels, targets=TARGETS, **known))]
        now = replace(request, occurred_at=None)
        match step.what:
            case "acknowledge":
                events = d.acknowledge(incident, request)
            case "investigate":
                events = d.investigate(incident, request)
            case "resolve":
                events = d.resolve(incident, request)
            case "reopen":
                events = d.reopen(incident, request, reason="R")
            case "postmortem":
                events = d.start_postmortem(incident, request)
            case "update":
                events = d.post_update(incident, request, body=f"{pick}")
            case "severity":
                events = d.change_severity(incident, request, severity=SEVERITIES[pick % 4], targets=TARGETS)
            case "category":
                events = d.change_category(incident, request, category=(None, *CATEGORIES)[pick % 7])
            case "responder":
                events = d.assign_responder(incident, request, person_id=(None, *(p.id for p in PEOPLE))[pick % 4])
            case "team":
                events = d.assign_team(incident, request, team=TEAMS[pick % 3])
            case "alerts":
                seen = (e.AlertSeen(fingerprint="f", summary="F", count=pick + 1),)
                at = request.at
                events = reactions.receive_alerts(incident, request, first_at=at, last_at=at, alerts=seen)
            case "told":
                outcome = ("sent", "delivered", "read", "failed")[pick % 4]
                step_of = {"delivery_id": id, "recipient_id": id, "channel": "whatsapp", "attempt": 1}
                events = reactions.record_alert(now, outcome=outcome, **step_of)
            case "merge":
                into = self.incidents.get(self.ids[pick % len(self.ids)])
                if into is None:
                    return []
                merged, absorbed = d.merge(incident, into, request)
                return [(id, merged), (into.id, absorbed)]
            case "correct words":
                events = d.correct(incident, request, title=f"T{pick % 3}", labels=LABELS[pick % 3])
            case "correct trigger":
                events = d.correct(incident, now, triggered_at=request.at)
            case "correct acknowledgement":
                events = d.correct(incident, now, acknowledged_at=request.at)
            case _:
                events = d.correct(incident, now, resolved_at=request.at)
        return [(id, events)]

    def _record(self, id: UUID, event: e.IncidentEvent) -> None:
        incident = self.incidents.get(id)
        if incident is not None:
            incident.apply(event)
        else:
            assert isinstance(event, e.IncidentTriggered)
            incident = self.incidents[id] = Incident.opened(id, event)
        self.ledger.append(Happened(id, incident.version, event))


class Figures(NamedTuple):
    """What CONTRACT section 4 says of one incident, from its raw events alone. Times in seconds."""

    triggered_at: datetime
    tta: float | None
    ttr: float | None
    ttr_first: float | None
    open: bool
    reopenings: int
    merged: bool


def figures_of(events: Sequence[e.IncidentEvent]) -> Figures:
    """Each figure found by looking for its event, then for the last correction that speaks of it."""

    def last_of(field: str, found: datetime | None, start: int, end: int) -> datetime | None:
        given = [getattr(x, field) for x in events[start:end] if isinstance(x, e.DetailsCorrected)]
        return next((at for at in reversed(given) if at is not None), found)

    def where(*kinds: type) -> list[int]:
        return [n for n, event in enumerate(events) if isinstance(event, kinds)]

    begin = last_of("triggered_at", events[0].occurred_at, 0, len(events))
    assert begin is not None
    reopenings = where(e.IncidentReopened)
    closings = [n for n in where(e.IncidentResolved, e.IncidentMerged) if not _is_closed(events[:n])]
    answers = where(e.IncidentAcknowledged, e.InvestigationStarted)
    tta = ttr = first = None
    if answers:
        tta = last_of("acknowledged_at", events[answers[0]].occurred_at, answers[0], len(events))
    if closings:
        until = next((n for n in reopenings if n > closings[0]), len(events))
        first = last_of("resolved_at", events[closings[0]].occurred_at, closings[0], until)
        if not any(n > closings[-1] for n in reopenings):
            ttr = last_of("resolved_at", events[closings[-1]].occurred_at, closings[-1], len(events))
    spans = [None if at is None else (at - begin).total_seconds() for at in (tta, ttr, first)]
    return Figures(begin, *spans, ttr is None, len(reopenings), bool(where(e.IncidentMerged)))


def _is_closed(events: Sequence[e.IncidentEvent]) -> bool:
    turns = [x for x in events if isinstance(x, e.IncidentResolved | e.IncidentMerged | e.IncidentReopened)]
    return bool(turns) and not isinstance(turns[-1], e.IncidentReopened)
