"""The executor on a real PostgreSQL: many threads, several processes, repeats, lost connections."""

import random
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from given import ALICE, BOB, CAROL

from commands import executor as executor_module
from commands.batch import Pending
from commands.event_store import LedgerRecorder
from commands.executor import Executor
from commands.ids import new_id
from commands.incident import (
    Acknowledge,
    AssignTeam,
    ClearAlerts,
    Escalate,
    Idempotency,
    IncidentCommand,
    Merge,
    PostUpdate,
    Reopen,
    Resolve,
    Trigger,
)
from commands.intake import fold_waiting
from domain import events as e
from domain.decisions import Request
from domain.errors import (
    DedupKeyTaken,
    IdempotencyKeyReused,
    IncidentNotFound,
    InvalidField,
    NotAllowedNow,
    Overloaded,
    Refusal,
    StaleVersion,
)

Processes = Callable[[], tuple[LedgerRecorder, Executor]]
SENDER = e.Actor(kind="integration", id=UUID(int=77))


@pytest.fixture
def org() -> UUID:
    """An organisation of the test's own."""
    return uuid4()


def asked(org: UUID, by: e.Actor = ALICE) -> Request:
    return Request(org, by, datetime.now(UTC), new_id(), new_id())


def trigger(org: UUID, by: e.Actor = ALICE, **more: Any) -> Trigger:
    known = {"title": "T", "severity": "high", **more}
    return Trigger(request=asked(org, by), incident_id=new_id(), **known)


def change(
    kind: Callable[..., IncidentCommand], org: UUID, id: UUID, by: e.Actor = ALICE, **more: Any
) -> IncidentCommand:
    return kind(request=asked(org, by), incident_id=id, **more)


def key(name: str, content: bytes = b"the request") -> Idempotency:
    return Idempotency(name, content)


def events(store: LedgerRecorder, org: UUID) -> list[e.IncidentEvent]:
    return [entry.event for entry in store.read(0, 100_000, organization_id=org).entries]


def counted(store: LedgerRecorder, org: UUID) -> Counter[str]:
    return Counter(type(event).__name__ for event in events(store, org))


def answer(executor: Executor, command: IncidentCommand) -> Any:
    """The outcome, or the refusal."""
    try:
        return executor.execute(command)
    except Refusal as refusal:
        return refusal


def at_once(tasks: list[Callable[[], Any]]) -> list[Any]:
    """Run all in threads that start together."""
    start = threading.Barrier(len(tasks))

    def run(task: Callable[[], Any]) -> Any:
        start.wait()
        return task()

    with ThreadPoolExecutor(len(tasks)) as pool:
        return list(pool.map(run, tasks))


# Many at once


def test_of_fifty_who_acknowledge_at_once_one_wins_and_the_others_learn_who(
    ledger: LedgerRecorder, executor: Executor, org: UUID
) -> None:
    id = executor.execute(trigger(org)).incident.id
    people = [e.Actor(kind="person", id=uuid4()) for _ in range(50)]
    commands = [change(Acknowledge, org, id, person) for person in people]
    answers = at_once([lambda c=command: answer(executor, c) for command in commands])
    refused = [each for each in answers if isinstance(each, NotAllowedNow)]
    (won,) = [n for n, each in enumerate(answers) if not isinstance(each, Refusal)]
    assert len(refused) == 49
    at = commands[won].request.asked_at
    assert {(r.status, r.acted_by.id, r.acted_at) for r in refused} == {("acknowledged", people[won].id, at)}
    assert counted(ledger, org) == {"IncidentTriggered": 1, "IncidentAcknowledged": 1}


def test_two_processes_that_race_lose_and_double_nothing(
    ledger: LedgerRecorder, processes: Processes, org: UUID
) -> None:
    executors = [processes()[1], processes()[1]]
    ids = [executors[n % 2].execute(trigger(org)).incident.id for n in range(6)]

    def work(which: int, seed: int) -> list[tuple[str, bool]]:
        dice, done = random.Random(seed), []
        for n in range(25):
            body, id = f"{which}-{seed}-{n}", dice.choice(ids)
            one = change(PostUpdate, org, id, body=body)
            if n % 5 == 0:
                one = change(Acknowledge, org, id, note=body)
            done.append((body, not isinstance(answer(executors[which], one), NotAllowedNow)))
        return done

    tasks = [lambda w=n % 2, s=n: work(w, s) for n in range(8)]
    done = [each for part in at_once(tasks) for each in part]
    written = [event for event in events(ledger, org) if not isinstance(event, e.IncidentTriggered)]
    said = Counter(event.body if isinstance(event, e.UpdatePosted) else event.note for event in written)
    assert said == Counter(body for body, ok in done if ok)
    acknowledged = Counter(
        entry.stream_id
        for entry in ledger.read(0, 100_000, organization_id=org).entries
        if isinstance(entry.event, e.IncidentAcknowledged)
    )
    assert set(acknowledged.values()) == {1}
    streams = ledger.load(ids).streams
    assert all([x.version for x in streams[id]] == list(range(1, len(streams[id]) + 1)) for id in ids)


def test_what_a_process_remembers_of_an_incident_decides_nothing_when_it_is_old(
    processes: Processes, org: UUID
) -> None:
    (_, stale), (_, other) = processes(), processes()
    id = stale.execute(trigger(org)).incident.id
    other.execute(change(Acknowledge, org, id, BOB))
    refused = answer(stale, change(Acknowledge, org, id, CAROL))
    assert isinstance(refused, NotAllowedNow)
    assert (refused.status, refused.acted_by) == ("acknowledged", BOB)
    other.execute(change(Resolve, org, id, BOB))
    refused = answer(stale, change(Acknowledge, org, id, CAROL))
    assert (refused.status, refused.acted_by) == ("resolved", BOB)
    other.execute(change(Reopen, org, id, BOB, reason="R"))
    assert stale.execute(change(Resolve, org, id, CAROL)).incident.version == 5
    other.execute(change(Reopen, org, id, BOB, reason="R"))
    other.execute(change(PostUpdate, org, id, BOB, body="B"))
    outcome = stale.execute(change(PostUpdate, org, id, CAROL, body="C", if_match=7))
    assert (outcome.incident.version, outcome.incident.status) == (8, "investigating")


def test_a_refusal_that_only_stands_in_an_old_memory_is_none(processes: Processes, org: UUID) -> None:
    (_, stale), (_, other) = processes(), processes()
    id = stale.execute(trigger(org)).incident.id
    stale.execute(change(Resolve, org, id))
    other.execute(change(Reopen, org, id, BOB, reason="R"))
    assert stale.execute(change(Resolve, org, id)).incident.version == 4


def test_an_incident_of_another_organisation_is_not_there(executor: Executor, org: UUID) -> None:
    id = executor.execute(trigger(org)).incident.id
    assert isinstance(answer(executor, change(Acknowledge, uuid4(), id)), IncidentNotFound)
    assert isinstance(answer(executor, change(Acknowledge, org, new_id())), IncidentNotFound)
    mine = executor.execute(trigger(other := uuid4())).incident.id
    refused = answer(executor, change(Merge, other, mine, into=id))
    assert isinstance(refused, InvalidField)
    assert refused.field == "into"


# Idempotency-Key and If-Match


def test_the_same_key_twenty_times_at_once_is_written_once_and_answered_alike(
    ledger: LedgerRecorder, executor: Executor, org: UUID
) -> None:
    opened = at_once([lambda: executor.execute(trigger(org, idempotency=key("k")))] * 20)
    assert {(o.incident.id, o.incident.version, o.incident.number, o.created, o.position) for o in opened} == {
        (opened[0].incident.id, 1, 1, True, opened[0].position)
    }
    assert sum(not o.replayed for o in opened) == 1
    id = opened[0].incident.id
    updated = at_once([lambda: executor.execute(change(PostUpdate, org, id, body="B", idempotency=key("u")))] * 20)
    assert {(o.incident.version, o.created) for o in updated} == {(2, False)}
    assert counted(ledger, org) == {"IncidentTriggered": 1, "UpdatePosted": 1}


def test_the_same_key_at_once_in_two_processes_is_written_once(
    ledger: LedgerRecorder, processes: Processes, org: UUID
) -> None:
    executors = [processes()[1], processes()[1]]
    tasks = [lambda x=executors[n % 2]: x.execute(trigger(org, idempotency=key("k"))) for n in range(20)]
    assert len({outcome.incident.id for outcome in at_once(tasks)}) == 1
    assert counted(ledger, org) == {"IncidentTriggered": 1}


def test_a_key_used_for_another_request_is_refused(ledger: LedgerRecorder, executor: Executor, org: UUID) -> None:
    id = executor.execute(trigger(org, idempotency=key("k", b"one"))).incident.id
    for other in (
        trigger(org, idempotency=key("k", b"two")),
        change(PostUpdate, org, id, body="B", idempotency=key("k", b"three")),
    ):
        assert isinstance(answer(executor, other), IdempotencyKeyReused)
    assert executor.execute(trigger(uuid4(), idempotency=key("k", b"two"))).created
    assert counted(ledger, org) == {"IncidentTriggered": 1}


def test_a_repeat_gives_the_first_answer_also_when_the_incident_has_moved_on(
    executor: Executor, processes: Processes, org: UUID
) -> None:
    id = executor.execute(trigger(org)).incident.id
    first = executor.execute(change(Acknowledge, org, id, BOB, idempotency=key("a")))
    executor.execute(change(Resolve, org, id))
    executor.execute(change(Reopen, org, id, reason="R"))
    for each in (executor, processes()[1]):
        again = each.execute(change(Acknowledge, org, id, BOB, idempotency=key("a")))
        assert (again.incident, again.position, again.replayed) == (first.incident, first.position, True)
        assert (again.incident.status, again.incident.version) == ("acknowledged", 2)


def test_a_key_of_a_request_that_changed_nothing_is_kept_all_the_same(
    ledger: LedgerRecorder, executor: Executor, org: UUID
) -> None:
    id = executor.execute(trigger(org, team="shop")).incident.id
    first = executor.execute(change(AssignTeam, org, id, team="shop", idempotency=key("t")))
    executor.execute(change(AssignTeam, org, id, team="payments"))
    again = executor.execute(change(AssignTeam, org, id, team="shop", idempotency=key("t")))
    assert (again.incident.team, again.incident.version, again.replayed) == ("shop", 1, True)
    assert first.incident == again.incident
    assert counted(ledger, org) == {"IncidentTriggered": 1, "TeamAssigned": 1}


def test_a_refused_request_does_not_use_up_its_key(executor: Executor, org: UUID) -> None:
    id = executor.execute(trigger(org)).incident.id
    reopen = change(Reopen, org, id, reason="R", idempotency=key("r"))
    assert isinstance(answer(executor, reopen), NotAllowedNow)
    executor.execute(change(Resolve, org, id))
    assert executor.execute(reopen).incident.reopen_count == 1


def test_if_match_holds_a_change_to_the_version_seen(
    ledger: LedgerRecorder, executor: Executor, processes: Processes, org: UUID
) -> None:
    id = executor.execute(trigger(org)).incident.id
    assert executor.execute(change(PostUpdate, org, id, body="B", if_match=1)).incident.version == 2
    processes()[1].execute(change(PostUpdate, org, id, body="B"))
    for stale in (1, 2, 4):
        refused = answer(executor, change(PostUpdate, org, id, body="B", if_match=stale))
        assert isinstance(refused, StaleVersion)
        assert refused.current == 3
    assert executor.execute(change(PostUpdate, org, id, body="B", if_match=3)).incident.version == 4
    assert counted(ledger, org)["UpdatePosted"] == 3


def test_a_timer_that_fires_does_not_make_what_a_person_has_seen_stale(executor: Executor, org: UUID) -> None:
    id = executor.execute(trigger(org)).incident.id
    executor.execute(change(Escalate, org, id, step=1, people=(), everybody=True, round=1))
    assert executor.execute(change(Acknowledge, org, id, if_match=1)).incident.version == 3
    refused = answer(executor, change(PostUpdate, org, id, body="B", if_match=1))
    assert isinstance(refused, StaleVersion)


def test_of_many_who_name_the_same_version_one_wins(executor: Executor, org: UUID) -> None:
    id = executor.execute(trigger(org)).incident.id
    answers = at_once([lambda: answer(executor, change(PostUpdate, org, id, body="B", if_match=1))] * 12)
    assert sum(isinstance(each, StaleVersion) for each in answers) == 11


# Deduplication


def test_while_it_is_open_the_same_dedup_key_attaches(
    ledger: LedgerRecorder, executor: Executor, org: UUID
) -> None:
    first = executor.execute(trigger(org, dedup_key="k"))
    again = executor.execute(trigger(org, dedup_key="k"))
    assert (first.created, again.created) == (True, False)
    assert (again.incident.id, again.incident.alert_count) == (first.incident.id, 1)
    assert executor.execute(trigger(org, dedup_key="other")).created
    assert executor.execute(trigger(uuid4(), dedup_key="k")).created
    executor.execute(change(Resolve, org, first.incident.id))
    anew = executor.execute(trigger(org, dedup_key="k"))
    assert (anew.created, anew.incident.number) == (True, 3)
    assert counted(ledger, org) == {"IncidentTriggered": 3, "AlertReceived": 1, "IncidentResolved": 1}


def test_the_same_dedup_key_at_once_opens_one(ledger: LedgerRecorder, processes: Processes, org: UUID) -> None:
    executors = [processes()[1], processes()[1]]
    tasks = [lambda x=executors[n % 2]: x.execute(trigger(org, dedup_key="k")) for n in range(16)]
    outcomes = at_once(tasks)
    assert sum(outcome.created for outcome in outcomes) == 1
    assert counted(ledger, org) == {"IncidentTriggered": 1, "AlertReceived": 15}


def test_integrations_have_dedup_keys_of_their_own(executor: Executor, org: UUID) -> None:
    one, two = (e.Actor(kind="integration", id=uuid4()) for _ in range(2))
    assert all(executor.execute(trigger(org, by, dedup_key="k")).created for by in (one, two, ALICE))
    assert not executor.execute(trigger(org, BOB, dedup_key="k")).created


def test_what_is_reopened_holds_its_dedup_key_again(executor: Executor, org: UUID) -> None:
    id = executor.execute(trigger(org, dedup_key="k")).incident.id
    executor.execute(change(Resolve, org, id))
    executor.execute(change(Reopen, org, id, reason="R"))
    assert executor.execute(trigger(org, dedup_key="k")).incident.id == id


@pytest.mark.parametrize("by", [ALICE, SENDER], ids=["a person's", "an integration's"])
def test_nothing_is_reopened_while_another_is_open_for_the_same_alerts(
    executor: Executor, processes: Processes, org: UUID, by: e.Actor
) -> None:
    id = executor.execute(trigger(org, by, dedup_key="k")).incident.id
    executor.execute(change(Resolve, org, id))
    other = executor.execute(trigger(org, by, dedup_key="k")).incident.id
    for each in (executor, processes()[1]):
        refused = answer(each, change(Reopen, org, id, reason="R"))
        assert isinstance(refused, DedupKeyTaken)
        assert refused.incident_id == other
        assert "INC-2 is open" in refused.detail
    executor.execute(change(Resolve, org, other))
    assert executor.execute(change(Reopen, org, id, reason="R")).incident.is_open


def test_a_merge_takes_the_alerts_along(executor: Executor, org: UUID) -> None:
    one = executor.execute(trigger(org, dedup_key="k")).incident.id
    two = executor.execute(trigger(org, dedup_key="l")).incident.id
    executor.execute(change(Merge, org, one, into=two))
    assert executor.execute(trigger(org, dedup_key="k")).incident.id == two
    assert executor.execute(trigger(org, dedup_key="l")).incident.id == two
    executor.execute(change(Resolve, org, two))
    assert executor.execute(trigger(org, dedup_key="k")).created
    assert executor.execute(trigger(org, dedup_key="l")).created


def test_a_key_follows_two_merges_of_one_batch(executor: Executor, org: UUID) -> None:
    one = executor.execute(trigger(org, dedup_key="k")).incident.id
    two = executor.execute(trigger(org)).incident.id
    three = executor.execute(trigger(org)).incident.id
    merges = [change(Merge, org, one, into=two), change(Merge, org, two, into=three)]
    batch = [Pending(merge, lambda _: None, attended=True) for merge in merges]

    assert executor._batches.settle(batch) == []

    assert [pending.result().incident.merged_into for pending in batch] == [two, three]
    assert executor.execute(trigger(org, dedup_key="k")).incident.id == three
    executor.execute(change(Resolve, org, three))
    assert executor.execute(trigger(org, dedup_key="k")).created


def test_repeated_all_clears_of_a_merged_incident_are_said_once(executor: Executor, org: UUID) -> None:
    one = executor.execute(trigger(org, SENDER, dedup_key="k")).incident.id
    two = executor.execute(trigger(org)).incident.id
    executor.execute(change(Merge, org, one, into=two))
    cleared = {"request": asked(org, SENDER), "incident_id": two, "dedup_key": "k", "summary": "over"}

    said = executor.execute(ClearAlerts(**cleared)).incident

    assert (said.status, said.version) == ("triggered", 3)
    assert executor.execute(trigger(org, SENDER, dedup_key="k")).created, "the key is free again"


def test_a_merge_into_what_is_over_frees_the_dedup_key(executor: Executor, org: UUID) -> None:
    one = executor.execute(trigger(org, dedup_key="k")).incident.id
    two = executor.execute(trigger(org)).incident.id
    executor.execute(change(Resolve, org, two))
    executor.execute(change(Merge, org, one, into=two))
    assert executor.execute(trigger(org, dedup_key="k")).created


def test_a_merge_counts_the_alerts_of_both_and_answers_the_merged_one(executor: Executor, org: UUID) -> None:
    one = executor.execute(trigger(org, dedup_key="k")).incident.id
    executor.execute(trigger(org, dedup_key="k"))
    two = executor.execute(trigger(org)).incident.id
    merged = executor.execute(change(Merge, org, one, into=two)).incident
    assert (merged.id, merged.merged_into, merged.version) == (one, two, 3)
    assert executor.execute(change(PostUpdate, org, two, body="B")).incident.alert_count == 1


# Alerts of integrations, by way of the intake


def fold(process: tuple[LedgerRecorder, Executor]) -> None:
    fold_waiting(*process, quiet_s=-60, at_most_s=-60)


def test_an_integrations_repeats_are_folded_into_one_event(
    ledger: LedgerRecorder, processes: Processes, org: UUID
) -> None:
    process, sender = processes(), e.Actor(kind="integration", id=uuid4())
    executor = process[1]
    id = executor.execute(trigger(org, sender, dedup_key="k")).incident.id
    alert = e.AlertSeen(fingerprint="f", summary="S")
    for n in range(30):
        alerts = (alert, e.AlertSeen(fingerprint=f"{n % 2}", summary="other", count=2))
        repeat = executor.execute(trigger(org, sender, dedup_key="k", alerts=alerts))
        assert (repeat.created, repeat.incident.id) == (False, id)
    assert counted(ledger, org) == {"IncidentTriggered": 1}
    fold(process)
    fold(process)
    (folded,) = [event for event in events(ledger, org) if isinstance(event, e.AlertReceived)]
    assert (folded.count, folded.actor) == (90, sender)
    assert {(a.fingerprint, a.count) for a in folded.alerts} == {("f", 30), ("0", 30), ("1", 30)}
    assert folded.first_at < folded.last_at == folded.occurred_at


def test_only_what_was_quiet_or_has_waited_long_is_folded(ledger: LedgerRecorder, processes: Processes) -> None:
    process, org, sender = processes(), uuid4(), e.Actor(kind="integration", id=uuid4())
    for _ in range(2):
        process[1].execute(trigger(org, sender, dedup_key="k"))
    fold_waiting(*process, quiet_s=30, at_most_s=30)
    assert counted(ledger, org) == {"IncidentTriggered": 1}
    fold_waiting(*process, quiet_s=30, at_most_s=-60)
    assert counted(ledger, org) == {"IncidentTriggered": 1, "AlertReceived": 1}


def test_two_that_fold_at_once_count_every_alert_once(
    ledger: LedgerRecorder, processes: Processes, org: UUID
) -> None:
    one, two, sender = processes(), processes(), e.Actor(kind="integration", id=uuid4())
    for name in "abcd":
        for _ in range(11):
            one[1].execute(trigger(org, sender, dedup_key=name))
    at_once([lambda p=process: fold(p) for process in (one, two)])
    fold(one)
    counts = [event.count for event in events(ledger, org) if isinstance(event, e.AlertReceived)]
    assert sum(counts) == 40


def test_one_whose_alerts_another_has_folded_learns_it_at_once(
    ledger: LedgerRecorder, processes: Processes, org: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And goes on with the rest, instead of trying again and again what cannot come to be."""
    one, two, sender = processes(), processes(), e.Actor(kind="integration", id=uuid4())
    for name in "ab":
        for _ in range(3):
            one[1].execute(trigger(org, sender, dedup_key=name))
    rows = two[0].waiting(quiet_s=-60, at_most_s=-60)
    fold(one)
    for _ in range(3):
        one[1].execute(trigger(org, sender, dedup_key="c"))
    monkeypatch.setattr(two[0], "waiting", lambda **_: [*rows, *one[0].waiting(quiet_s=-60, at_most_s=-60)])
    appends: list[int] = []
    append = two[0].append
    monkeypatch.setattr(two[0], "append", lambda batch: (appends.append(len(batch)), append(batch))[1])
    fold(two)
    assert sorted(x.count for x in events(ledger, org) if isinstance(x, e.AlertReceived)) == [2, 2, 2]
    assert len(appends) <= 6


def test_alerts_that_are_over_resolve_what_they_opened(executor: Executor, org: UUID) -> None:
    sender = e.Actor(kind="integration", id=uuid4())
    id = executor.execute(trigger(org, sender, dedup_key="k")).incident.id
    clear = {"dedup_key": "k", "summary": "All well"}
    assert executor.execute(change(ClearAlerts, org, id, sender, **clear)).incident.status == "resolved"
    assert executor.execute(change(ClearAlerts, org, id, sender, **clear)).incident.version == 2
    assert executor.execute(trigger(org, sender, dedup_key="k")).created


# What goes wrong


def test_what_was_answered_is_there_once_when_connections_are_killed(
    ledger: LedgerRecorder, processes: Processes, database: Any, org: UUID
) -> None:
    executor = processes()[1]
    ids = [executor.execute(trigger(org)).incident.id for _ in range(4)]
    over, killed, answered = threading.Event(), 0, []

    def kill() -> None:
        """After every few answers, at any moment of what is at work then."""
        nonlocal killed
        dice, after = random.Random(5), 10
        with psycopg.connect(database.owner_dsn, autocommit=True) as connection:
            while not over.wait(dice.uniform(0, 0.004)):
                if len(answered) >= after:
                    after = len(answered) + dice.randint(5, 40)
                    killed += connection.execute(
                        "select count(pg_terminate_backend(pid)) from pg_stat_activity"
                        " where datname = current_database() and pid <> pg_backend_pid() and usename = 'fandesk'"
                    ).fetchone()[0]

    def write(thread: int) -> None:
        for n in range(63):
            body = f"{thread}-{n}"
            outcome = answer(executor, change(PostUpdate, org, ids[n % 4], body=body))
            assert not isinstance(outcome, Refusal) or isinstance(outcome, Overloaded)
            answered.append((body, not isinstance(outcome, Refusal)))

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        at_once([lambda t=t: write(t) for t in range(8)])
    finally:
        over.set()
        killer.join()
    ledger.close()
    said = Counter(x.body for x in events(processes()[0], org) if isinstance(x, e.UpdatePosted))
    assert set(said.values()) == {1}
    assert {body for body, ok in answered if ok} <= set(said)
    assert sum(ok for _, ok in answered) > 450
    assert killed > 5


def test_a_command_that_cannot_be_written_fails_alone(
    ledger: LedgerRecorder, executor: Executor, org: UUID, caplog: pytest.LogCaptureFixture
) -> None:
    """A NUL is no text to PostgreSQL: the whole batch breaks, in its load or in its append."""
    id = executor.execute(trigger(org)).incident.id
    commands = [change(PostUpdate, org, id, body=f"{n}") for n in range(10)]
    commands[3] = trigger(org, dedup_key="poi\0son")
    commands[6] = change(PostUpdate, org, id, body="never", idempotency=key("poi\0son"))

    def run(command: IncidentCommand) -> Any:
        try:
            return executor.execute(command)
        except Exception as problem:
            return problem

    answers = at_once([lambda c=command: run(c) for command in commands])
    assert [n for n, each in enumerate(answers) if isinstance(each, Exception)] == [3, 6]
    assert not any(isinstance(each, Refusal) for each in answers)
    assert sorted(x.body for x in events(ledger, org) if isinstance(x, e.UpdatePosted)) == list("01245789")


def test_who_submits_is_woken_with_the_answer(ledger: LedgerRecorder, executor: Executor, org: UUID) -> None:
    id = executor.execute(trigger(org)).incident.id
    woken: list[Any] = []
    all_there = threading.Event()

    def wake(pending: Any) -> None:
        woken.append(pending)
        if len(woken) == 41:
            all_there.set()

    sent = [executor.submit(change(PostUpdate, org, id, body=f"{n}"), wake) for n in range(40)]
    sent.append(executor.submit(change(Reopen, org, id, reason="R"), wake))
    assert all_there.wait(20)
    assert sorted(map(id_of, woken)) == sorted(map(id_of, sent))
    assert sorted(pending.result().incident.version for pending in sent[:-1]) == list(range(2, 42))
    with pytest.raises(NotAllowedNow):
        sent[-1].result()


id_of = id


def test_waiting_threads_and_submitted_commands_share_the_lead(executor: Executor, org: UUID) -> None:
    id = executor.execute(trigger(org)).incident.id
    there = threading.Semaphore(0)

    def submit() -> None:
        for n in range(20):
            executor.submit(change(PostUpdate, org, id, body=f"{n}"), lambda _: there.release())

    def execute() -> None:
        for n in range(20):
            executor.execute(change(PostUpdate, org, id, body=f"{n}"))

    at_once([submit, execute] * 3)
    assert all(there.acquire(timeout=20) for _ in range(60))
    assert executor.execute(change(PostUpdate, org, id, body="last")).incident.version == 122


def test_when_too_many_wait_the_next_is_refused_and_nothing_is_lost(
    ledger: LedgerRecorder, processes: Processes, org: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, executor = processes()
    id = executor.execute(trigger(org)).incident.id
    monkeypatch.setattr(executor_module, "MAX_WAITING", 5)
    go_on, busy, append, there = threading.Event(), threading.Event(), store.append, threading.Semaphore(0)

    def slowly(batch: Any) -> Any:
        busy.set()
        assert go_on.wait(20)
        return append(batch)

    monkeypatch.setattr(store, "append", slowly)
    executor.submit(change(PostUpdate, org, id, body="at work"), lambda _: there.release())
    assert busy.wait(20)
    for n in range(5):
        executor.submit(change(PostUpdate, org, id, body=f"{n}"), lambda _: there.release())
    assert executor.waiting() == 5
    refused = answer(executor, change(PostUpdate, org, id, body="one too many"))
    assert isinstance(refused, Overloaded)
    assert refused.retry_after_s >= 1
    go_on.set()
    assert all(there.acquire(timeout=20) for _ in range(6))
    assert sorted(x.body for x in events(ledger, org) if isinstance(x, e.UpdatePosted)) == [*"01234", "at work"]


def test_a_closed_executor_takes_nothing_more(processes: Processes, org: UUID) -> None:
    executor = processes()[1]
    executor.close()
    with pytest.raises(Overloaded):
        executor.execute(trigger(org))
