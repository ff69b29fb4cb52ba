"""Tells one incident's history as events, row by row, whatever format the rows come from."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from commands.importers import Imported
from commands.importers.naming import named
from domain import events as e
from domain.decisions import EARLIEST, Meta
from domain.words import RESPONSE_TARGETS_S, Category, Severity

LONGEST_TITLE = 300
LONGEST_NAME = 100
LONGEST_LABEL = 2000
MOST_LABELS = 100
LONGEST_DESCRIPTION = 100_000
"""Characters, as commands may have them. What is longer is kept whole in an update."""

OPENED, ACKNOWLEDGED, ENDED = OWN_ROWS = ("opened", "acknowledged", "ended")
"""Keys of the rows that tell what an incident says of itself, where no row of the file does."""

_ACTOR = e.Actor(kind="system")


class Story:
    """What has been told so far of one incident. Rows are told in order; each begins with `row`.

    over: resolved, and not reopened since. acknowledged: somebody took it on.
    """

    def __init__(self, organization_id: UUID, source: str, reference: str) -> None:
        self.organization_id = organization_id
        self.source = source
        self.reference = reference
        self.import_id = named(organization_id, f"{source} import:{reference}")
        self.events: list[e.IncidentEvent] = []
        self.people: dict[UUID, str] = {}
        self.severity: Severity = "medium"
        self.assignee: UUID | None = None
        self.over = self.acknowledged = self.closed_unresolved = self.left_open = False
        self.rows = self.updates = self.reopenings = 0
        self._meta: Meta
        self._seen: set[str] = set()

    def row(self, key: str, at: datetime) -> None:
        """What is told from now on is of the row of that key (made unlike others, where it is used already)."""
        unlike, n = key, 1
        while unlike in self._seen:
            n += 1
            unlike = f"{key} {n}"
        self._seen.add(unlike)
        self.rows += 1
        self._meta = {
            "organization_id": self.organization_id,
            "actor": _ACTOR,
            "occurred_at": at,
            "correlation_id": self.import_id,
            "causation_id": named(self.import_id, unlike),
        }

    def trigger(
        self,
        title: str,
        severity: Severity,
        labels: dict[str, str],
        *,
        description: str = "",
        team: str | None = None,
        category: Category | None = None,
        alerts: tuple[e.AlertSeen, ...] = (),
    ) -> None:
        self.severity = severity
        title = " ".join(title.split())
        whole = description
        if len(title) > LONGEST_TITLE:
            whole = f"{title}\n{description}".rstrip()
        self.events.append(
            e.IncidentTriggered(
                **self._meta,
                number=0,
                title=title[:LONGEST_TITLE] or f"{self.source} {self.reference}"[:LONGEST_TITLE],
                description=whole[:LONGEST_DESCRIPTION],
                severity=severity,
                category=category,
                response_target_s=RESPONSE_TARGETS_S[severity],
                labels={k: v[:LONGEST_LABEL] for k, v in list(labels.items())[:MOST_LABELS]},
                source=self.source,
                team=team[:LONGEST_NAME] if team else None,
                alerts=alerts,
            )
        )
        if len(whole) > LONGEST_DESCRIPTION:
            self.events.append(e.UpdatePosted(**self._meta, body=whole))

    def update(self, body: str) -> None:
        """For what no other event says."""
        self.updates += 1
        self.events.append(e.UpdatePosted(**self._meta, body=body))

    def acknowledge(self, note: str | None = None) -> None:
        """The first one; a later one, or one after the end, is an update."""
        if self.acknowledged or self.over:
            self.update(note or "Acknowledged")
            return
        self.acknowledged = True
        self.events.append(e.IncidentAcknowledged(**self._meta, note=note or None))

    def resolve(self, note: str | None = None) -> None:
        """An update where it is resolved already."""
        if self.over:
            self.update(note or "Resolved")
            return
        self.over = True
        self.events.append(e.IncidentResolved(**self._meta, note=note or None))

    def reopen(self, reason: str) -> None:
        """An update where it is open."""
        if not self.over:
            self.update(reason)
            return
        self.over = False
        self.acknowledged = True
        self.reopenings += 1
        self.events.append(e.IncidentReopened(**self._meta, reason=reason))

    def assign(self, person: UUID, because: str | None = None) -> None:
        """An update where they lead it already."""
        if person == self.assignee:
            self.update(because or "Assigned")
            return
        self.assignee = person
        self.events.append(e.ResponderAssigned(**self._meta, person_id=person, because=because or None))

    def change_severity(self, severity: Severity, reason: str | None = None) -> None:
        """An update where it is that already."""
        if severity == self.severity:
            self.update(reason or f"Severity is {severity}")
            return
        previous, self.severity = self.severity, severity
        self.events.append(
            e.SeverityChanged(
                **self._meta,
                severity=severity,
                previous=previous,
                response_target_s=RESPONSE_TARGETS_S[severity],
                reason=reason or None,
            )
        )

    def alerted(self, count: int, first_at: datetime) -> None:
        """So many further alerts came since, until the row's time."""
        until = self._meta["occurred_at"]
        self.events.append(e.AlertReceived(**self._meta, count=count, first_at=first_at, last_at=until))

    def person(self, key: str, name: str) -> UUID:
        """The id that stands for somebody of the file in events. key: what the file knows them by."""
        id = named(self.organization_id, f"{self.source} person:{key}")
        self.people[id] = name[:LONGEST_NAME].strip() or key[:LONGEST_NAME]
        return id

    def without_names(self, text: str) -> str:
        """A text that the other program made, with the people that are known so far named by their ids."""
        for id, name in sorted(self.people.items(), key=lambda each: -len(each[1])):
            if len(name) > 1:
                text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", f"person {id.hex[:8]}", text)
        return text

    def told(self) -> Imported:
        return Imported(
            reference=self.reference,
            stream_id=named(self.organization_id, f"{self.source}:{self.reference}"),
            events=tuple(self.events),
            rows=self.rows,
            updates=self.updates,
            reopenings=self.reopenings,
            closed_unresolved=self.closed_unresolved,
            left_open=self.left_open,
            people=self.people,
        )


def instant(value: Any) -> datetime | None:
    """The instant of an ISO 8601 text (without a zone: UTC); None where it is none since 1970."""
    if not isinstance(value, str):
        return None
    try:
        at = datetime.fromisoformat(value.strip())
        at = (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return at if possible(at) else None


def possible(at: datetime) -> bool:
    """Whether something can have happened then: since 1970, and so that durations can be added to it."""
    return at >= EARLIEST and at.year < 9999


def text(value: Any) -> str:
    """A value of the file as text that can be stored: null is empty, a NUL character is shown as such."""
    if value is None or isinstance(value, dict | list):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value).replace("\0", "\ufffd")


def dict_of(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def dicts_of(value: Any) -> list[Any]:
    """A list's members, also those that are no objects, for the caller to tell; none where it is no list."""
    return value if isinstance(value, list) else []


def listed(value: Any, *names: str) -> list[Any]:
    """A list, or the one that an object holds under one of the names, as an answer of an API does."""
    if isinstance(value, dict):
        return next((each for name in names if isinstance(each := value.get(name), list)), [value])
    return dicts_of(value)


def labels_of(values: Iterable[tuple[str, Any]]) -> dict[str, str]:
    """Labels `source_...` of what there is."""
    found = ((name, text(value).strip()) for name, value in values)
    return {f"source_{name}": value for name, value in found if value}


def names_of(values: Any) -> str:
    """The names in a list of texts or of objects that have one, with commas between."""
    made = (
        text(v.get("name") or v.get("title") or v.get("summary") or v.get("id"))
        if isinstance(v, dict)
        else text(v)
        for v in dicts_of(values)
    )
    return ", ".join(name for name in made if name)


_RANK = re.compile(r"(?:p|sev|s)[-_ ]?([0-9])", re.IGNORECASE)
_RANKED: dict[str, Severity] = {
    "0": "critical",
    "1": "critical",
    "2": "high",
    "3": "medium",
    "4": "low",
    "5": "low",
}


def ranked(word: str) -> Severity | None:
    """The severity of a rank such as P1, SEV-2 or S3."""
    found = _RANK.match(word.strip())
    return _RANKED.get(found[1]) if found is not None else None
