"""`ledger.append` on a real PostgreSQL: what is written, what is refused, and that nothing ever changes."""

import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from eventsourcing.persistence import IntegrityError, StoredEvent
from given import ALICE, at

from commands import codec
from commands.append import Append, Appended, Claim, Key, NewEvent, Waiting
from commands.event_store import LedgerDatastore, LedgerRecorder
from domain import events as e

Ledger = LedgerRecorder


@pytest.fixture
def org() -> UUID:
    """An organisation of the test's own."""
    return uuid4()


@pytest.fixture
def superuser(database: Any) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database.owner_dsn, autocommit=True) as connection:
        yield connection


def facts(org: UUID) -> dict[str, Any]:
    ids = {"correlation_id": uuid4(), "causation_id": uuid4()}
    return {"organization_id": org, "actor": ALICE, "occurred_at": at(0), **ids}


def opening(org: UUID, *claims: Claim, id: UUID | None = None, updates: int = 0) -> Append:
    """Opens an incident, with so many updates after its trigger."""
    id = id or uuid4()
    first = e.IncidentTriggered(**facts(org), number=0, title="T", severity="low", response_target_s=1)
    events = [NewEvent(id, 1, first)]
    events += [NewEvent(id, n + 2, e.UpdatePosted(**facts(org), body=f"{n}")) for n in range(updates)]
    return Append(events=events, claims=list(claims), opens=True)


def update(org: UUID, id: UUID, version: int, *claims: Claim, body: str = "B") -> Append:
    return Append([NewEvent(id, version, e.UpdatePosted(**facts(org), body=body))], list(claims))


def dedup(org: UUID, key: str = "k") -> Key:
    return Key(org, "dedup", key)


def id_of(append: Append) -> UUID:
    return append.events[0].stream_id


def outcomes(results: list[Appended]) -> list[str]:
    return [result.outcome for result in results]


def opened(ledger: Ledger, org: UUID, *claims: Claim) -> UUID:
    """The id of an incident that is there."""
    append = opening(org, *claims)
    assert outcomes(ledger.append([append])) == ["appended"]
    return id_of(append)


def held_by(ledger: Ledger, key: Key) -> UUID | None:
    return ledger.holder(key)


def versions(ledger: Ledger, id: UUID) -> list[int]:
    return [entry.version for entry in ledger.load([id]).streams.get(id, [])]


def bodies(ledger: Ledger, id: UUID) -> list[str]:
    stream = ledger.load([id]).streams[id]
    return [entry.event.body for entry in stream if isinstance(entry.event, e.UpdatePosted)]


def everything(ledger: Ledger, org: UUID) -> list[Any]:
    return ledger.read(0, 10_000, organization_id=org).entries


# Versions


def test_a_command_whose_version_is_taken_leaves_the_others_written(ledger: Ledger, org: UUID) -> None:
    a, b, c = (opened(ledger, org) for _ in range(3))
    ledger.append([update(org, b, 2, body="first")])
    results = ledger.append([update(org, a, 2), update(org, b, 2, body="late"), update(org, c, 2)])
    assert outcomes(results) == ["appended", "version", "appended"]
    assert (bodies(ledger, a), bodies(ledger, b), bodies(ledger, c)) == (["B"], ["first"], ["B"])


def test_later_commands_that_build_on_a_refused_one_fall_with_it(ledger: Ledger, org: UUID) -> None:
    a, b = opened(ledger, org), opened(ledger, org)
    ledger.append([update(org, a, 2, body="first")])
    both = Append([*update(org, b, 2).events, *update(org, a, 4).events])
    results = ledger.append([update(org, a, 2), update(org, a, 3), both, update(org, b, 3), opening(org)])
    assert outcomes(results) == ["version", "version", "version", "version", "appended"]
    assert bodies(ledger, a) == ["first"]
    assert versions(ledger, b) == [1]


def test_a_command_of_several_streams_is_written_whole_or_not_at_all(ledger: Ledger, org: UUID) -> None:
    a, b = opened(ledger, org), opened(ledger, org)
    ledger.append([update(org, b, 2, body="first")])
    both = Append([*update(org, a, 2).events, *update(org, b, 2).events])
    assert outcomes(ledger.append([both])) == ["version"]
    assert (versions(ledger, a), versions(ledger, b)) == ([1], [1, 2])


@pytest.mark.parametrize("version", [3, 99])
def test_a_stream_has_no_gaps(ledger: Ledger, org: UUID, version: int) -> None:
    id = opened(ledger, org)
    assert outcomes(ledger.append([update(org, id, version)])) == ["version"]
    assert outcomes(ledger.append([update(org, uuid4(), 2)])) == ["version"]
    assert versions(ledger, id) == [1]


def test_later_commands_fall_with_one_refused_for_its_claim(ledger: Ledger, org: UUID) -> None:
    holder = opened(ledger, org)
    ledger.append([update(org, holder, 2, Claim("take", dedup(org), holder))])
    id = opened(ledger, org)
    refused = update(org, id, 2, Claim("take", dedup(org), id))
    assert outcomes(ledger.append([refused, update(org, id, 3)])) == ["dedup", "version"]
    assert versions(ledger, id) == [1]


# Claims


def test_what_is_taken_is_refused_to_others_until_it_is_released(ledger: Ledger, org: UUID) -> None:
    a, b = opened(ledger, org), opened(ledger, org)
    assert outcomes(ledger.append([update(org, a, 2, Claim("take", dedup(org), a))])) == ["appended"]
    assert outcomes(ledger.append([update(org, b, 2, Claim("take", dedup(org), b))])) == ["dedup"]
    assert (held_by(ledger, dedup(org)), versions(ledger, b)) == (a, [1])
    assert outcomes(ledger.append([update(org, a, 3, Claim("release", dedup(org, ""), a))])) == ["appended"]
    assert held_by(ledger, dedup(org)) is None
    assert outcomes(ledger.append([update(org, b, 2, Claim("take", dedup(org), b))])) == ["appended"]
    assert held_by(ledger, dedup(org)) == b


def test_organisations_and_scopes_hold_keys_of_their_own(ledger: Ledger, org: UUID) -> None:
    other = uuid4()
    keys = [Key(org, "dedup", "k"), Key(other, "dedup", "k"), Key(org, "idempotency", "k"), Key(org, "dedup", "K")]
    results = ledger.append([opening(key.organization_id, Claim("take", key, uuid4())) for key in keys])
    assert outcomes(results) == ["appended"] * 4


def test_what_must_be_held_must_be_held_by_the_right_one(ledger: Ledger, org: UUID) -> None:
    holder, other = opened(ledger, org), opened(ledger, org)
    held = Claim("held", dedup(org), holder)
    assert outcomes(ledger.append([update(org, holder, 2, held)])) == ["dedup"]
    ledger.append([update(org, holder, 2, Claim("take", dedup(org), holder))])
    assert outcomes(ledger.append([update(org, holder, 3, held)])) == ["appended"]
    assert outcomes(ledger.append([update(org, other, 2, Claim("held", dedup(org), other))])) == ["dedup"]


def test_to_release_frees_all_dedup_keys_of_the_stream_and_nothing_else(ledger: Ledger, org: UUID) -> None:
    a, b, idempotency = opened(ledger, org), opened(ledger, org), Key(org, "idempotency", "i")
    mine = [Claim("take", key, a) for key in (dedup(org, "1"), dedup(org, "2"), idempotency)]
    ledger.append([update(org, a, 2, *mine), update(org, b, 2, Claim("take", dedup(org, "3"), b))])
    ledger.append([update(org, a, 3, Claim("release", dedup(org, ""), a))])
    keys = (dedup(org, "1"), dedup(org, "2"), dedup(org, "3"), idempotency)
    assert [held_by(ledger, key) for key in keys] == [None, None, b, a]


def test_to_move_hands_all_dedup_keys_of_the_stream_to_another(ledger: Ledger, org: UUID) -> None:
    a, b, idempotency = opened(ledger, org), opened(ledger, org), Key(org, "idempotency", "i")
    mine = [Claim("take", key, a) for key in (dedup(org, "1"), dedup(org, "2"), idempotency)]
    ledger.append([update(org, a, 2, *mine), update(org, b, 2, Claim("take", dedup(org, "3"), b))])
    ledger.append([update(org, a, 3, Claim("move", dedup(org, str(b)), a))])
    keys = (dedup(org, "1"), dedup(org, "2"), dedup(org, "3"), idempotency)
    assert [held_by(ledger, key) for key in keys] == [b, b, b, a]


def test_a_refused_command_leaves_its_claims_alone(ledger: Ledger, org: UUID) -> None:
    a, b = opened(ledger, org), opened(ledger, org)
    ledger.append([update(org, a, 2, Claim("take", dedup(org), a))])
    results = ledger.append(
        [
            update(org, a, 2, Claim("release", dedup(org, ""), a)),
            update(org, a, 9, Claim("move", dedup(org, str(b)), a)),
            update(org, b, 9, Claim("take", dedup(org, "new"), b)),
        ]
    )
    assert outcomes(results) == ["version"] * 3
    assert (held_by(ledger, dedup(org)), held_by(ledger, dedup(org, "new"))) == (a, None)


def test_a_command_may_be_only_a_claim(ledger: Ledger, org: UUID) -> None:
    id, key = opened(ledger, org), Key(org, "idempotency", "i")
    claim = Claim("take", key, id, b"\x00\xff\\'\"", 1)
    assert ledger.append([Append(claims=[claim])]) == [Appended("appended", None, None, None)]
    assert ledger.load([], [key]).claims[key] == (id, b"\x00\xff\\'\"", 1)


@pytest.mark.parametrize("key", ['"', "\\", "{a,b}", "NULL", "", " ", "ünï🔥", "a\nb", "'; drop table x; --"])
def test_any_text_can_be_a_key(ledger: Ledger, org: UUID, key: str) -> None:
    id = opened(ledger, org)
    ledger.append([update(org, id, 2, Claim("take", dedup(org, key), id))])
    assert held_by(ledger, dedup(org, key)) == id


# Numbers


def test_numbers_have_no_gaps_in_any_organisation(ledger: Ledger) -> None:
    """Organisations interleaved in one batch, refused commands between them, over several batches."""
    orgs = [uuid4() for _ in range(3)]
    expected = dict.fromkeys(orgs, 0)
    taken = {org: opened(ledger, org, Claim("take", dedup(org), uuid4())) for org in orgs}
    for org in orgs:
        expected[org] += 1
    for turn in range(4):
        batch = []
        for n in range(20):
            org = orgs[(n * n + turn) % 3]
            match n % 5:
                case 1:
                    batch.append(opening(org, Claim("take", dedup(org), uuid4())))  # refused
                case 3:
                    batch.append(update(org, taken[org], 99))  # refused
                case _:
                    batch.append(opening(org, updates=n % 2))
        for append, result in zip(batch, ledger.append(batch), strict=True):
            if append.opens and not append.claims:
                org = append.events[0].event.organization_id
                expected[org] += 1
                assert (result.outcome, result.number) == ("appended", expected[org])
            else:
                assert result.outcome in ("dedup", "version")
                assert result.number is None
    for org in orgs:
        events = [entry.event for entry in everything(ledger, org)]
        numbers = [event.number for event in events if isinstance(event, e.IncidentTriggered)]
        assert numbers == list(range(1, expected[org] + 1))
        assert held_by(ledger, Key(org, "number", str(numbers[-1]))) is not None


def test_incidents_that_are_there_already_disturb_no_numbers(ledger: Ledger, org: UUID) -> None:
    """As when two imports of the same file meet, or a refused command of a repeated call is accepted now."""
    old = [opening(org) for _ in range(3)]
    ledger.append(old)
    mixed = [opening(org), old[0], opening(org), old[2], old[1], opening(org)]
    results = ledger.append(mixed)
    assert outcomes(results) == ["appended"] * 6
    assert [result.number for result in results] == [4, 1, 5, 3, 2, 6]
    assert [result.number for result in ledger.append([opening(org)])] == [7]


# Order


@pytest.mark.parametrize("sizes", [[200], [1] * 40, [1, 50, 3]])
def test_positions_and_times_rise_in_the_order_of_the_batch(ledger: Ledger, org: UUID, sizes: list[int]) -> None:
    before = ledger.head()
    batch = [opening(org, updates=size - 1) for size in sizes]
    results = ledger.append(batch)
    entries = everything(ledger, org)
    expected = [(new.stream_id, new.version) for append in batch for new in append.events]
    assert [(entry.stream_id, entry.version) for entry in entries] == expected
    positions, times = [entry.position for entry in entries], [entry.recorded_at for entry in entries]
    assert before < positions[0]
    assert positions == sorted(set(positions))
    assert times == sorted(set(times))
    last = {entry.stream_id: entry for entry in entries}
    for append, result in zip(batch, results, strict=True):
        entry = last[id_of(append)]
        assert (result.position, result.recorded_at) == (entry.position, entry.recorded_at)


def test_times_rise_from_batch_to_batch_too(ledger: Ledger, org: UUID) -> None:
    for _ in range(30):
        ledger.append([opening(org, updates=99)])
    times = [entry.recorded_at for entry in everything(ledger, org)]
    assert len(times) == 3000
    assert times == sorted(set(times))


def test_times_rise_also_when_the_clock_was_set_back(empty_database: Any, org: UUID) -> None:
    insert = (
        "insert into ledger.events (originator_id, originator_version, organization_id, topic, state, recorded_at)"
        " values (%s, 1, %s, %s, %s, clock_timestamp() + interval '1 hour') returning recorded_at"
    )
    topic, state = codec.encode(opening(org).events[0].event)
    with psycopg.connect(empty_database.owner_dsn, autocommit=True) as connection:
        (later,) = connection.execute(insert, (uuid4(), org, topic, state)).fetchone()
    ledger = LedgerRecorder(LedgerDatastore(empty_database.dsn))
    ledger.append([opening(org, updates=2)])
    times = [entry.recorded_at for entry in everything(ledger, org)]
    ledger.close()
    assert times[0] == later
    assert len(times) == 4
    assert times == sorted(set(times))


# The same again


def test_the_very_same_again_writes_nothing_and_answers_the_same(ledger: Ledger, org: UUID) -> None:
    a, b, c, other = opened(ledger, org), opened(ledger, org), opened(ledger, org), uuid4()
    ledger.append([update(org, a, 2, Claim("take", dedup(org, "held"), a)), update(org, b, 2, body="first")])
    new = uuid4()
    batch = [
        opening(org, Claim("take", dedup(org, "new"), new), id=new, updates=2),
        update(org, b, 2, body="late"),  # refused: version
        opening(org, Claim("take", dedup(org, "held"), uuid4())),  # refused: dedup
        opening(other),
        update(org, new, 4, Claim("take", Key(org, "idempotency", "i"), new, b"h", 4)),
        update(org, a, 3, Claim("release", dedup(org, ""), a)),
        Append([*update(org, a, 4).events, *update(org, c, 2).events]),
        opening(org),
        Append(intake=[waiting(org, a)]),
    ]
    first = ledger.append(batch)
    assert outcomes(first) == ["appended", "version", "dedup"] + ["appended"] * 6
    before = everything(ledger, org)
    held = [held_by(ledger, dedup(org, key)) for key in ("new", "held")]
    again = ledger.append(batch[:2] + batch[3:])  # the one refused for its key would be accepted by now
    assert again == first[:2] + first[3:]
    assert everything(ledger, org) == before
    assert [held_by(ledger, dedup(org, key)) for key in ("new", "held")] == held == [new, None]
    assert ledger.append([opening(org)])[0].number == 6


def test_the_same_again_after_others_went_on_answers_the_same(ledger: Ledger, org: UUID) -> None:
    id = uuid4()
    batch = [opening(org, Claim("take", dedup(org), id), id=id), update(org, id, 2)]
    first = ledger.append(batch)
    ledger.append([update(org, id, 3, Claim("release", dedup(org, ""), id))])
    taker = opened(ledger, org, Claim("take", dedup(org), uuid4()))
    assert ledger.append(batch) == first
    assert versions(ledger, id) == [1, 2, 3]
    assert held_by(ledger, dedup(org)) not in (None, id)
    assert versions(ledger, taker) == [1]


def test_what_is_there_in_part_or_in_other_bytes_is_refused(ledger: Ledger, org: UUID) -> None:
    id = opened(ledger, org)
    sent = update(org, id, 2)
    ledger.append([sent])
    longer = Append([*sent.events, *update(org, id, 3).events])
    other = update(org, id, 2)  # the same body, another cause
    assert outcomes(ledger.append([longer, other])) == ["version", "version"]
    assert versions(ledger, id) == [1, 2]


def waiting(org: UUID, id: UUID, count: int = 1) -> Waiting:
    return Waiting(uuid4(), org, id, uuid4(), at(1), (e.AlertSeen(fingerprint="f", summary="S", count=count),))


def test_intake_is_written_once_and_folded_once(ledger: Ledger, org: UUID, superuser: Any) -> None:
    id = opened(ledger, org)
    rows = [waiting(org, id), waiting(org, id)]
    for _ in range(2):
        assert outcomes(ledger.append([Append(intake=[row]) for row in rows])) == ["appended"] * 2
    fold = update(org, id, 2)
    fold.folds = [row.id for row in rows]
    for _ in range(2):
        assert outcomes(ledger.append([fold])) == ["appended"]
    late = update(org, id, 3)
    late.folds = [rows[1].id]
    assert outcomes(ledger.append([late])) == ["folded"]
    assert versions(ledger, id) == [1, 2]
    found = superuser.execute("select id, folded from ledger.intake where organization_id = %s", (org,)).fetchall()
    assert sorted(found) == sorted((row.id, True) for row in rows)


def test_intake_is_folded_once_also_within_one_call(ledger: Ledger, org: UUID) -> None:
    id = opened(ledger, org)
    rows = [waiting(org, id), waiting(org, id)]
    ledger.append([Append(intake=rows)])
    folds = [update(org, id, 2), update(org, id, 3)]
    for fold in folds:
        fold.folds = [row.id for row in rows]
    assert outcomes(ledger.append(folds)) == ["appended", "folded"]
    assert versions(ledger, id) == [1, 2]


# What is kept


def test_the_exact_bytes_are_kept(ledger: Ledger, org: UUID, superuser: Any) -> None:
    id = opened(ledger, org)
    body = "Ünï \"quoted\" \\ 🔥 {a,b} NULL '%s' \u2028\t"
    append = update(org, id, 2, body=body)
    ledger.append([append])
    query = "select topic, state from ledger.events where originator_id = %s and originator_version = 2"
    assert superuser.execute(query, (id,)).fetchone() == codec.encode(append.events[0].event)
    assert bodies(ledger, id) == [body]


def test_the_readable_view_shows_the_same_as_json(ledger: Ledger, org: UUID, superuser: Any) -> None:
    append = opening(org, updates=1)
    ledger.append([append])
    query = (
        "select position, incident_id, version, organization_id, type, schema_version, recorded_at, occurred_at,"
        " payload from ledger.readable where organization_id = %s order by position"
    )
    rows = superuser.execute(query, (org,)).fetchall()
    entries = everything(ledger, org)
    for row, entry in zip(rows, entries, strict=True):
        assert row[:4] == (entry.position, entry.stream_id, entry.version, org)
        assert row[4:8] == (entry.type, 1, entry.recorded_at, entry.event.occurred_at)
        assert row[8] == json.loads(codec.encode(entry.event)[1])
    assert [row[4] for row in rows] == ["IncidentTriggered", "UpdatePosted"]
    assert rows[0][8]["number"] == 1


CHANGES = [
    "update ledger.events set topic = topic",
    "update ledger.events set recorded_at = now() where false or true",
    "delete from ledger.events",
    "truncate ledger.events",
    "truncate ledger.events cascade",
]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("who", ["the program", "the owner", "a replicating superuser"])
def test_nothing_that_was_written_changes(ledger: Ledger, org: UUID, database: Any, change: str, who: str) -> None:
    opened(ledger, org)
    dsn = database.dsn if who == "the program" else database.owner_dsn
    before = ledger.read(0, 10_000)
    with psycopg.connect(dsn, autocommit=True) as connection:
        if who == "a replicating superuser":
            connection.execute("set session_replication_role = replica")
        reason = "permission denied" if who == "the program" else "the ledger is append-only"
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match=reason):
            connection.execute(change)
    assert ledger.read(0, 10_000) == before


@pytest.mark.parametrize(
    "change",
    [
        "insert into ledger.events (originator_id, originator_version, organization_id, topic, state, recorded_at)"
        " values (gen_random_uuid(), 1, gen_random_uuid(), 'UpdatePosted/1', '{}', now())",
        "insert into ledger.claims values (gen_random_uuid(), 'dedup', 'k', gen_random_uuid())",
        "update ledger.claims set stream_id = gen_random_uuid()",
        "delete from ledger.claims",
        "update ledger.numbers set last = 0",
        "insert into ledger.numbers values (gen_random_uuid(), 5)",
        "delete from ledger.numbers",
        "update ledger.intake set folded = true",
        "delete from ledger.intake",
        "alter table ledger.events disable trigger all",
        "drop trigger events_are_immutable on ledger.events",
        "create or replace function ledger.refuse_change() returns trigger language plpgsql as 'begin end'",
        "drop view ledger.readable",
        "alter sequence ledger.events_notification_id_seq restart with 1",
        "set session_replication_role = replica",
    ],
)
def test_the_program_writes_only_by_the_ledgers_own_function(
    ledger: Ledger, org: UUID, database: Any, change: str
) -> None:
    opened(ledger, org, Claim("take", dedup(org), uuid4()))
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(change)


# The library's own interface


def as_stored(append: Append) -> list[StoredEvent]:
    return [StoredEvent(new.stream_id, new.version, *codec.encode(new.event)) for new in append.events]


def test_the_librarys_recorder_interface_works_on_our_table(ledger: Ledger, org: UUID) -> None:
    start = ledger.max_notification_id()
    given = opening(org, updates=3)
    stored = as_stored(given)
    ledger.insert_events(stored[:2])
    ledger.insert_events(stored[2:])
    assert list(ledger.select_events(id_of(given))) == stored
    assert list(ledger.select_events(id_of(given), gt=1, lte=3, desc=True)) == stored[2:0:-1]
    notifications = ledger.select_notifications((start or 0) + 1, 10)
    assert [(n.originator_id, n.originator_version, n.topic, n.state) for n in notifications] == [
        (s.originator_id, s.originator_version, s.topic, s.state) for s in stored
    ]
    assert ledger.max_notification_id() == notifications[-1].id == ledger.head()
    updates = ledger.select_notifications(start, 10, topics=["UpdatePosted/1"], inclusive_of_start=False)
    assert [n.originator_version for n in updates] == [2, 3, 4]


def test_the_librarys_insert_raises_its_own_error_on_a_conflict(ledger: Ledger, org: UUID) -> None:
    id = opened(ledger, org)
    ledger.append([update(org, id, 2, body="first")])
    with pytest.raises(IntegrityError):
        ledger.insert_events(as_stored(update(org, id, 2)))
    with pytest.raises(IntegrityError):
        ledger.insert_events(as_stored(update(org, id, 4)))
    assert bodies(ledger, id) == ["first"]


def test_the_librarys_subscription_sees_what_is_there_and_what_comes(ledger: Ledger, org: UUID) -> None:
    start, id = ledger.max_notification_id(), opened(ledger, org)
    with ledger.subscribe(gt=start) as subscription:
        seen = [next(subscription)]
        for version in range(2, 6):
            ledger.append([update(org, id, version)])
            seen.append(next(subscription))
    assert [(n.originator_id, n.originator_version) for n in seen] == [(id, n) for n in range(1, 6)]
