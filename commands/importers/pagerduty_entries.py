"""What each kind of PagerDuty's log entries says as an event."""

import re
from typing import Any

from commands.importers.story import Story, dict_of, dicts_of, ranked, text
from domain.words import Severity

_SUMMARY = {way: re.compile(rf"\b{way}:? [\"'\[“]?(\w+(?:-\d)?)", re.IGNORECASE) for way in ("from", "to")}
URGENCIES: dict[str, Severity] = {"high": "high", "low": "low"}


def tell(story: Story, kind: str, entry: dict[str, Any]) -> None:
    """Tell one entry after the first trigger. What has no event of its own is an update with the entry's words."""
    channel = dict_of(entry.get("channel"))
    match kind:
        case "acknowledge_log_entry":
            story.acknowledge(_words(story, kind, entry))
        case "resolve_log_entry":
            story.resolve(_words(story, kind, entry))
        case "reopen_log_entry":
            story.reopen(_words(story, kind, entry))
        case "annotate_log_entry":
            written = text(channel.get("summary")) or text(channel.get("content")) or text(entry.get("note"))
            story.update(written or _words(story, kind, entry))
        case "assign_log_entry" | "escalate_log_entry":
            _assign(story, kind, entry)
        case "urgency_change_log_entry":
            urgency = URGENCIES.get(text(channel.get("urgency") or entry.get("urgency")).lower())
            _change(story, urgency, _words(story, kind, entry))
        case "priority_change_log_entry":
            _change(story, priorities(entry)[1], _words(story, kind, entry))
        case "notify_log_entry":
            user = dict_of(entry.get("user")) or dict_of(dict_of(channel).get("user"))
            way = text(dict_of(channel.get("notification")).get("type"))  # its address is the person's own
            who = f"person {story.person(text(user['id']), '').hex[:8]}" if text(user.get("id")) else "somebody"
            story.update(f"Notified {who}" + (f" by {way.removesuffix('_notification')}" if way else ""))
        case _:
            story.update(_words(story, kind, entry))


def priorities(entry: dict[str, Any]) -> tuple[Severity | None, Severity | None]:
    """The severities before and after a change of priority, as far as the entry tells them."""
    channel = dict_of(entry.get("channel"))
    said = text(entry.get("summary")) or text(channel.get("summary"))
    before, after = (_SUMMARY[way].search(said) for way in ("from", "to"))
    new = channel.get("new_priority") or channel.get("priority") or entry.get("priority")
    return (
        _rank(channel.get("old_priority")) or (ranked(before[1]) if before else None),
        _rank(new) or (ranked(after[1]) if after else None),
    )


def _rank(priority: Any) -> Severity | None:
    named = dict_of(priority)
    return ranked(text(named.get("summary") or named.get("name") or priority))


def _change(story: Story, severity: Severity | None, words: str) -> None:
    if severity is None:
        story.update(words)
    else:
        story.change_severity(severity, words)


def _assign(story: Story, kind: str, entry: dict[str, Any]) -> None:
    """The first one leads from now on; that there are others is told."""
    people = [dict_of(each) for each in dicts_of(entry.get("assignees"))]
    users = [each for each in people if text(each.get("id"))]
    words = _words(story, kind, entry)
    if not users:
        story.update(words)
        return
    lead = text(users[0]["id"])
    story.assign(
        story.person(lead, text(users[0].get("summary"))), words if kind == "escalate_log_entry" else None
    )
    if len(users) > 1:
        ids = (story.person(text(each["id"]), text(each.get("summary"))) for each in users)
        story.update("Assigned to " + ", ".join(f"person {id.hex[:8]}" for id in ids))


def _words(story: Story, kind: str, entry: dict[str, Any]) -> str:
    """The entry in words, without names: what was written by hand with it, else PagerDuty's summary."""
    channel = dict_of(entry.get("channel"))
    name = kind.removesuffix("_log_entry").replace("_", " ").strip().capitalize() or "Log entry"
    summary = story.without_names(text(entry.get("summary"))) or name
    note = text(entry.get("note")) or text(channel.get("summary")) or text(channel.get("message"))
    return f"{summary}: {note}" if note and note != summary else summary
