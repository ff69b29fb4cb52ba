"""The one question after the state of things, and what is wrong by its answer."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from psycopg.rows import class_row

from api.services import Services
from domain.errors import Overloaded

STALLED_S = 10.0
"""Whoever follows the ledger and is so long behind, or was not heard of for so long, does not serve."""

ANSWER_WITHIN_S = 2.0

_PROGRESS = """
    select (select coalesce(max(notification_id), 0) from ledger.events), count(*), coalesce(min(position), 0),
           coalesce((select extract(epoch from clock_timestamp() - recorded_at) from ledger.events
                      where notification_id > (select min(position) from read.checkpoints)
                      order by notification_id limit 1), 0)::float,
           (select count(*) from ledger.intake where not folded)
      from read.checkpoints"""

_FOLLOWERS = """
    select name, greatest(extract(epoch from clock_timestamp() - seen_at), 0)::float as seen_s_ago, problem,
           behind, behind_s
      from stream.followers order by name"""

_COUNTS = """
    select 'deliveries', state, count(*) from notify.deliveries where queued_at > now() - interval '24 hours'
     group by state
    union all select 'dead_letters', consumer, count(*) from stream.dead_letters group by consumer
    union all select 'inbox', '', count(*) from notify.inbox where handled_at is null"""


@dataclass(frozen=True)
class Follower:
    """Who follows the ledger, by what it said itself `seen_s_ago` seconds ago. behind: entries that it has
    not handled; behind_s: the age of the oldest of them in seconds; problem: what keeps it from working."""

    name: str
    seen_s_ago: float
    problem: str | None
    behind: int
    behind_s: float

    def trouble(self) -> str | None:
        """What is wrong with it, in words; None: nothing."""
        if self.seen_s_ago > STALLED_S:
            return f"{self.name}: not seen for {self.seen_s_ago:.0f} s"
        if self.problem is not None:
            return f"{self.name}: {self.problem}"
        if self.behind_s > STALLED_S:
            return f"{self.name}: {self.behind_s:.0f} s behind, {self.behind} entries"
        return None


class State(NamedTuple):
    """The state of things. progress: figures by name; counts: by what is counted and of which kind."""

    progress: dict[str, Any]
    followers: list[Follower]
    counts: dict[tuple[str, str], int]

    def troubles(self) -> Iterator[str]:
        """Why it does not serve, in words; nothing where it does."""
        if self.progress["read_models"] == 0 or self.progress["projection_lag_s"] > STALLED_S:
            yield "the read models are not kept up to date"
        for follower in self.followers:
            if (trouble := follower.trouble()) is not None:
                yield trouble


async def _ask(services: Services) -> State:
    async with services.pool.connection(timeout=ANSWER_WITHIN_S) as connection:
        row = await (await connection.execute(_PROGRESS)).fetchone()
        async with connection.cursor(row_factory=class_row(Follower)) as cursor:
            followers = await (await cursor.execute(_FOLLOWERS)).fetchall()
        counts = await (await connection.execute(_COUNTS)).fetchall()
    head, models, position, lag, waiting = row
    progress = {
        "ledger_position": head,
        "projected_position": position,
        "read_models": models,
        "projection_lag_s": lag,
        "alerts_waiting": waiting,
        "commands_waiting": services.executor.waiting(),
        "open_streams": services.tail.streams,
    }
    return State(progress, followers, {(what, kind): count for what, kind, count in counts})


async def state(services: Services) -> State:
    """Raises Overloaded when the database does not say it in time. The question stays open then, as taking it
    back would wait for the database too, and is shared by all who ask meanwhile: it holds one connection."""
    if services.probe is None or services.probe.done():
        services.probe = asyncio.create_task(_ask(services))
        services.probe.add_done_callback(lambda asked: asked.cancelled() or asked.exception())
    done, _ = await asyncio.wait((services.probe,), timeout=ANSWER_WITHIN_S)
    if not done:
        raise Overloaded("The database does not answer at the moment.")
    found: State = done.pop().result()
    return found
