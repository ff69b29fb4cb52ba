"""Folds alerts that wait in the intake: a storm on one incident becomes one event every few seconds."""

import logging
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import groupby

from commands.append import Waiting
from commands.batch import AlreadyFolded
from commands.event_store import LedgerRecorder, LostConnection
from commands.executor import Executor
from commands.ids import new_id
from commands.incident import FoldAlerts
from domain.decisions import Request
from domain.errors import Refusal
from domain.events import Actor

log = logging.getLogger(__name__)

LOOK_EVERY_S = 0.5
QUIET_S = 1.0
AT_MOST_S = 5.0
PRUNE_EVERY = 1200
"""Rounds: about ten minutes."""


class IntakeFolder:
    """A thread that folds what waits. Several processes may do so: what one has folded, no other folds again."""

    def __init__(self, store: LedgerRecorder, executor: Executor) -> None:
        self._store = store
        self._executor = executor
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="intake", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Finish the present round and end."""
        self._stop.set()
        self._thread.join()

    def _work(self) -> None:
        rounds = 0
        while not self._stop.wait(LOOK_EVERY_S):
            try:
                fold_waiting(self._store, self._executor, quiet_s=QUIET_S, at_most_s=AT_MOST_S)
                if rounds % PRUNE_EVERY == 0:
                    self._store.prune_intake()
                rounds += 1
            except LostConnection as problem:
                log.warning("the database is away, the intake waits: %s", problem)
            except Exception:
                log.exception("the intake could not be folded, it waits")


def fold_waiting(store: LedgerRecorder, executor: Executor, *, quiet_s: float, at_most_s: float) -> int:
    """Fold the alerts of incidents quiet for `quiet_s` s, or waiting `at_most_s`; how many rows those were."""
    rows = store.waiting(quiet_s=quiet_s, at_most_s=at_most_s)
    for _, group in groupby(rows, key=lambda row: (row.stream_id, row.integration_id)):
        try:
            executor.execute(_fold(list(group)))
        except AlreadyFolded:
            pass
        except Refusal as refusal:
            log.warning("alerts of an incident were not folded, they wait: %s", refusal)
    return len(rows)


def _fold(rows: Sequence[Waiting]) -> FoldAlerts:
    last = rows[-1]
    request = Request(
        organization_id=last.organization_id,
        actor=Actor(kind="integration", id=last.integration_id),
        asked_at=datetime.now(UTC),
        occurred_at=last.received_at,
        correlation_id=last.id,
        causation_id=new_id(),
    )
    return FoldAlerts(request=request, incident_id=last.stream_id, waiting=tuple(rows))
