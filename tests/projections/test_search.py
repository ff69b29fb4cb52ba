"""A search finds the same by the index of words and labels as by a look at each incident."""

import asyncio
from itertools import product
from typing import Any
from uuid import UUID, uuid4

import pytest
from given import triggered
from psycopg import AsyncConnection

from projections import incidents

TITLES = ("disk full", "disk slow in the cellar", "network slow", "login fails", "disk gone", "login slow")

ASKED: dict[str, dict[str, Any]] = {
    "a word": {"text": "disk"},
    "words that are apart": {"text": "disk slow"},
    "without a word": {"text": "slow -disk"},
    "nothing but little words": {"text": "in the"},
    "a word that nobody has": {"text": "volcano"},
    "a label": {"labels": [("region", ["eu"])]},
    "one of two labels": {"labels": [("region", ["eu", "us"])]},
    "two labels": {"labels": [("region", ["eu"]), ("service", ["s1"])]},
    "a label that nobody has": {"labels": [("region", ["asia"])]},
    "a word and a label": {"text": "slow", "labels": [("service", ["s1"])]},
    "a word, a label and a team": {"text": "slow", "labels": [("service", ["s1"])], "teams": ["blue"]},
}


@pytest.fixture(scope="module")
def organization(shared_world: Any) -> UUID:
    """With an incident of each title; and another one that has the same."""
    made = [uuid4(), uuid4()]
    for organization_id in made:
        for n, title in enumerate(TITLES):
            given = {
                "organization_id": organization_id,
                "number": n + 1,
                "title": title,
                "labels": {"region": ("eu", "us")[n % 2], "service": f"s{n % 3}"},
                "team": ("blue", None)[n % 2],
            }
            shared_world.record([(uuid4(), 1, triggered().model_copy(update=given))])
    shared_world.catch_up()
    return made[0]


@pytest.mark.parametrize("asked", ASKED.values(), ids=ASKED)
def test_it_finds_the_same_whether_there_are_few_or_many(
    shared_world: Any, organization: UUID, asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def titles(near: int, few: int, reader: bool = True) -> list[str]:
        monkeypatch.setattr(incidents, "NEAR", near)
        monkeypatch.setattr(incidents, "FEW", few)
        async with await AsyncConnection.connect(shared_world.dsn, autocommit=True) as connection:
            if reader:
                await connection.execute("set role fandesk_reader")
                await connection.execute(
                    "select set_config('fandesk.organization', %s, false)", (str(organization),)
                )
            which = incidents.Filter(organization_id=organization, **asked)
            page, _ = await incidents.search(connection, which, sort="number", limit=4)
            return [incident.title for incident in page]

    by_looking = asyncio.run(titles(0, 0, reader=False))
    for near, few in product((0, 3, 1000), (0, 2, 2000)):
        assert asyncio.run(titles(near, few)) == by_looking


def test_the_index_was_asked(shared_world: Any, organization: UUID) -> None:
    shared_world.rows("select set_config('fandesk.organization', %s, false)", str(organization))
    found = "select cardinality(read.incidents_with(%s, %s::jsonb, 10))"
    assert shared_world.rows(found, "disk", "{}") == [(3,)]
    assert shared_world.rows(found, None, '{"region": "eu", "service": "s1"}') == [(1,)]
    assert shared_world.rows(found, "slow", '{"region": "us"}') == [(2,)]
