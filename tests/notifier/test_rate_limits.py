"""Our limits against the sandbox's, which refuse as Meta does."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.notifier.limits import HISTORY_S, Limits
from workers.sandbox.limits import Limits as Metas
from workers.sandbox.limits import Rates

START = 1_700_000_000.0
PEOPLE = st.integers(0, 3).map(str)
PAUSES = st.one_of(st.just(0.0), st.floats(0, 0.05), st.floats(0, 8), st.floats(0, 400))
WISHES = st.lists(st.tuples(PAUSES, PEOPLE, st.booleans(), st.integers(1, 90)), max_size=25)


def metas_take(sent: list[tuple[str, float]], delays: list[float]) -> None:
    """Have Meta's limits count what arrives; they raise when it is too much."""
    metas = Metas(Rates())
    arrivals = [(at + delays[index % len(delays)], person) for index, (person, at) in enumerate(sent)]
    for arrived, person in sorted(arrivals):
        metas.take(("1", person), arrived)


def wish(limits: Limits, wishes: list[tuple[float, str, bool, int]]) -> list[tuple[str, float]]:
    """What is let through of runs of wishes; patient ones wait as long as they are told."""
    now, sent = START, list[tuple[str, float]]()
    for pause, person, patient, run in wishes:
        now += pause
        for _ in range(run):
            wait = limits.may_send(person, now)
            if wait and patient:
                now += wait
                wait = limits.may_send(person, now)
                assert wait == 0.0, "who was told how long to wait, waits once"
            if wait == 0.0:
                limits.count(person, now)
                sent.append((person, now))
    return sent


@given(wishes=WISHES, delays=st.lists(st.floats(0, 0.25), min_size=1, max_size=30))
@settings(max_examples=300, deadline=None)
def test_what_we_let_through_meta_takes(wishes: list[tuple[float, str, bool, int]], delays: list[float]) -> None:
    metas_take(wish(Limits(), wishes), delays)


@given(wishes=WISHES, more=WISHES, delays=st.lists(st.floats(0, 0.25), min_size=1, max_size=30))
@settings(max_examples=150, deadline=None)
def test_also_after_a_restart(
    wishes: list[tuple[float, str, bool, int]], more: list[tuple[float, str, bool, int]], delays: list[float]
) -> None:
    sent = wish(Limits(), wishes)
    restarted = Limits()
    began = sent[-1][1] if sent else START
    restarted.replay((person, at) for person, at in reversed(sent) if at >= began - HISTORY_S)

    later = wish(restarted, [(began - START + (more[0][0] if more else 0), "0", False, 1), *more])

    metas_take(sent + later, delays)


@given(people=st.lists(st.integers(0, 10**6), max_size=60, unique=True), pause=st.floats(6.3, 100))
def test_a_message_to_a_rested_person_never_waits(people: list[int], pause: float) -> None:
    limits = Limits()
    for now in (START, START + pause, START + 2 * pause + 0.01):
        for person in people:
            assert limits.may_send(str(person), now) == 0.0
            limits.count(str(person), now)


def test_a_burst_and_what_it_costs() -> None:
    limits = Limits()
    for _ in range(45):
        assert limits.may_send("a", START) == 0.0
        limits.count("a", START)

    assert limits.may_send("a", START) == pytest.approx(45 * 6 + 0.3)
    assert limits.may_send("a", START + 200) == pytest.approx(70.3)
    assert limits.may_send("b", START) == 0.0


def test_seventy_a_second_for_all() -> None:
    limits = Limits()
    for person in range(70):
        limits.count(str(person), START + person / 100)

    assert limits.may_send("new", START + 0.7) == pytest.approx(0.6)
    assert limits.may_send("new", START + 1.3) == 0.0
    limits.count("new", START + 1.3)
    assert 0 < limits.may_send("newer", START + 1.3) < 0.02


def test_meta_refused_all_the_same() -> None:
    limits = Limits()

    limits.refused("a", START)
    assert 6 <= limits.may_send("a", START) < 7
    assert limits.may_send("a", START + 6.3) == 0.0

    for _ in range(5):
        limits.count("b", START + 10)
    limits.refused("b", START + 10)
    assert 30 <= limits.may_send("b", START + 10) < 31


def test_clock_put_back() -> None:
    limits = Limits()
    for _ in range(70):
        limits.count("a", START)

    assert limits.may_send("b", START - 3600) == pytest.approx(1.3)
    assert limits.may_send("a", START - 3600) == pytest.approx(420.3)
    assert limits.may_send("a", START - 3600 + 420.3) == 0.0


def test_only_who_still_owes_is_remembered() -> None:
    limits = Limits()
    for person in range(20_000):
        limits.count(str(person), START + person / 50)

    assert len(limits._bursts) <= 1024
