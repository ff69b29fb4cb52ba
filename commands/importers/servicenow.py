"""Maps a ServiceNow incident event log (UCI data set 498) to events: one row is one audited update.

The order of a file's rows is the order of its incidents' events, also where their times run backwards. What a
row says that has no event of its own becomes a timeline update, so that no row is lost.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from uuid import UUID

from commands.importers import Imported, Unreadable
from commands.importers.csv_rows import Row
from commands.importers.naming import named
from commands.importers.records import read_rows
from commands.importers.servicenow_values import (
    LABELS,
    REQUIRED,
    Values,
    kind,
    known,
    labels,
    own_columns,
    sentence,
    severity_of,
    updated_by,
    when,
)
from domain import events as e
from domain.decisions import Meta
from domain.words import RESPONSE_TARGETS_S, Severity

SOURCE = "servicenow"
ASSIGNED = ("assignment_group", "assigned_to")
_ACTOR = e.Actor(kind="system")


def read_incidents(file: io.BufferedReader, organization_id: UUID) -> Iterator[Imported | Unreadable]:
    """The incidents of the file in its order, and what of it could not be read; one incident in memory at a time.

    (And all numbers so far, to tell one that comes back.) Raises NotThisFormat where the file is no such log.
    """
    story: _Story | None = None
    seen: set[str] = set()
    for row in map(_checked, read_rows(file, REQUIRED)):
        if isinstance(row, Unreadable):
            yield row
            continue
        number = row.values["number"].strip()
        if story is None or story.number != number:
            if number in seen:
                yield Unreadable(row.line, f"{number} appears again after other incidents; this row is not taken")
                continue
            if story is not None:
                yield story.told()
            seen.add(number)
            import_id = named(organization_id, f"{SOURCE} import:{number}")
            story = _Story(organization_id, number, import_id)
        story.add(row)
    if story is not None:
        yield story.told()


@lru_cache(maxsize=10_000)
def person_id(organization_id: UUID, name: str) -> UUID:
    """The id that stands for a person of the file in events."""
    return named(organization_id, f"{SOURCE} person:{name}")


def _instant(date: str) -> datetime:
    instant = when(date)
    assert instant is not None  # `_checked` saw to that
    return instant


def _checked(row: Row | Unreadable) -> Row | Unreadable:
    if isinstance(row, Unreadable):
        return row
    if known(row.values, "number") is None:
        return Unreadable(row.line, "no incident number")
    for column in ("opened_at", "sys_updated_at"):
        if when(row.values[column]) is None:
            return Unreadable(row.line, f"{column} is no day-first date since 1970: {row.values[column][:40]!r}")
    return row


@dataclass(slots=True)
class _Story:
    """What one incident's rows have told so far. A row is known by all that it says, and as the how manieth of
    those that say the same: so it stays the same row whatever stands around it in another export.

    over: resolved, and not reopened since. working: somebody took it on, or it was reopened.
    """

    organization_id: UUID
    number: str
    import_id: UUID
    events: list[e.IncidentEvent] = field(default_factory=list)
    people: dict[UUID, str] = field(default_factory=dict)
    last: Values = field(default_factory=dict)
    labelled: tuple[str | None, ...] = ()
    shown: dict[str, str] = field(default_factory=dict)
    state: str = ""
    severity: Severity = "medium"
    over: bool = False
    working: bool = False
    closed_unresolved: bool = False
    rows: int = 0
    updates: int = 0
    reopenings: int = 0
    seen: dict[str, int] = field(default_factory=dict)
    unknown: dict[str, int] = field(default_factory=dict)

    def told(self) -> Imported:
        return Imported(
            reference=self.number,
            stream_id=named(self.organization_id, f"{SOURCE}:{self.number}"),
            events=tuple(self.events),
            rows=self.rows,
            updates=self.updates,
            reopenings=self.reopenings,
            closed_unresolved=self.closed_unresolved,
            people=self.people,
            unknown=self.unknown,
        )

    def add(self, row: Row) -> None:
        """Tell one more row: first what it changes in the incident's words, then what it does to its status."""
        self.rows += 1
        values = row.values
        meta = self._meta(row)
        before = len(self.events)
        if self.rows == 1:
            self._open(values, {**meta, "occurred_at": _instant(values["opened_at"])})
        else:
            self._correct(values, meta)
        self._assign(values, meta)
        state = values["incident_state"].strip()
        text, more = sentence(values, self.last)
        unknown = kind(state) == "unknown"
        if unknown:
            self._count_unknown("state", state)
        if not self._change_status(state, meta, text) and (more or unknown or len(self.events) == before):
            self.updates += 1
            self.events.append(e.UpdatePosted(**meta, body=text))
        if not unknown:
            self.state = state
        self.last = values

    def _meta(self, row: Row) -> Meta:
        key = "\x1f".join(map(row.values.__getitem__, own_columns(tuple(row.values))))
        self.seen[key] = nth = self.seen.get(key, 0) + 1
        if nth > 1:
            key = f"{key}\x1f{nth}"
        return {
            "organization_id": self.organization_id,
            "actor": _ACTOR,
            "occurred_at": _instant(row.values["sys_updated_at"]),
            "correlation_id": self.import_id,
            "causation_id": named(self.import_id, key),
        }

    def _severity(self, values: Values) -> Severity:
        if (severity := severity_of(values["priority"])) is None:
            self._count_unknown("priority", values["priority"])
        return severity or self.severity

    def _count_unknown(self, what: str, word: str) -> None:
        words = f"{what} {word.strip()[:100]}"
        self.unknown[words] = self.unknown.get(words, 0) + 1

    def _open(self, values: Values, meta: Meta) -> None:
        self.severity = self._severity(values)
        self.shown = shown = labels(values)
        self.labelled = tuple(map(values.get, LABELS))
        words = [shown.get(f"source_{part}") for part in ("category", "subcategory", "symptom")]
        self.events.append(
            e.IncidentTriggered(
                **meta,
                number=0,
                title=" / ".join(word for word in words if word) or f"ServiceNow {self.number}",
                severity=self.severity,
                response_target_s=RESPONSE_TARGETS_S[self.severity],
                labels=shown,
                source=SOURCE,
                team=shown.get("source_group"),
            )
        )

    def _correct(self, values: Values, meta: Meta) -> None:
        labelled = tuple(map(values.get, LABELS))
        if labelled == self.labelled:
            return  # the priority is among the labels
        self.labelled, reason = labelled, updated_by(values)
        if (changed := labels(values)) != self.shown:
            self.shown = changed
            self.events.append(e.DetailsCorrected(**meta, labels=changed, reason=reason))
        severity = self._severity(values)
        if severity != self.severity:
            target = RESPONSE_TARGETS_S[severity]
            previous, self.severity = self.severity, severity
            self.events.append(
                e.SeverityChanged(
                    **meta, severity=severity, previous=previous, response_target_s=target, reason=reason
                )
            )

    def _assign(self, values: Values, meta: Meta) -> None:
        last = self.last
        if last and tuple(map(values.get, ASSIGNED)) == tuple(map(last.get, ASSIGNED)):
            return
        team, name = known(values, "assignment_group"), known(values, "assigned_to")
        if self.last and team != known(self.last, "assignment_group"):
            self.events.append(e.TeamAssigned(**meta, team=team))
        if name != known(self.last, "assigned_to"):
            person = None if name is None else person_id(self.organization_id, name)
            if person is not None and name is not None:
                self.people[person] = name
            self.events.append(e.ResponderAssigned(**meta, person_id=person))

    def _change_status(self, state: str, meta: Meta, text: str) -> bool:
        """Add the events of what the row does to the incident's status, if anything."""
        match kind(state):
            case "new" | "working" if self.over:
                # New after the end is no work yet, but it is not over either: closer to the truth than resolved.
                self.over, self.working = False, True
                self.reopenings += 1
                self.events.append(e.IncidentReopened(**meta, reason=text))
            case "working" if not self.working:
                self.working = True
                self.events.append(e.IncidentAcknowledged(**meta, note=text))
                self.events.append(e.InvestigationStarted(**meta))
            case "resolved" if self.state != state:
                self.over = True
                self.events.append(e.IncidentResolved(**meta, note=text))
            case "closed" if not self.over:
                self.over = self.closed_unresolved = True
                self.events.append(e.IncidentResolved(**meta, note=text))
            case _:
                return False
        return True
