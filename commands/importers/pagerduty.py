"""Maps PagerDuty's incidents with their log entries (REST API v2) to events, one log entry after another.

Log entries stand in their incident under `log_entries`, or are items of their own that name it: these are laid
aside on disk until the end of the file, and then joined. Names of people never enter events: where PagerDuty's
own words name somebody, the id does.
"""

import io
from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from commands.importers import Imported, Unreadable
from commands.importers import Item as Result
from commands.importers.json_items import Item
from commands.importers.laid_aside import LaidAside
from commands.importers.pagerduty_entries import URGENCIES, priorities, tell
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
    ranked,
    text,
)
from domain.words import Severity

SOURCE = "pagerduty"


class Entry(NamedTuple):
    """A log entry with its time."""

    at: datetime
    kind: str
    value: dict[str, Any]


def read_incidents(file: io.BufferedReader, organization_id: UUID) -> Iterator[Result]:
    """The incidents of the file, and what of it could not be read; first those that have their log entries with
    them.

    Raises NotThisFormat where the file is CSV without a column `id`, or neither that nor JSON.
    """
    with LaidAside() as aside:
        for item in read_records(file, wrappers=("incidents",), beside=("log_entries",)):
            if isinstance(item, Unreadable):
                yield item
                continue
            value = item.value
            if _is_envelope(value):
                inner = dict_of(value.get("incident"))
                value = {**inner, "log_entries": _listed(inner) + _listed(value)}
            elif "log_entries" in value:
                value = {**value, "log_entries": _listed(value)}
            entries = [value] if _is_entry(value) else []
            if not text(value.get("id")).strip() and dicts_of(value.get("log_entries")):
                entries = dicts_of(value["log_entries"])  # a page of entries
            if entries:
                yield from _lay_aside(aside, item.place, entries)
            elif not text(value.get("id")).strip():
                yield Unreadable(item.place, "no id")
            elif value.get("log_entries"):
                yield from _read(Item(item.place, value), organization_id)
            else:
                aside.add_whole(text(value["id"]).strip(), item.place, value)
        for place, id, whole, parts in aside.joined():
            value = whole if whole is not None else {"id": id, **_named_by(parts)}
            yield from _read(Item(place, {**value, "log_entries": parts}), organization_id)


def _listed(value: dict[str, Any]) -> list[Any]:
    return listed(value.get("log_entries"), "log_entries")


def _is_entry(value: dict[str, Any]) -> bool:
    return text(value.get("type")).removesuffix("_reference").endswith("_log_entry")


def _is_envelope(value: dict[str, Any]) -> bool:
    """Whether it only holds an incident, as the API answers where one is asked for."""
    return not _is_entry(value) and not value.get("id") and isinstance(value.get("incident"), dict)


def _lay_aside(aside: LaidAside, place: int, entries: list[Any]) -> Iterator[Unreadable]:
    for value in entries:
        id = text(dict_of(dict_of(value).get("incident")).get("id")).strip()
        if id:
            aside.add_part(id, place, value)
        else:
            yield Unreadable(place, "a log entry that names no incident")


def _named_by(entries: list[dict[str, Any]]) -> dict[str, Any]:
    """What entries say of an incident that the file does not have itself."""
    named = dict_of(entries[0].get("incident"))
    return {"title": text(named.get("title")) or text(named.get("summary")), "service": entries[0].get("service")}


def _read(item: Item, organization_id: UUID) -> Iterator[Result]:
    incident, entries = item.value, []
    reference = text(incident["id"]).strip()
    for n, value in enumerate(dicts_of(incident.get("log_entries")), start=1):
        at = instant(dict_of(value).get("created_at"))
        if at is None:
            yield Unreadable(item.place, f"log entry {n} of {reference[:100]} has no time")
        else:
            entries.append(Entry(at, text(value.get("type")).removesuffix("_reference"), value))
    if len(entries) > 1 and entries[0].at > entries[-1].at:
        entries.reverse()  # the API gives the newest first
    # of the same instant, what opens it goes before all else
    entries.sort(key=lambda entry: (entry.at, entry.kind != "trigger_log_entry"))
    begun = instant(incident.get("created_at")) or (entries[0].at if entries else None)
    if begun is None:
        yield Unreadable(item.place, f"{reference[:100]} has neither log entries nor a time")
        return
    yield _told(incident, reference, begun, entries, organization_id)


def _told(
    incident: dict[str, Any], reference: str, begun: datetime, entries: list[Entry], organization_id: UUID
) -> Imported:
    story = Story(organization_id, SOURCE, reference)
    for people in (incident.get("assignments"), incident.get("acknowledgements")):
        for each in dicts_of(people):
            _meet(story, dict_of(each).get("assignee") or dict_of(each).get("acknowledger"))
    for entry in entries:
        for person in (entry.value.get("agent"), entry.value.get("user"), *dicts_of(entry.value.get("assignees"))):
            _meet(story, person)
    opening = next((entry for entry in entries if entry.kind == "trigger_log_entry"), None)
    story.row(text(opening.value.get("id")) or OPENED if opening else OPENED, begun)
    title = text(incident.get("title")) or text(incident.get("summary")) or text(incident.get("description"))
    story.trigger(
        title,
        _first_severity(incident, entries),
        _labels(incident),
        description=_description(incident, opening, title),
        team=names_of(incident.get("teams")).split(", ")[0] or None,
    )
    for entry in entries:
        if entry is not opening:
            story.row(text(entry.value.get("id")) or f"{entry.at.isoformat()} {entry.kind}", entry.at)
            tell(story, entry.kind, entry.value)
    _close(story, incident, {entry.kind for entry in entries})
    return story.told()


def _close(story: Story, incident: dict[str, Any], kinds: set[str]) -> None:
    """What the incident says of itself and no entry does: that it was acknowledged, and that it is over."""
    if "acknowledge_log_entry" not in kinds and not story.over:
        times = (instant(dict_of(each).get("at")) for each in dicts_of(incident.get("acknowledgements")))
        first = min((at for at in times if at is not None), default=None)
        if first is not None:
            story.row(ACKNOWLEDGED, first)
            story.acknowledge()
    if text(incident.get("status")).lower() == "resolved" and not story.over:
        at = instant(incident.get("resolved_at")) or instant(incident.get("last_status_change_at"))
        if at is None:
            story.left_open = True
            return
        story.row(ENDED, at)
        story.resolve()
        story.closed_unresolved = True


def _meet(story: Story, person: Any) -> None:
    """Somebody that the file names, so that words of PagerDuty's can do without the name."""
    who = dict_of(person)
    if text(who.get("type")).startswith("user") and text(who.get("id")):
        story.person(text(who["id"]), text(who.get("summary")) or text(who.get("name")))


def _first_severity(incident: dict[str, Any], entries: list[Entry]) -> Severity:
    """As it was at first: what the incident says is its last, and a change of it tells of another one before."""
    urgency = URGENCIES.get(text(incident.get("urgency")).lower())
    for entry in entries:
        channel = dict_of(entry.value.get("channel"))
        if entry.kind == "urgency_change_log_entry":
            after = text(channel.get("urgency") or entry.value.get("urgency")).lower()
            urgency = {"high": "low", "low": "high"}.get(after, urgency)  # type: ignore[assignment]
            break
    priority = dict_of(incident.get("priority"))
    now = ranked(text(priority.get("summary")) or text(priority.get("name")) or text(incident.get("priority")))
    changes = [priorities(entry.value) for entry in entries if entry.kind == "priority_change_log_entry"]
    if any(after for _, after in changes):  # what the incident says came from these
        now = changes[0][0]
    return now or urgency or "medium"


def _description(incident: dict[str, Any], opening: Entry | None, title: str) -> str:
    said = text(dict_of(incident.get("body")).get("details")) or text(incident.get("description"))
    if opening is not None:
        channel = dict_of(opening.value.get("channel"))
        said = said if said and said != title else text(channel.get("details")) or text(channel.get("summary"))
    return "" if said == title else said


def _labels(incident: dict[str, Any]) -> dict[str, str]:
    priority = incident.get("priority")
    service = dict_of(incident.get("service"))
    return labels_of(
        (
            ("id", incident.get("id")),
            ("number", incident.get("incident_number")),
            ("key", incident.get("incident_key")),
            ("service", service.get("summary") or service.get("name")),
            ("urgency", incident.get("urgency")),
            ("priority", dict_of(priority).get("summary") or dict_of(priority).get("name") or priority),
            ("escalation_policy", dict_of(incident.get("escalation_policy")).get("summary")),
            ("teams", names_of(incident.get("teams"))),
            ("url", incident.get("html_url")),
        )
    )
