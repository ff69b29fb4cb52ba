"""Ten years of incidents that never happened: the same each time, for the benchmarks that need a long history."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID, uuid5

from commands.importers import Imported
from domain import events as e
from domain.decisions import Meta
from domain.words import CATEGORIES, RESPONSE_TARGETS_S, SEVERITIES

LATELY: Final = timedelta(days=180)
"""Two windows of 90 days: a summary of one shows the one before as well."""

YEARS: Final = timedelta(days=3650)
PER_INCIDENT: Final = 5
"""Events of each."""

WORDS: Final = (
    "checkout", "latency", "database", "replica", "disk", "certificate", "queue", "consumer",
    "cache", "memory", "timeout", "gateway", "login", "payment", "search", "index",
    "backup", "storage", "network", "packet", "loss", "deploy", "rollback", "feature",
    "flag", "invoice", "export", "mobile", "push",
)  # fmt: skip
RARE: Final = 5000
"""So many rare words there are, each in the title of one incident of as many."""

COMMON_WORD: Final = WORDS[0]
RARE_WORD: Final = "zq77"


def incidents(organization_id: UUID, count: int, lately: int, until: datetime) -> Iterator[Imported]:
    """`count` incidents in order of time: `lately` of them evenly over LATELY before `until`, all others evenly
    over the YEARS before that."""
    dice = random.Random(count)
    people = [uuid5(organization_id, f"person {n}") for n in range(50)]
    before = count - lately
    for n in range(count):
        if n < before:
            at = until - LATELY - YEARS * (1 - n / before)
        else:
            at = until - LATELY * (1 - (n - before) / lately)
        id = uuid5(organization_id, str(n))
        yield Imported(
            reference=str(n),
            stream_id=id,
            events=tuple(_history(dice, organization_id, id, n, at, people)),
            rows=PER_INCIDENT,
        )


def _history(
    dice: random.Random, organization_id: UUID, id: UUID, n: int, at: datetime, people: list[UUID]
) -> Iterator[e.IncidentEvent]:
    person = dice.choice(people)
    severity = dice.choices(SEVERITIES, (2, 10, 50, 38))[0]

    def meta(later_s: float) -> Meta:
        return {
            "organization_id": organization_id,
            "actor": e.Actor(kind="system"),
            "occurred_at": at + timedelta(seconds=later_s),
            "correlation_id": id,
            "causation_id": id,
        }

    yield e.IncidentTriggered(
        **meta(0),
        number=0,
        title=f"{' '.join(dice.sample(WORDS, 4))} zq{n % RARE}",
        description="Seen by the nightly check; customers of the shop may notice.",
        severity=severity,
        category=dice.choice((*CATEGORIES, None)),
        response_target_s=RESPONSE_TARGETS_S[severity],
        labels={"service": f"service-{dice.randrange(200)}", "region": dice.choice(("eu", "us", "asia"))},
        source="api",
        team=f"team-{dice.randrange(20)}",
    )
    acknowledged = dice.expovariate(1 / 900)
    resolved = acknowledged + dice.expovariate(1 / 14_400)
    yield e.ResponderAssigned(**meta(acknowledged / 2), person_id=person)
    if dice.random() < 0.9:
        yield e.IncidentAcknowledged(**meta(acknowledged), note="I take it.")
    else:
        yield e.UpdatePosted(**meta(acknowledged), body="Looking into this later.")
    yield e.UpdatePosted(
        **meta((acknowledged + resolved) / 2), body="The cause is known, a mend is being rolled out."
    )
    if dice.random() < 0.995:
        yield e.IncidentResolved(**meta(resolved), note="Rolled back and watched for ten minutes.")
    else:
        yield e.UpdatePosted(**meta(resolved), body="Still there.")


def whole_hour() -> datetime:
    """Now, to the hour: until when the years go."""
    return datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
