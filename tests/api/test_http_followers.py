"""What /readyz and /metrics say of those who follow the ledger, of deliveries and of what waits."""

from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from psycopg.types.json import Jsonb
from running import api_alone

from commands.ids import new_id
from fandesk.compose import Config, prepare_read_models


@pytest.fixture(scope="module")
def url(database: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The role api on a database of its own: whoever else follows the ledger would count, too."""
    prepare_read_models(Config(database.dsn, database.owner_dsn, "fandesk", ""))
    with api_alone(database.dsn, tmp_path_factory.mktemp("api")) as url:
        yield url


@pytest.fixture(scope="module")
def rows(database: Any) -> Iterator[psycopg.Connection[Any]]:
    """That database."""
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        yield connection


@pytest.fixture
def follower(rows: psycopg.Connection[Any]) -> Iterator[Callable[..., str]]:
    """Writes rows as followers do, which are gone afterwards."""
    names: list[str] = []

    def write(seen_s_ago: float = 0.0, problem: str | None = None, behind: int = 0, behind_s: float = 0.0) -> str:
        names.append(f"test-{uuid4()}")
        rows.execute(
            "insert into stream.followers (name, seen_at, problem, behind, behind_s)"
            " values (%s, clock_timestamp() - make_interval(secs => %s), %s, %s, %s)",
            (names[-1], seen_s_ago, problem, behind, behind_s),
        )
        return names[-1]

    yield write
    rows.execute("delete from stream.followers where name = any (%s)", (names,))


def _metrics(url: str) -> dict[str, float]:
    answer = httpx.get(f"{url}/metrics")
    assert answer.status_code == 200
    lines = [line for line in answer.text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


@pytest.mark.parametrize(
    ("row", "trouble"),
    [
        ({}, None),
        ({"seen_s_ago": 5}, None),
        ({"seen_s_ago": -30}, None),
        ({"behind": 5000, "behind_s": 10}, None),
        ({"seen_s_ago": 14}, "not seen for 14 s"),
        ({"problem": "Kafka cannot be reached"}, "Kafka cannot be reached"),
        ({"behind": 1200, "behind_s": 42.2}, "42 s behind, 1200 entries"),
        ({"seen_s_ago": 20, "problem": "x", "behind_s": 99}, "not seen for 20 s"),
    ],
    ids=str,
)
def test_a_follower_in_trouble_is_named_with_its_trouble(
    url: str, follower: Callable[..., str], row: dict[str, Any], trouble: str | None
) -> None:
    name = follower(**row)
    answer = httpx.get(f"{url}/readyz")
    metrics = _metrics(url)

    said = answer.json()
    assert said["followers"][name].keys() == {"seen_s_ago", "problem", "behind", "behind_s"}
    assert said["followers"][name]["problem"] == row.get("problem")
    assert said["followers"][name]["behind"] == row.get("behind", 0)
    assert 0 <= said["followers"][name]["seen_s_ago"] < 60
    assert metrics[f'fandesk_follower_up{{follower="{name}"}}'] == (trouble is None)
    assert metrics[f'fandesk_follower_lag_events{{follower="{name}"}}'] == row.get("behind", 0)
    assert metrics[f'fandesk_follower_lag_seconds{{follower="{name}"}}'] == row.get("behind_s", 0)
    if trouble is None:
        assert answer.status_code == 200, answer.text
        assert said["status"] == "ready"
    else:
        assert answer.status_code == 503
        assert f"{name}: {trouble}" in said["status"]
        assert answer.headers["Retry-After"]


def test_every_trouble_is_told_and_none_is_left_behind(url: str, follower: Callable[..., str]) -> None:
    names = [follower(problem="stuck"), follower(), follower(problem="stuck")]

    told = httpx.get(f"{url}/readyz").json()["status"]
    assert [f"{name}: stuck" in told for name in names] == [True, False, True]
    assert httpx.get(f"{url}/healthz").status_code == 200


def test_nobody_who_never_ran_is_judged(url: str) -> None:
    said = httpx.get(f"{url}/readyz").json()

    assert (said["followers"], said["status"], said["projection_lag_s"]) == ({}, "ready", 0)


def test_deliveries_of_a_day_dead_letters_and_the_inbox_are_counted(
    url: str, rows: psycopg.Connection[Any]
) -> None:
    organization, recipient = new_id(), new_id()
    rows.execute("insert into access.organizations (id, name) values (%s, 'o')", (organization,))
    rows.execute(
        "insert into notify.recipients (id, organization_id, name, whatsapp) values (%s, %s, 'n', '+15550100042')",
        (recipient, organization),
    )
    for state, ago in (("read", "1 hour"), ("read", "23 hours"), ("read", "25 hours"), ("cancelled", "1 hour")):
        rows.execute(
            "insert into notify.deliveries"
            " (id, kind, organization_id, recipient_id, channel, content, state, queued_at)"
            " values (%s, 'alert', %s, %s, 'whatsapp', %s, %s, now() - %s::interval)",
            (new_id(), organization, recipient, Jsonb({}), state, ago),
        )
    rows.execute("insert into notify.inbox (key, handled_at) values ('a', null), ('b', null), ('c', now())")
    rows.execute(
        "insert into stream.dead_letters (consumer, source, partition, place, headers, body, reason)"
        " values ('notify', 'log', 0, 1, '[]', '', 'r'), ('notify', 'log', 0, 2, '[]', '', 'r')"
    )

    counted = _metrics(url)
    states = {name: n for name, n in counted.items() if name.startswith("fandesk_deliveries{") and n}
    assert states == {'fandesk_deliveries{state="read"}': 2, 'fandesk_deliveries{state="cancelled"}': 1}
    assert counted['fandesk_deliveries{state="not_configured"}'] == 0
    assert counted["fandesk_inbox_waiting"] == 2
    assert counted['fandesk_dead_letters{consumer="notify"}'] == 2
