"""What failed statuses mean, and how long to wait."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.notifier.verdicts import Verdict, backoff_s, verdict_of_status

UNSAID = "WhatsApp could not deliver it, and did not say why."
LATE = {"code": 131047, "title": "Re-engagement message", "error_data": {"details": "More than 24 hours"}}


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ([LATE], (131047, "(#131047) Re-engagement message: More than 24 hours", "never")),
        ([{"code": 131000, "title": "Something went wrong"}], (131000, "(#131000) Something went wrong", "busy")),
        ([{"code": "131042"}], (131042, f"(#131042) {UNSAID}", "account")),
        ([{"code": 131026, "message": "to 4915112345678"}], (131026, "(#131026) to [removed]", "never")),
        ([None, LATE], (131047, "(#131047) Re-engagement message: More than 24 hours", "never")),
        (LATE, (131047, "(#131047) Re-engagement message: More than 24 hours", "never")),
        ([{"code": None, "title": 5, "error_data": "x"}], (None, UNSAID, "never")),
        ([], (None, UNSAID, "never")),
        (None, (None, UNSAID, "never")),
        ("odd", (None, UNSAID, "never")),
    ],
)
def test_verdict_of_status(errors: object, expected: tuple[int | None, str, Verdict]) -> None:
    assert verdict_of_status(errors) == expected


@pytest.mark.parametrize(
    ("verdict", "middles"), [("busy", [1, 2, 4, 8, 16, 32, 60, 60]), ("account", [60, 120, 240, 480, 600, 600])]
)
def test_backoff_doubles(verdict: Verdict, middles: list[float]) -> None:
    for tries, middle in enumerate(middles, 1):
        waits = [backoff_s(verdict, tries, random.Random(seed)) for seed in range(200)]
        assert middle * 0.8 <= min(waits) < middle * 0.85
        assert middle * 1.15 < max(waits) <= middle * 1.2


@given(tries=st.integers(-5, 10**9), seed=st.integers())
def test_pair_rate_waits_six_seconds(tries: int, seed: int) -> None:
    assert 6 <= backoff_s("busy", tries, random.Random(seed), code=131056) <= 72


def test_what_never_goes_is_not_tried_again() -> None:
    with pytest.raises(ValueError, match="never"):
        backoff_s("never", 1, random.Random(1))
