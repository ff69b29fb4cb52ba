"""Keeping, rebuilding and comparing the read models: whole batches, no half-built table, no difference."""

import random
import threading
from collections.abc import Sequence
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from given import acknowledged, at, meta, resolved, triggered
from histories import Histories, Step, steps
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from domain import events as e
from domain.recorded import Recorded
from fandesk.compose import reading
from projections.facts import Facts
from projections.incidents import Incidents
from projections.rebuild import Difference, HalfFailed, RebuildRefused, compare, rebuild
from projections.runner import NeedsRebuild, Runner, ensure_tables
from projections.timeline import Timeline

TABLES = ("incidents", "timeline", "facts")
UNSHRUNK = (Phase.reuse, Phase.generate)
"""To look for the shortest history that fails would take minutes."""


def lives(number: int, *, organization: UUID | None = None) -> list[tuple[UUID, int, Any]]:
    """The events of so many incidents, three each."""
    found: list[tuple[UUID, int, Any]] = []
    organization = organization or uuid4()
    for n in range(number):
        id = uuid4()
        for version, event in enumerate((triggered(number=n + 1), acknowledged(), resolved()), start=1):
            found.append((id, version, event.model_copy(update={"organization_id": organization})))
    return found


def everything(world: Any) -> dict[str, list[Any]]:
    return {table: world.rows(f"select * from read.{table} order by 1") for table in TABLES}


def differences(world: Any) -> list[Difference]:
    return [each for each in compare(world.dsn, world.ledger.read, world.models) if each[1:] != (0, 0)]


# Steps


class Broken(Exception):
    """Made to happen in the middle of a batch."""


def test_rows_and_checkpoints_are_written_together_or_not_at_all(world: Any) -> None:
    world.record(lives(3))
    world.catch_up()
    world.record(lives(2))
    before = (everything(world), world.checkpoints())

    class Breaks(Timeline):
        def write(self, cursor: Any, entries: Sequence[Recorded]) -> None:
            super().write(cursor, entries)
            raise Broken

    broken = Runner(world.dsn, world.ledger.read, [Incidents(), Breaks(), Facts()])
    with pytest.raises(Broken):
        broken.step(world.connection)
    assert (everything(world), world.checkpoints()) == before
    world.catch_up()
    assert set(world.checkpoints().values()) == {world.ledger.head()}
    assert differences(world) == []


def append_unknown(world: Any, id: UUID, version: int, topic: str) -> None:
    """As a newer program would write it."""
    nothing = ["{}"] * 17
    values = [1, "{1}", f"{{{id}}}", f"{{{version}}}", "{0}", f"{{{uuid4()}}}", f'{{"{topic}"}}', '{"{}"}', "{0}"]
    (arguments,) = world.rows("select pronargs from pg_proc where oid = 'ledger.append'::regproc")
    values += nothing[: arguments[0] - len(values)]
    names = world.rows(
        "select format_type(t, null) from pg_proc, unnest(proargtypes) with ordinality as a(t, n)"
        " where oid = 'ledger.append'::regproc order by n"
    )
    places = ", ".join(f"%s::{name}" for (name,) in names)
    (result,) = world.rows(f"select * from ledger.append({places})", *values)
    assert result[0] == "appended"


@pytest.mark.parametrize("topic", ["IncidentExploded/1", "UpdatePosted/2"])
def test_what_this_program_does_not_know_is_passed_over(world: Any, topic: str) -> None:
    before = lives(1)
    world.record(before)
    append_unknown(world, before[0][0], 4, topic)
    append_unknown(world, uuid4(), 1, topic)
    world.catch_up()
    assert set(world.checkpoints().values()) == {world.ledger.head()}
    world.record([(before[0][0], 5, e.UpdatePosted(**meta(), body="after"))])
    world.catch_up()
    assert [len(rows) for rows in everything(world).values()] == [1, 4, 1]
    assert differences(world) == []


def test_a_step_with_nothing_to_do_changes_nothing(world: Any) -> None:
    assert world.runner().step(world.connection) == 0
    world.record(lives(1))
    assert world.runner().step(world.connection) == 3
    assert world.runner().step(world.connection) == 0


def test_models_at_different_checkpoints_each_get_what_they_lack_once(world: Any) -> None:
    events = lives(10)
    for n, models in enumerate(([Incidents()], [Timeline()], [Facts()])):
        world.record(events[n * 9 : n * 9 + 9])
        runner = Runner(world.dsn, world.ledger.read, models)
        while runner.step(world.connection):
            pass
    assert len(set(world.checkpoints().values())) == 3
    world.record(events[27:])
    world.catch_up(lambda: 4)
    assert set(world.checkpoints().values()) == {world.ledger.head()}
    assert [len(rows) for rows in everything(world).values()] == [10, 30, 10]
    assert differences(world) == []


def test_two_runners_at_once_take_every_event_once(world: Any) -> None:
    world.record(lives(60))

    def run() -> None:
        runner = world.runner(lambda: 7)
        with psycopg.connect(world.dsn, autocommit=True) as connection:
            while runner.step(connection):
                pass

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [len(rows) for rows in everything(world).values()] == [60, 180, 60]
    assert differences(world) == []


def test_a_runner_is_woken_by_an_append_and_tells_how_far_it_is(world: Any) -> None:
    stop = threading.Event()
    thread = threading.Thread(target=world.runner().run, args=(stop, "ledger"))
    with psycopg.connect(world.dsn, autocommit=True) as listener:
        listener.execute("listen projected")
        thread.start()
        try:
            for _ in range(3):
                world.record(lives(1))
                (told,) = listener.notifies(timeout=10, stop_after=1)
                assert int(told.payload) == world.ledger.head()
        finally:
            stop.set()
            thread.join()
    assert set(world.checkpoints().values()) == {world.ledger.head()}


# Rebuilding and comparing


def test_a_rebuild_beside_a_running_projector_never_shows_fewer_rows(world: Any) -> None:
    world.record(lives(200))
    world.catch_up()
    over = threading.Event()
    failed: list[BaseException] = []

    def guarded(work: Any) -> threading.Thread:
        def run() -> None:
            try:
                with psycopg.connect(world.dsn, autocommit=True) as connection:
                    while not over.is_set():
                        work(connection)
            except BaseException as problem:
                failed.append(problem)

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    runner = world.runner(lambda: 50)
    seen = dict.fromkeys(TABLES, 0)
    looked = 0

    def append(_: Any) -> None:
        world.record(lives(5))
        over.wait(0.01)

    def look(connection: Any) -> None:
        nonlocal looked
        for table in TABLES:
            count = connection.execute(f"select count(*) from read.{table}").fetchone()[0]
            assert count >= seen[table], table
            seen[table] = count
        looked += 1

    threads = [guarded(work) for work in (append, runner.step, look)]
    try:
        for _ in range(3):
            rebuild(world.dsn, world.ledger.read, world.models)
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert failed == []
    assert looked > 10
    world.catch_up()
    assert differences(world) == []
    assert world.rows("select relname from pg_class c join pg_namespace n on n.oid = relnamespace"
                      " where nspname in ('read_next', 'read_old')") == []  # fmt: skip


def test_a_rebuilt_model_keeps_its_indexes_and_goes_on(world: Any) -> None:
    def indexes() -> list[Any]:
        return sorted(world.rows("select tablename, indexdef from pg_indexes where schemaname = 'read'"))

    world.record(lives(2))
    world.catch_up()
    before = [(table, text.split(" USING ")[1]) for table, text in indexes()]
    rebuild(world.dsn, world.ledger.read, world.models)
    assert sorted((table, text.split(" USING ")[1]) for table, text in indexes()) == sorted(before)
    world.record(lives(1))
    world.catch_up()
    assert [len(rows) for rows in everything(world).values()] == [3, 9, 3]


def test_half_of_them_is_made_in_a_process_of_its_own(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("projections.rebuild.APART_FROM", 1)
    world.record(lives(5))
    world.catch_up()
    before = everything(world)
    rebuild(world.dsn, world.ledger.read, world.models, reading=partial(reading, world.dsn))
    assert everything(world) == before
    with pytest.raises(HalfFailed):
        rebuild(world.dsn, world.ledger.read, world.models, reading=partial(reading, "dbname=nowhere"))
    assert everything(world) == before


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        ("update read.incidents set title = 'X' where number = 1", ("incidents", 1, 1)),
        ("delete from read.timeline where type = 'IncidentResolved'", ("timeline", 0, 3)),
        ("update read.facts set acknowledged_at = acknowledged_at + interval '1 microsecond'", ("facts", 3, 3)),
        ("update read.facts set labels = '{\"a\": \"b\"}' where incident_id = (select min(id::text)::uuid"
         " from read.incidents)", ("facts", 1, 1)),
    ],
)  # fmt: skip
def test_a_damaged_row_is_found_and_a_rebuild_heals_it(
    world: Any, damage: str, found: tuple[str, int, int]
) -> None:
    world.record(lives(3))
    world.catch_up()
    assert differences(world) == []
    world.connection.execute(damage)
    assert differences(world) == [Difference(*found)]
    rebuild(world.dsn, world.ledger.read, world.models)
    assert differences(world) == []


def test_models_that_are_behind_are_not_compared(world: Any) -> None:
    world.record(lives(1))
    with pytest.raises(RebuildRefused, match="behind"):
        compare(world.dsn, world.ledger.read, world.models)


def test_while_one_rebuilds_another_is_refused(world: Any) -> None:
    world.record(lives(1))
    world.catch_up()

    def read(after: int, limit: int) -> Any:
        with pytest.raises(RebuildRefused, match="another"):
            rebuild(world.dsn, world.ledger.read, world.models)
        return world.ledger.read(after, limit)

    rebuild(world.dsn, read, world.models)
    assert differences(world) == []


def test_a_rebuild_that_breaks_leaves_the_live_models_alone(world: Any) -> None:
    world.record(lives(2))
    world.catch_up()
    before = (everything(world), world.checkpoints())

    def read(after: int, limit: int) -> Any:
        raise Broken

    with pytest.raises(Broken):
        rebuild(world.dsn, read, world.models)
    assert (everything(world), world.checkpoints()) == before
    rebuild(world.dsn, world.ledger.read, world.models)
    assert differences(world) == []


def test_a_model_defined_otherwise_by_now_has_to_be_rebuilt(world: Any) -> None:
    world.record(lives(2))
    world.catch_up()
    other = Timeline.tables.replace("body            text", "body varchar")
    for change in ({"rules": Timeline.rules + 1}, {"tables": other}):
        changed = type("Changed", (Timeline,), change)()
        with pytest.raises(NeedsRebuild, match=r"^timeline$") as needed:
            ensure_tables(world.connection, [Incidents(), changed, Facts()])
        assert needed.value.models == [changed]
        rebuild(world.dsn, world.ledger.read, needed.value.models)
        ensure_tables(world.connection, [Incidents(), changed, Facts()])
        world.models[1] = changed
        world.record(lives(1))
        world.catch_up()
        assert differences(world) == []


def test_the_tables_are_made_once_also_by_several_at_once(world: Any) -> None:
    rest = [(model.name, model.names) for model in world.models]
    for _, names in rest:
        for name in names:
            world.connection.execute(f"drop table read.{name}")
    world.connection.execute("delete from read.checkpoints")
    failed: list[BaseException] = []

    def make() -> None:
        try:
            with psycopg.connect(world.dsn, autocommit=True) as connection:
                ensure_tables(connection, [Incidents(), Timeline(), Facts()])
        except BaseException as problem:
            failed.append(problem)

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert world.checkpoints() == dict.fromkeys(TABLES, 0)


@settings(
    max_examples=12, deadline=None, phases=UNSHRUNK, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(wanted=steps(5, at_most=50), sizes=st.randoms(use_true_random=False))
def test_batch_by_batch_gives_the_same_as_all_at_once(
    shared_world: Any, wanted: list[Step], sizes: random.Random
) -> None:
    history = Histories([uuid4() for _ in range(5)], uuid4()).play(wanted)
    cut = sizes.randint(0, len(history.ledger))
    for part in (history.ledger[:cut], history.ledger[cut:]):
        shared_world.record(part)
        shared_world.catch_up(lambda: sizes.randint(1, 12))
    assert differences(shared_world) == []


def test_a_correction_reaches_the_rows_at_once(world: Any) -> None:
    (first, *_) = events = lives(1)
    world.record(events)
    world.catch_up()
    world.record([(first[0], 4, e.DetailsCorrected(**meta(30), acknowledged_at=at(1)))])
    world.catch_up()
    assert world.rows("select tta_s, ttr_s from read.facts") == [(60.0, 1200.0)]
