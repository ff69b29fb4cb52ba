"""Maps Opsgenie's alerts with their logs and notes to events, one log or note after another.

Opsgenie's logs are sentences: what they begin with tells what happened. Names of people (its user names are mostly
e-mail addresses) never enter events: where its own words name somebody, the id does.
"""

import io
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from commands.importers import Imported, Unreadable
from commands.importers import Item as Result
from commands.importers.json_items import Item
from commands.importers.records import read_records
from commands.importers.story import (
    ACKNOWLEDGED,
    ENDED,
    OPENED,
    Story,
    dict_of,
    dicts_of,
    instant,
    labels_of,
    listed,
    names_of,
    possible,
    ranked,
    text,
)
from domain.decisions import EARLIEST
from domain.events import AlertSeen

SOURCE = "opsgenie"
NOBODY = frozenset(("", "system", "api", "opsgenie", "genie"))
"""Owners that are no people."""

CREATED = re.compile(r"(alert )?created", re.IGNORECASE)
ACKNOWLEDGES = re.compile(r"(alert )?acknowledged", re.IGNORECASE)
CLOSED = re.compile(r"(alert )?(closed|resolved)", re.IGNORECASE)
REOPENED = re.compile(r"(alert )?(reopened|re-opened)", re.IGNORECASE)
PRIORITY = re.compile(r"(?:alert )?priority .*\bto:? ?\[?(P[1-5])", re.IGNORECASE)


class _Row(NamedTuple):
    key: str
    at: datetime
    words: str
    owner: str
    written: bool


def read_incidents(file: io.BufferedReader, organization_id: UUID) -> Iterator[Result]:
    """The alerts of the file as incidents, in its order, and what of it could not be read.

    Raises NotThisFormat where the file is CSV without a column `id`, or neither that nor JSON.
    """
    for item in read_records(file, wrappers=("data", "alerts"), beside=("logs", "notes")):
        if isinstance(item, Unreadable):
            yield item
        else:
            alert = item.value
            if inner := dict_of(alert.get("data")):
                kinds = {kind: _listed(alert, kind) + _listed(inner, kind) for kind in ("logs", "notes")}
                alert = {**inner, **kinds}
            yield from _read(Item(item.place, alert), organization_id)


def _listed(alert: dict[str, Any], kind: str) -> list[Any]:
    return listed(alert.get(kind), "data", kind)


def _read(item: Item, organization_id: UUID) -> Iterator[Result]:
    alert = item.value
    reference = text(alert.get("id")).strip()
    if not reference:
        yield Unreadable(item.place, "no id")
        return
    rows: list[_Row] = []
    for kind in ("logs", "notes"):
        found = []
        for n, value in enumerate(_listed(alert, kind), start=1):
            row = _row(dict_of(value), kind)
            if row is None:
                yield Unreadable(item.place, f"{kind[:-1]} {n} of {reference[:100]} has no time")
            else:
                found.append(row)
        if len(found) > 1 and found[0].at > found[-1].at:
            found.reverse()  # the newest came first
        rows += found
    rows.sort(key=lambda row: row.at)
    begun = _time(alert.get("createdAt")) or (rows[0].at if rows else None)
    if begun is None:
        yield Unreadable(item.place, f"{reference[:100]} has no time at which it was created")
        return
    for name in ("ackTime", "closeTime"):
        said = dict_of(alert.get("report")).get(name)
        if text(said) and _after(begun, said) is None:
            yield Unreadable(item.place, f"report.{name} of {reference[:100]} is no duration: {text(said)[:40]}")
    yield _told(alert, reference, begun, rows, organization_id)


def _told(
    alert: dict[str, Any], reference: str, begun: datetime, rows: list[_Row], organization_id: UUID
) -> Imported:
    story = Story(organization_id, SOURCE, reference)
    report = dict_of(alert.get("report"))
    for owner in (
        alert.get("owner"),
        report.get("acknowledgedBy"),
        report.get("closedBy"),
        *(r.owner for r in rows),
    ):
        _meet(story, text(owner))
    opening = next((row for row in rows if not row.written and CREATED.match(row.words)), None)
    story.row(opening.key if opening else OPENED, begun)
    message = text(alert.get("message"))
    teams = [each for each in dicts_of(alert.get("responders")) if dict_of(each).get("type") == "team"]
    story.trigger(
        message,
        ranked(text(alert.get("priority"))) or "medium",
        _labels(alert),
        description=text(alert.get("description")),
        team=names_of(teams).split(", ")[0] or None,
        alerts=(AlertSeen(fingerprint=(text(alert.get("alias")) or reference)[:500], summary=message[:300]),),
    )
    _alerted(story, alert, begun)
    for row in rows:
        if row is not opening:
            story.row(row.key, row.at)
            _tell(story, row)
    _close(story, alert, report, begun)
    return story.told()


def _tell(story: Story, row: _Row) -> None:
    if row.written:
        story.update(row.words or "Note")
        return
    words = story.without_names(row.words)
    person = _meet(story, row.owner)
    if ACKNOWLEDGES.match(row.words):
        story.acknowledge(words)
        if person is not None and person != story.assignee:
            story.assign(person)  # in Opsgenie whoever acknowledges owns it
    elif CLOSED.match(row.words):
        story.resolve(words)
    elif REOPENED.match(row.words):
        story.reopen(words)
    elif (found := PRIORITY.match(row.words)) and (severity := ranked(found[1])) is not None:
        story.change_severity(severity, words)
    else:
        story.update(words or "Log")


def _alerted(story: Story, alert: dict[str, Any], begun: datetime) -> None:
    """How often it came again, which Opsgenie only counts."""
    said = text(alert.get("count"))
    count = int(said) if said.isascii() and said.isdigit() and len(said) < 10 else 1
    last = _time(alert.get("lastOccurredAt"))
    if count > 1:
        story.row("count", last or begun)
        story.alerted(count - 1, begun)


def _close(story: Story, alert: dict[str, Any], report: dict[str, Any], begun: datetime) -> None:
    """What the alert says of itself and no log does: that it was acknowledged, and that it is closed."""
    acknowledged, closed = (_after(begun, report.get(name)) for name in ("ackTime", "closeTime"))
    if not story.acknowledged and not story.over and acknowledged is not None:
        story.row(ACKNOWLEDGED, acknowledged)
        story.acknowledge()
    if text(alert.get("status")).lower() == "closed" and not story.over:
        ended = closed or _time(alert.get("updatedAt"))
        if ended is None:
            story.left_open = True
            return
        story.row(ENDED, ended)
        story.resolve()
        story.closed_unresolved = True


def _row(value: dict[str, Any], kind: str) -> _Row | None:
    at = _time(value.get("createdAt"))
    if at is None:
        return None
    words = text(value.get("note" if kind == "notes" else "log"))
    owner = text(value.get("owner"))
    # the offset is Opsgenie's own id of a log; a note has none that is stable
    key = text(value.get("offset")) or f"{kind} {at.isoformat()} {words}"
    return _Row(key, at, words, owner, written=kind == "notes")


def _time(value: Any) -> datetime | None:
    """An ISO 8601 text, or milliseconds since 1970, as exports of Opsgenie have either."""
    said = text(value)
    if said.isascii() and said.isdigit() and len(said) < 15:
        return EARLIEST + timedelta(milliseconds=int(said))
    return instant(said)


def _after(begun: datetime, milliseconds: Any) -> datetime | None:
    said = text(milliseconds)
    if not (said.isascii() and said.isdigit() and 0 < len(said) < 13):
        return None
    try:
        at = begun + timedelta(milliseconds=int(said))
    except OverflowError:
        return None
    return at if possible(at) else None


def _meet(story: Story, name: str) -> UUID | None:
    """The id of an owner, where it is a person."""
    return None if name.strip().lower() in NOBODY else story.person(name.strip(), name.strip())


def _labels(alert: dict[str, Any]) -> dict[str, str]:
    own = (
        ("id", alert.get("id")),
        ("number", alert.get("tinyId")),
        ("alias", alert.get("alias")),
        ("priority", alert.get("priority")),
        ("origin", alert.get("source")),
        ("entity", alert.get("entity")),
        ("tags", names_of(alert.get("tags"))),
        (
            "teams",
            names_of([each for each in dicts_of(alert.get("responders")) if dict_of(each).get("type") == "team"]),
        ),
        ("integration", dict_of(alert.get("integration")).get("name")),
    )
    details = dict_of(alert.get("details"))
    return labels_of((*own, *((f"detail_{text(name)}"[:190], value) for name, value in details.items())))
