"""Maps Google Cloud's public incidents.json to events.

It is triggered when the impact began, acknowledged by the first public word, resolved when it enters AVAILABLE and
reopened when it leaves that again; every other update stays on the timeline with its words.
"""

import io
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from commands.importers import Item as Result
from commands.importers import Unreadable
from commands.importers.json_items import Item
from commands.importers.records import read_records
from commands.importers.story import Story, dict_of, dicts_of, instant, labels_of, names_of, text
from domain.words import Severity

SOURCE = "gcp-status"

SEVERITIES: dict[str, Severity] = {"critical": "critical", "high": "high", "medium": "medium", "low": "low"}
"""Google's words are ours. Another one is `medium`; the file's word stays in a label anyway."""

AVAILABLE = "AVAILABLE"


def read_incidents(file: io.BufferedReader, organization_id: UUID) -> Iterator[Result]:
    """The incidents of the file in its order, and what of it could not be read.

    Raises NotThisFormat where the file is CSV without a column `id`, or neither that nor JSON.
    """
    for item in read_records(file, wrappers=("incidents",)):
        if isinstance(item, Unreadable):
            yield item
        else:
            yield from _read(item, organization_id)


def _read(item: Item, organization_id: UUID) -> Iterator[Result]:
    incident = item.value
    reference = text(incident.get("id")).strip() or text(incident.get("number")).strip()
    begun = instant(incident.get("begin")) or instant(incident.get("created"))
    if not reference or begun is None:
        yield Unreadable(
            item.place, "no id" if not reference else f"{reference[:100]} has no time at which it began"
        )
        return
    updates = []
    raw = dicts_of(incident.get("updates"))
    for n, update in enumerate(raw, start=1):
        at = instant(dict_of(update).get("when")) or instant(dict_of(update).get("created"))
        if at is None:
            yield Unreadable(item.place, f"update {n} of {reference[:100]} has no time")
        else:
            updates.append((at, text(update.get("status")), text(update.get("text"))))
    if len(updates) > 1 and updates[0][0] >= updates[-1][0]:
        updates.reverse()  # the newest comes first: also where times are equal
    updates.sort(key=lambda update: update[0])

    story = Story(organization_id, SOURCE, reference)
    story.row("begin", begun)
    severity = SEVERITIES.get(text(incident.get("severity")).strip().lower(), "medium")
    story.trigger(text(incident.get("external_desc")), severity, _labels(incident))
    created, before = instant(incident.get("created")), ""
    if created is not None:
        story.row("created", created)
        story.acknowledge("First public word")
    for at, status, words in updates:
        story.row(f"{at.isoformat()} {status} {words}", at)
        if status == AVAILABLE and before != AVAILABLE:
            story.resolve(words)
        elif before == AVAILABLE and status != AVAILABLE:
            story.reopen(words or status)
        else:
            story.update((words if status == before else f"{status}: {words}").strip() or status or "Update")
        before = status or before
    story.left_open = not story.over and instant(incident.get("end")) is not None
    yield story.told()


def _labels(incident: dict[str, Any]) -> dict[str, str]:
    return labels_of(
        (
            ("id", incident.get("id")),
            ("number", incident.get("number")),
            ("severity", incident.get("severity")),
            ("status_impact", incident.get("status_impact")),
            ("service", incident.get("service_name")),
            ("products", names_of(incident.get("affected_products"))),
            ("ended_at", incident.get("end")),
            ("url", incident.get("uri")),
        )
    )
