"""Refused attempts at what somebody may not do are put on record: who, what and when."""

import asyncio
import logging
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg
from psycopg import Cursor

from api.directory import Caller
from api.problems import Forbidden
from api.services import Services
from commands.ids import new_id
from commands.outcome import OutcomeUnknown
from domain.access import refuse
from domain.decisions import Request
from domain.errors import Refusal
from domain.events import Actor

log = logging.getLogger(__name__)

ONCE_IN_S = 3600.0
"""Per person and route, an event in so many seconds is enough: a loop must not fill the ledger."""

_recent: dict[tuple[UUID, str], float] = {}
"""What this process knows to be on record, to ask the database no more; by monotonic time."""


class _OnRecord(Exception):
    """It is on record already: nothing is to be written."""


async def forbidden(services: Services, caller: Caller, why: str) -> Forbidden:
    """The refusal to raise, put on record."""
    await _put_on_record(services, caller, caller.what)
    return Forbidden(why)


async def _put_on_record(services: Services, caller: Caller, what: str) -> None:
    """An AccessRefused event in the person's own organisation. Never fails: the refusal stands either way."""
    now = time.monotonic()
    if now - _recent.get((caller.person_id, what), -ONCE_IN_S) < ONCE_IN_S:
        return
    try:
        await asyncio.to_thread(_record, services, caller, what)
    except (psycopg.Error, Refusal, OutcomeUnknown) as problem:
        log.warning("a refused attempt could not be put on record: %s", problem)
        return
    if len(_recent) > 10_000:
        _recent.clear()
    _recent[caller.person_id, what] = now


def _record(services: Services, caller: Caller, what: str) -> None:
    actor = Actor(kind="person", id=caller.person_id)
    ask = Request(caller.home, actor, datetime.now(UTC), new_id(), new_id())

    def write(cursor: Cursor[Any]) -> None:
        if cursor.execute(_SEEN, (caller.person_id, what, ONCE_IN_S)).fetchone() is None:
            raise _OnRecord

    with suppress(_OnRecord):
        services.executor.organizations.change(caller.home, lambda _: refuse(ask, caller.person_id, what), write)


_SEEN = """
    insert into access.refusals as r (person_id, what) values (%s, %s)
    on conflict (person_id, what) do update set at = now() where r.at < now() - make_interval(secs => %s)
    returning 1"""
