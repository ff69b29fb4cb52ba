"""Which incidents a question is about: from its parameters to a cohort, and from a cohort to the list of them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, tzinfo
from typing import Annotated
from urllib.parse import urlencode
from uuid import UUID

from fastapi import Depends, Query, Request

from api import schemas
from api.call import Reading, reading
from api.moments import Moment, moment, past, zone
from domain.errors import InvalidField
from domain.words import CATEGORIES, SEVERITIES, rfc3339
from projections.cohort import Cohort

Words = Annotated[list[schemas.Text], Query(max_length=50)]
Zone = Annotated[schemas.Text, Query(max_length=60)]

LABEL = "label:"
MOST_LABELS = 50
LONGEST_LABEL = (200, 10_000)
"""Characters of a label's name and value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A question after figures. as_of: what they would have been then, by what was recorded until then; now: seen
    from when."""

    read: Reading
    cohort: Cohort
    zone: tzinfo
    tz: str
    as_of: datetime | None
    now: datetime


async def asked(
    request: Request,
    read: Annotated[Reading, Depends(reading)],
    from_: Annotated[Moment | None, Query(alias="from")] = None,
    to: Moment | None = None,
    tz: Zone = "UTC",
    as_of: Moment | None = None,
    severity: Words = [],  # noqa: B006
    category: Words = [],  # noqa: B006
    team: Words = [],  # noqa: B006
    responder: Words = [],  # noqa: B006
    source: Words = [],  # noqa: B006
    unlabelled: Words = [],  # noqa: B006
) -> Asked:
    """The question that the parameters ask. Raises InvalidField."""
    where = zone(tz)
    then = past("as_of", as_of, where)
    cohort = Cohort(
        organization_id=read.organization_id,
        start=moment("from", from_, where),
        end=moment("to", to, where),
        severities=known("severity", split(severity), SEVERITIES),
        categories=[none(word) for word in known("category", split(category), (*CATEGORIES, "none"))],
        teams=[none(word) for word in team],
        responders=people("responder", responder),
        sources=source,
        labels=labels(request),
        unlabelled=unlabelled,
        zone=tz,
    )
    return Asked(read=read, cohort=cohort, zone=where, tz=tz, as_of=then, now=then or datetime.now(UTC))


def labels(request: Request) -> list[tuple[str, list[str]]]:
    """The labels that parameters like `label:region=eu` ask for. Raises InvalidField."""
    found: dict[str, list[str]] = {}
    for parameter, value in request.query_params.multi_items():
        if parameter.startswith(LABEL):
            name = parameter.removeprefix(LABEL)
            if not name or len(name) > LONGEST_LABEL[0] or len(value) > LONGEST_LABEL[1] or "\0" in name + value:
                raise InvalidField(LABEL, "Must be a label's name, an equals sign and its value.")
            found.setdefault(name, []).append(value)
            if sum(map(len, found.values())) > MOST_LABELS:
                raise InvalidField(LABEL, f"There may be {MOST_LABELS} of these.")
    return list(found.items())


def link(
    cohort: Cohort, as_of: datetime | None, *, counted: str = "incidents", more: Sequence[tuple[str, object]] = ()
) -> str:
    """Where the incidents of the cohort are listed: all of them, or those that the figure of that name counts."""
    said: list[tuple[str, object]] = [
        *(("severity", word) for word in cohort.severities),
        *(("category", word or "none") for word in cohort.categories),
        *(("team", word or "none") for word in cohort.teams),
        *(("assignee", id or "none") for id in cohort.responders),
        *(("source", word) for word in cohort.sources),
        *((f"{LABEL}{name}", value) for name, values in cohort.labels for value in values),
        *(("unlabelled", name) for name in cohort.unlabelled),
        *((name, rfc3339(at)) for name, at in (("from", cohort.start), ("to", cohort.end)) if at is not None),
        *more,
    ]
    if cohort.hour_of_week is not None:
        said += [("hour_of_week", cohort.hour_of_week), ("tz", cohort.zone)]
    if as_of is not None:
        said.append(("as_of", rfc3339(as_of)))
    return "/api/v1/incidents?" + urlencode([*said, ("figure", counted)])


def narrowed(cohort: Cohort, group_by: str, key: str | None) -> Cohort:
    """Those of the cohort that are in that group."""
    match group_by:
        case "none":
            return cohort
        case "severity":
            return replace(cohort, severities=[str(key)])
        case "category":
            return replace(cohort, categories=[key])
        case "team":
            return replace(cohort, teams=[key])
        case "responder":
            return replace(cohort, responders=[None if key is None else UUID(key)])
    name = group_by.removeprefix(LABEL)
    others = [(other, values) for other, values in cohort.labels if other != name]
    if key is None:
        return replace(cohort, labels=others, unlabelled=[*cohort.unlabelled, name])
    return replace(cohort, labels=[*others, (name, [key])])


def split(words: Sequence[str]) -> list[str]:
    """Words that may be separated by commas as well."""
    return [part.strip() for word in words for part in word.split(",") if part.strip()]


def known(field: str, words: list[str], allowed: tuple[str, ...]) -> list[str]:
    """The words, all of which must be allowed ones. Raises InvalidField."""
    for word in words:
        if word not in allowed:
            raise InvalidField(field, f"Must be one of {', '.join(allowed)}.")
    return words


def none(word: str) -> str | None:
    """The word, but for `none`."""
    return None if word == "none" else word


def people(field: str, words: Sequence[str]) -> list[UUID | None]:
    """The people's ids, None for `none`. Raises InvalidField."""
    try:
        return [None if word == "none" else UUID(word) for word in split(words)]
    except ValueError:
        raise InvalidField(field, "Must be a person's id, or none.") from None
