"""Keeps to Meta's rates before Meta has to refuse, so that a storm of alerts is sent in order and in full.

Meta's pair rate (its pages on throughput and error 131056; docs/whatsapp-sandbox.md): one message per 6 seconds
to the same person, or up to 45 within 6 seconds, each then paid for with 6 seconds in which nothing more is taken.
Its throughput: 80 messages per second of one number, both ways, of which 10 are left for what people write.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

PAIR_INTERVAL_S = 6.0
PAIR_BURST = 45
CALM_BURST = 10
"""Of a burst, how many may be alerts that are not critical: what they borrow, a critical one waits for."""

PER_SECOND = 70
SLACK_S = 0.3

HISTORY_S = PAIR_INTERVAL_S * (PAIR_BURST + 2)
"""How far back `replay` has to begin: older messages are paid for."""

STEP_S = 1.0
"""A clock that goes back by more than this was put back; by less, two readings came in the wrong order."""

EXACT_S = 1e-5
"""Closer than this, a wait is over: Unix times as floats are no finer."""


@dataclass
class _Burst:
    """began: of its first message; paid_at: from when on a new burst may begin, without slack; calm: of the count,
    what was not urgent."""

    began: float
    count: int
    paid_at: float
    calm: int = 0


class Limits:
    """Of one phone number of ours. Times are seconds of one clock that the caller reads.

    slack_s: Meta counts when a message arrives, which is later than we count it, by less than this.
    pair_interval_s: what a message to a person costs; 0: nothing, as in a sandbox that is told so.
    """

    def __init__(self, slack_s: float = SLACK_S, pair_interval_s: float = PAIR_INTERVAL_S) -> None:
        self._slack = slack_s
        self._interval = pair_interval_s
        self._bursts: dict[str, _Burst] = {}
        self._forget_at = 1024
        self._last: deque[float] = deque(maxlen=PER_SECOND)
        self._now = float("-inf")

    def may_send(self, person: str, now: float, *, urgent: bool = True) -> float:
        """0.0: now. Otherwise, after how many seconds to ask again; whoever sends then calls `count`.

        What is not urgent borrows less, so that what is has not to wait until a storm is paid for.
        """
        self._follow(now)
        # Whoever waits for the number's turn may come too late to borrow from the person's.
        free_at = max(now, self._number_free_at())
        burst = self._bursts.get(person)
        if burst is not None and self._interval > 0 and not self._may_borrow(burst, free_at, urgent=urgent):
            free_at = max(free_at, burst.paid_at + self._slack)
        wait = free_at - now
        return wait if wait > EXACT_S else 0.0

    def count(self, person: str, now: float, *, urgent: bool = True) -> None:
        """A message leaves now."""
        self._follow(now)
        self._last.append(now)
        burst = self._bursts.get(person)
        if burst is None or now >= burst.paid_at + self._slack - EXACT_S:
            burst = self._keep(person, _Burst(now, 0, now))
        burst.count += 1
        burst.calm += not urgent
        burst.paid_at += self._interval

    def refused(self, person: str, now: float) -> None:
        """Meta answered 131056 all the same: nothing to that person for 6 seconds, or what our count says."""
        self._follow(now)
        paid_at = now + self._interval
        if person in self._bursts:
            paid_at = max(paid_at, self._bursts[person].paid_at)
        self._keep(person, _Burst(now, PAIR_BURST, paid_at))

    def replay(self, history: Iterable[tuple[str, float]]) -> None:
        """Count what was sent before a restart: person and time of each message of the last HISTORY_S."""
        for person, at in sorted(history, key=lambda sent: sent[1]):
            self.count(person, at)

    def _may_borrow(self, burst: _Burst, now: float, *, urgent: bool) -> bool:
        free = burst.count < PAIR_BURST and (urgent or burst.calm < CALM_BURST)
        return free and now - burst.began < self._interval - self._slack

    def _number_free_at(self) -> float:
        # The window is longer by the slack: late messages of one second arrive with early ones of the next.
        return self._last[0] + 1.0 + self._slack if len(self._last) == PER_SECOND else float("-inf")

    def _keep(self, person: str, burst: _Burst) -> _Burst:
        self._bursts[person] = burst
        if len(self._bursts) > self._forget_at:
            owing = {who: each for who, each in self._bursts.items() if self._now < each.paid_at + self._slack}
            self._bursts = owing
            self._forget_at = max(1024, 2 * len(owing))
        return burst

    def _follow(self, now: float) -> None:
        """Move all that is kept along with a clock that was put back: nobody waits until it catches up."""
        back = self._now - now
        if STEP_S < back < float("inf"):
            for burst in self._bursts.values():
                burst.began -= back
                burst.paid_at -= back
            self._last = deque((at - back for at in self._last), maxlen=PER_SECOND)
        if back < 0 or back > STEP_S:
            self._now = now
