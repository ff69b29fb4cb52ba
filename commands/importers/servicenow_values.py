"""What the columns of a ServiceNow incident event log mean: dates, states, priorities, and which become labels."""

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Literal

from commands.importers.story import possible
from domain.words import Severity

Values = dict[str, str]
"""A row by column name."""

MISSING = "?"

REQUIRED = ("number", "incident_state", "opened_at", "sys_updated_at", "priority")

_RANKS: dict[str, Severity] = {
    **{"1": "critical", "2": "high", "3": "medium", "4": "low", "5": "low"},
    **{"critical": "critical", "high": "high", "moderate": "medium", "medium": "medium", "low": "low"},
    "planning": "low",
}
_RANK = re.compile(r"p?([1-5])(?: *-.*)?|([a-z]+)")


@lru_cache(maxsize=256)
def severity_of(priority: str) -> Severity | None:
    """From `1 - Critical`, `1`, `P1` or `Critical`. Another priority leaves the severity as it is, `medium` at
    first; the file's word stays in a label anyway."""
    found = _RANK.fullmatch(priority.strip().lower())
    return _RANKS.get(found[1] or found[2]) if found else None


LABELS = {
    "number": "source_number",
    "category": "source_category",
    "subcategory": "source_subcategory",
    "u_symptom": "source_symptom",
    "assignment_group": "source_group",
    "impact": "source_impact",
    "urgency": "source_urgency",
    "priority": "source_priority",
    "location": "source_location",
    "contact_type": "source_contact_type",
    "cmdb_ci": "source_configuration_item",
    "problem_id": "source_problem",
    "rfc": "source_change_request",
    "vendor": "source_vendor",
    "caused_by": "source_caused_by",
}
"""From column to label. Never `closed_code` and the like: they are final values copied onto every row."""

TOLD = ("opened_at", "made_sla", "knowledge", "u_priority_confirmation", "notify")
"""Told with both values where they change. Columns that only count or follow from others are not told."""

TOLD_WITHOUT_VALUES = ("caller_id", "opened_by")
"""These hold names of people, which do not belong in events."""

_DATE = re.compile(r"([0-9]{1,2})/([0-9]{1,2})/([0-9]{4}) ([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?")


_ISO = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2}) ([0-9]{2}):([0-9]{2})(?::([0-9]{2}))?")
"""As ServiceNow's own table API writes them: no day-first date looks so."""


@lru_cache(maxsize=16384)
def when(text: str) -> datetime | None:
    """The instant of a day-first date such as `5/3/2016 09:07` (or `2016-03-05 09:07`), taken as UTC; None where
    it is none."""
    if parts := _DATE.fullmatch(text.strip()):
        day, month, year, hour, minute, second = (int(part or 0) for part in parts.groups())
    elif parts := _ISO.fullmatch(text.strip()):
        year, month, day, hour, minute, second = (int(part or 0) for part in parts.groups())
    else:
        return None
    try:
        instant = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None
    return instant if possible(instant) else None


Kind = Literal["new", "working", "resolved", "closed", "unknown"]
_KINDS: dict[str, Kind] = {
    **{"new": "new", "resolved": "resolved", "closed": "closed", "canceled": "closed", "cancelled": "closed"},
    **{"active": "working", "in progress": "working", "work in progress": "working", "on hold": "working"},
    **{"1": "new", "2": "working", "3": "working", "4": "working", "5": "working"},
    **{"6": "resolved", "7": "closed", "8": "closed"},
}
"""The numbers are ServiceNow's own choice values; 3 to 5 are kinds of waiting."""


@lru_cache(maxsize=256)
def kind(state: str) -> Kind:
    """What a state means for the incident. `-100` and words that we do not know mean nothing."""
    word = state.strip().lower()
    return "working" if word.startswith("awaiting ") else _KINDS.get(word, "unknown")


FINAL = frozenset(("closed_code", "resolved_by", "resolved_at", "closed_at"))
"""An export has the last value of these on every row, so that they differ from export to export."""


@lru_cache(maxsize=256)
def own_columns(columns: tuple[str, ...]) -> list[str]:
    """Those that say something of the row itself, in an order that does not hang on the file's."""
    return sorted(column for column in columns if column not in FINAL)


def known(values: Values, column: str) -> str | None:
    """A column's value; None for `?`, which means that it is missing."""
    value = values.get(column, MISSING).strip()
    return None if value == MISSING or not value else value


def labels(values: Values) -> dict[str, str]:
    """The row's own values, as they are to be found again on the incident."""
    get = values.get
    return {
        label: value
        for column, label in LABELS.items()
        if (value := get(column, MISSING).strip()) != MISSING and value
    }


def updated_by(values: Values) -> str:
    """Who wrote the row, by the file's pseudonym such as `Updated by 804`."""
    return known(values, "sys_updated_by") or "Updated"


_TOLD_OF: tuple[str, ...] = TOLD + TOLD_WITHOUT_VALUES


def sentence(values: Values, before: Values) -> tuple[str, bool]:
    """What a row says in words, and whether that is more than who wrote it and the state it found."""
    state = values["incident_state"].strip()
    was = before.get("incident_state", state).strip()
    said = [state if state == was else f"{was} -> {state}"]
    if before and tuple(map(values.get, _TOLD_OF)) != tuple(map(before.get, _TOLD_OF)):
        for column in TOLD:
            if values.get(column) != before.get(column):
                said.append(f"{column} {before.get(column)} -> {values.get(column)}")
        said += [f"{column} changed" for column in TOLD_WITHOUT_VALUES if values.get(column) != before.get(column)]
    return f"{updated_by(values)}: {'; '.join(said)}", state != was or len(said) > 1
