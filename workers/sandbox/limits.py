"""How often, and in which hours, Meta lets a business write: by pair, by number, by the customer's last word."""

from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import TypeVar

from workers.sandbox.refusals import Refused

Pair = tuple[str, str]
"""The business's phone number id and the person's digits."""

REMEMBERED = 10_000

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True)
class Rates:
    """One message per `pair_interval_s` to the same person, or up to `pair_burst` within that time, which are
    then paid for: after a burst of 20 nothing more is taken for 20 intervals. `per_second`: all messages of one
    number of the business, both ways."""

    pair_interval_s: float = 6.0
    pair_burst: int = 45
    per_second: int = 80
    window_s: float = 24 * 3600.0


@dataclass
class _Burst:
    began: float
    count: int
    paid_at: float


class Limits:
    """Times are seconds of the clock that the caller reads."""

    def __init__(self, rates: Rates) -> None:
        self._rates = rates
        self._bursts: OrderedDict[Pair, _Burst] = OrderedDict()
        self._seconds: OrderedDict[str, deque[float]] = OrderedDict()
        self._heard: OrderedDict[Pair, float] = OrderedDict()

    def take(self, pair: Pair, now: float) -> None:
        """Count one message. A refused one does not count.

        Raises:
            Refused: 130429 over the number's throughput, 131056 over the pair's rate.
        """
        second = self._second(pair[0], now)
        if len(second) >= self._rates.per_second:
            raise Refused(130429, "The number sends and receives more messages per second than it may.")
        burst = self._bursts.get(pair)
        if burst is None or now >= burst.paid_at:
            burst = _Burst(now, 0, now)
        elif now - burst.began >= self._rates.pair_interval_s or burst.count >= self._rates.pair_burst:
            raise Refused(131056, "Too many messages from this number to the same person in a short time.")
        burst.count += 1
        burst.paid_at += self._rates.pair_interval_s
        second.append(now)
        _remember(self._bursts, pair, burst)

    def heard(self, pair: Pair, now: float) -> None:
        """The person wrote or tapped: session messages to them are open from now on."""
        self._second(pair[0], now).append(now)
        _remember(self._heard, pair, now)

    def is_open(self, pair: Pair, now: float) -> bool:
        """Whether the customer service window is open."""
        last = self._heard.get(pair)
        return last is not None and now < last + self._rates.window_s

    def _second(self, number: str, now: float) -> deque[float]:
        times = self._seconds.get(number, deque())
        while times and times[0] <= now - 1:
            times.popleft()
        _remember(self._seconds, number, times)
        return times


def _remember(kept: OrderedDict[K, V], key: K, value: V) -> None:
    kept[key] = value
    kept.move_to_end(key)
    while len(kept) > REMEMBERED:
        kept.popitem(last=False)
