"""Maps the history of a status page to events: Statuspage's own API form, and the form of status archives.

The first update triggers, Resolved resolves, and work that goes on after it reopens; every other update stays on
the timeline with its words. Nothing in such a history says that somebody took it on, so there is no
acknowledgement.
"""

import io
from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from commands.importers import Imported, LeftOut, Unreadable
from commands.importers import Item as Result
from commands.importers.json_items import Item
from commands.importers.records import read_records
from commands.importers.story import ENDED, OPENED, Story, dicts_of, instant, labels_of, names_of, text
from domain.words import Severity

SOURCE = "statuspage"

SEVERITIES: dict[str, Severity] = {"critical": "critical", "major": "high", "minor": "medium", "none": "low"}
"""From impact. Another one is `medium`; the file's word stays in a label anyway."""

MAINTENANCE = "planned maintenance is no incident"
GOES_ON = frozenset(("investigating", "identified", "monitoring", "in progress", "verifying"))
"""After Resolved, one of these says that it was not over. `Update` and `Postmortem` do not."""


class _Update(NamedTuple):
    key: str
    at: datetime
    status: str
    body: str


def read_incidents(file: io.BufferedReader, organization_id: UUID) -> Iterator[Result]:
    """The incidents of the file in its order, and what of it was left out or could not be read.

    Raises NotThisFormat where the file is CSV without a column `id`, or neither that nor JSON.
    """
    for item in read_records(file, wrappers=("incidents", "scheduled_maintenances")):
        if isinstance(item, Unreadable):
            yield item
        else:
            yield from _read(item, organization_id)


def _read(item: Item, organization_id: UUID) -> Iterator[Result]:
    incident = item.value
    reference = text(incident.get("id")).strip()
    if not reference:
        yield Unreadable(item.place, "no id")
        return
    raw = dicts_of(incident.get("updates")) or dicts_of(incident.get("incident_updates"))
    if text(incident.get("impact")).strip().lower() == "maintenance" or incident.get("scheduled_for"):
        yield LeftOut(item.place, MAINTENANCE, max(1, len(raw)))
        return
    updates: list[_Update] = []
    for n, update in enumerate(raw, start=1):
        found = _update(update)
        if found is None:
            yield Unreadable(item.place, f"update {n} of {reference[:100]} has no time")
        else:
            updates.append(found)
    updates = _in_order(updates)
    begun = instant(incident.get("started_at")) or instant(incident.get("created_at"))
    if not updates:
        if raw:
            return  # all told already
        if begun is None:
            yield Unreadable(item.place, f"{reference[:100]} has neither updates nor a time")
            return
        updates = [_Update(OPENED, begun, text(incident.get("status")), "")]
    yield _told(incident, reference, updates, organization_id)


def _told(incident: dict[str, Any], reference: str, updates: list[_Update], organization_id: UUID) -> Imported:
    story = Story(organization_id, SOURCE, reference)
    first, before = updates[0], ""
    for update in updates:
        story.row(update.key, update.at)
        status = update.status.strip().lower().replace("_", " ")
        if update is first:
            impact = text(incident.get("impact")).strip().lower()
            title = text(incident.get("title")) or text(incident.get("name"))
            story.trigger(title, SEVERITIES.get(impact, "medium"), _labels(incident), description=update.body)
        if status == "resolved":
            story.resolve(None if update is first else update.body)
        elif story.over and status in GOES_ON:
            story.reopen(update.body or update.status)
        elif update is not first:
            said = update.body if status in ("update", before) else f"{update.status}: {update.body}"
            story.update(said.strip() or "Update")
        before = status
    if not story.over and text(incident.get("status")).lower() in ("resolved", "postmortem", "completed"):
        ended = instant(incident.get("resolved_at"))
        if ended is None:
            story.left_open = True
        else:
            story.row(ENDED, ended)
            story.resolve()
    return story.told()


def _update(update: Any) -> _Update | None:
    if not isinstance(update, dict):
        return None
    at = instant(update.get("at")) or instant(update.get("display_at")) or instant(update.get("created_at"))
    if at is None:
        return None
    status, body = text(update.get("status")), text(update.get("message")) or text(update.get("body"))
    return _Update(text(update.get("id")) or f"{at.isoformat()} {status} {body}", at, status, body)


def _in_order(updates: list[_Update]) -> list[_Update]:
    """By time; where times are equal, as in the file, turned round where that tells the newest first."""
    if updates:
        first, last = updates[0], updates[-1]
        if (first.at, _rank(first)) > (last.at, _rank(last)):
            updates.reverse()
    return sorted(updates, key=lambda update: update.at)


def _rank(update: _Update) -> int:
    """Which of two updates of the same instant is likely the earlier one."""
    return {"investigating": 0, "resolved": 2, "postmortem": 3}.get(update.status.strip().lower(), 1)


def _labels(incident: dict[str, Any]) -> dict[str, str]:
    return labels_of(
        (
            ("id", incident.get("id")),
            ("impact", incident.get("impact")),
            ("component", names_of(incident.get("components"))),
            ("url", incident.get("url") or incident.get("shortlink")),
        )
    )
