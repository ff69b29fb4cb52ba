"""Which incidents: conditions in SQL on the columns that an incident's facts have in every table of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

from psycopg import sql

Schema = Literal["read", "pg_temp"]
"""Where the tables are: as they stand, or as they stood (see `then`)."""

COUNTED: Final[dict[str, str]] = {
    "incidents": "true",
    "open": "status in ('triggered', 'acknowledged', 'investigating')",
    "acknowledged": "tta_s is not null",
    "unacknowledged": "tta_s is null",
    "resolved": "ttr_s is not null",
    "reopened_incidents": "reopen_count > 0",
    "tta": "tta_s is not null",
    "ttr": "ttr_s is not null",
    "ttr_first": "ttr_first_s is not null",
    **{f"negative_{name}": f"{name}_s < 0" for name in ("tta", "ttr", "ttr_first")},
    "met": "tta_s <= response_target_s",
    "breached": "coalesce(tta_s, ttr_s, extract(epoch from %(now)s - triggered_at)::double precision)"
    " > response_target_s",
}
"""What each figure counts, by columns that the index of `facts` has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cohort:
    """Incidents triggered in [start, end); all that is given must hold, several values of one field are
    alternatives.

    `None` among categories, teams or responders stands for incidents without one. labels: names with the values
    that each may have. unlabelled: names that must not be there. hour_of_week: triggered in that hour of `zone`, 0
    to 167, 0 is Monday from midnight to one.
    """

    organization_id: UUID
    start: datetime | None = None
    end: datetime | None = None
    severities: Sequence[str] = ()
    categories: Sequence[str | None] = ()
    teams: Sequence[str | None] = ()
    responders: Sequence[UUID | None] = ()
    sources: Sequence[str] = ()
    labels: Sequence[tuple[str, Sequence[str]]] = ()
    unlabelled: Sequence[str] = ()
    hour_of_week: int | None = None
    zone: str = "UTC"


_SPELLED: Final = {
    "CET": "Europe/Brussels",
    "MET": "Europe/Brussels",
    "EET": "Europe/Athens",
    "WET": "Europe/Lisbon",
}


def in_sql(zone: str) -> str:
    """The zone by a name that PostgreSQL takes for it: those four it takes for abbreviations, without summer."""
    return _SPELLED.get(zone, zone)


HOUR_OF_WEEK: Final = (
    "(extract(isodow from triggered_at at time zone %(zone)s)::int - 1) * 24"
    " + extract(hour from triggered_at at time zone %(zone)s)::int"
)


def conditions(cohort: Cohort) -> tuple[list[sql.Composable], dict[str, Any]]:
    """The conditions, all of which must hold, and the values of their placeholders."""
    found: list[sql.Composable] = [sql.SQL("organization_id = %(organization)s")]
    values: dict[str, Any] = {"organization": cohort.organization_id, "zone": in_sql(cohort.zone)}
    for name, bound, value in (
        ("start", "triggered_at >= %(start)s", cohort.start),
        ("end", "triggered_at < %(end)s", cohort.end),
        ("hour_of_week", f"{HOUR_OF_WEEK} = %(hour_of_week)s", cohort.hour_of_week),
    ):
        if value is not None:
            found.append(sql.SQL(bound))
            values[name] = value
    alternatives: tuple[tuple[str, Sequence[Any]], ...] = (
        ("severity", cohort.severities),
        ("category", cohort.categories),
        ("team", cohort.teams),
        ("assignee", cohort.responders),
        ("source", cohort.sources),
    )
    for column, wanted in alternatives:
        if wanted:
            condition, values[column] = one_of(column, wanted)
            found.append(condition)
    for n, (name, wanted) in enumerate(cohort.labels):
        found.append(sql.SQL("labels ->> {} = any ({})").format(*map(sql.Placeholder, (f"label{n}", f"value{n}"))))
        values |= {f"label{n}": name, f"value{n}": list(wanted)}
    if cohort.unlabelled:
        found.append(sql.SQL("not labels ?| %(unlabelled)s"))
        values["unlabelled"] = list(cohort.unlabelled)
    return found, values


def one_of(column: str, wanted: Sequence[Any]) -> tuple[sql.Composable, Any]:
    """That the column is one of these, or null where None is among them; and the value of its placeholder, which
    has the column's name. A single value is asked for as such: so one index gives its rows in order of time."""
    name, value = sql.Identifier(column), sql.Placeholder(column)
    if len(wanted) == 1 and wanted[0] is not None:
        return sql.SQL("{} = {}").format(name, value), wanted[0]
    null = sql.SQL(" or {} is null").format(name) if None in wanted else sql.SQL("")
    return sql.SQL("({} = any ({}){})").format(name, value, null), [each for each in wanted if each is not None]


def where(cohort: Cohort) -> tuple[sql.Composable, dict[str, Any]]:
    """The cohort of figures, as a condition on `facts` and the values of its placeholders: merged ones left
    out."""
    found, values = conditions(cohort)
    return sql.SQL(" and ").join([*found, sql.SQL("merged_into is null")]), values
