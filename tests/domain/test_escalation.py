"""When each step of a policy is due, and what the defaults are."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from given import T0
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from domain.alerting import ALERTED
from domain.escalation import (
    Planned,
    Policy,
    Step,
    ToEverybody,
    ToPerson,
    ToSchedule,
    ToTeam,
    default_policies,
    default_policy,
    plan,
)
from domain.words import RESPONSE_TARGETS_S, SEVERITIES

ANN = ToPerson(id=UUID(int=0xA))


def policy(*waits: int, repeat: int = 0, after: int = 300) -> Policy:
    steps = tuple(Step(wait_s=wait, targets=(ANN,)) for wait in waits)
    return Policy(name="P", steps=steps, repeat=repeat, repeat_after_s=after)


def later(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("of", "wanted"),
    [
        (policy(0), [0]),
        (policy(30), [30]),
        (policy(0, 300, 600), [0, 300, 900]),
        (policy(0, 0, 5), [0, 0, 5]),
        (policy(0, 10, repeat=2, after=60), [0, 10, 70, 80, 140, 150]),
        (policy(5, 10, repeat=1, after=60), [5, 15, 80, 90]),
        (policy(0, repeat=3, after=1), [0, 1, 2, 3]),
    ],
)
def test_a_plan(of: Policy, wanted: list[int]) -> None:
    assert [(step.number, step.at) for step in plan(of, T0)] == [(n, later(s)) for n, s in enumerate(wanted, 1)]


WAITS = st.lists(st.integers(0, 600), min_size=1, max_size=5)


@given(WAITS, st.integers(0, 4), st.integers(1, 600))
def test_every_step_of_every_round_comes_once_and_in_order(waits: list[int], repeat: int, after: int) -> None:
    steps = plan(policy(*waits, repeat=repeat, after=after), T0)
    assert [step.number for step in steps] == list(range(1, len(waits) * (repeat + 1) + 1))
    assert [step.at for step in steps] == sorted(step.at for step in steps)
    assert [step.round for step in steps] == [turn for turn in range(1, repeat + 2) for _ in waits]


def test_the_defaults_come_from_the_response_targets() -> None:
    critical = default_policy("critical")
    assert critical is not None and critical.severities == ("critical",)
    whom = [(ToSchedule(),), (ToTeam(),), (ToEverybody(),)] * 4
    at = [0, 150, 300, 450, 600, 750, 900, 1050, 1200, 1350, 1500, 1650]
    assert plan(critical, T0) == [
        Planned(n, later(s), w, 1 + (n - 1) // 3) for n, (s, w) in enumerate(zip(at, whom, strict=True), 1)
    ]

    high = default_policy("high", 61)
    assert high is not None
    assert [step.at for step in plan(high, T0)] == [later(s) for s in (0, 30, 61, 91, 121, 152)]
    assert set(default_policies()) == ALERTED
    assert default_policies({"critical": 60, "low": 5})["critical"].steps[1].wait_s == 30
    for severity in SEVERITIES:
        made = default_policy(severity)
        assert (made is not None) == (severity in ALERTED)
        if made:
            assert made.applies_to(severity)
            assert plan(made, T0)[2].at == later(RESPONSE_TARGETS_S[severity])
            assert sum(made.applies_to(other) for other in SEVERITIES) == 1


def test_the_shortest_target_still_gives_a_policy() -> None:
    made = default_policy("critical", 1)
    assert made is not None
    assert [step.at for step in plan(made, T0)][:4] == [later(s) for s in (0, 0, 1, 2)]


@pytest.mark.parametrize(
    ("what", "field"),
    [
        ({"steps": []}, ("steps",)),
        ({"steps": [{"wait_s": -1, "targets": [{"kind": "everybody"}]}]}, ("steps", 0, "wait_s")),
        ({"steps": [{"wait_s": 0, "targets": []}]}, ("steps", 0, "targets")),
        ({"steps": [{"wait_s": 0, "targets": [{"kind": "person"}]}]}, ("steps", 0, "targets", 0, "person", "id")),
        ({"steps": [{"wait_s": 0, "targets": [{"kind": "robot"}]}]}, ("steps", 0, "targets", 0)),
        ({"severities": []}, ("severities",)),
        ({"severities": ["urgent"]}, ("severities", 0)),
        ({"repeat": -1}, ("repeat",)),
        ({"repeat_after_s": 0}, ("repeat_after_s",)),
    ],
)
def test_what_is_no_policy(what: dict[str, Any], field: tuple[str | int, ...]) -> None:
    good = {"name": "P", "steps": [{"wait_s": 0, "targets": [{"kind": "team", "id": "pay"}]}]}
    assert Policy.model_validate_json(Policy.model_validate(good).model_dump_json()) == Policy.model_validate(good)
    with pytest.raises(ValidationError) as refused:
        Policy.model_validate(good | what)
    assert [error["loc"] for error in refused.value.errors()] == [field]
