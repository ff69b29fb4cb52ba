"""Means and percentiles of many durations at once."""

import os
from collections.abc import Sequence
from typing import Any, Final

# numpy would start threads for matrices, of which there are none here, before the roles are forked
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

SHARES: Final = {"p50_s": 0.5, "p90_s": 0.9, "p95_s": 0.95}

NOTHING: Final[dict[str, Any]] = {"n": 0, "mean_s": None, **dict.fromkeys(SHARES), "negative": 0}


def values(sent: bytes | None) -> Values:
    """The numbers that `string_agg(float8send(...), '')` strings together."""
    return np.frombuffer(sent or b"", dtype=">f8").astype(np.float64)


def spread(parts: Sequence[Values]) -> dict[str, Any]:
    """n, the mean and the percentiles of all parts together, to the microsecond, and how many are negative.

    Percentiles are PostgreSQL's `percentile_cont`, linear between neighbours. Only what is asked for is put in its
    place: to sort a million durations takes a database longer than all the rest.
    """
    found = np.concatenate([*parts, np.empty(0)])
    if not found.size:
        return dict(NOTHING)
    places = {name: share * (found.size - 1) for name, share in SHARES.items()}
    neighbours = {int(place) + n for place in places.values() for n in (0, 1)}
    found.partition(sorted(min(n, found.size - 1) for n in neighbours))
    percentiles = {name: _between(found, place) for name, place in places.items()}
    mean = round(float(found.mean()), 6)
    return {"n": found.size, "mean_s": mean, **percentiles, "negative": int(np.count_nonzero(found < 0))}


def _between(found: Values, place: float) -> float:
    below = int(place)
    first, second = float(found[below]), float(found[min(below + 1, found.size - 1)])
    return round(first + (second - first) * (place - below), 6)
