"""Organisations as they stand, for every command, and how they are changed."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg import Cursor

from commands.append import Append, NewEvent
from commands.event_store import LedgerRecorder, LostConnection
from commands.outcome import OutcomeUnknown
from domain.errors import Overloaded
from domain.organization import Organization, fold_organization
from domain.organization_events import OrganizationEvent
from domain.quiet import Maintenance
from domain.router import Router

REMEMBER_S = 1.0
"""How long a process may go by what an organisation was, after another process has changed it."""

LATE = timedelta(minutes=1)
"""How long a command may have waited since it was asked for: maintenance of then is still known."""

GIVE_UP_AFTER_S = 8.0
PAUSE_S = 0.1

Decide = Callable[[Organization], tuple[OrganizationEvent, ...]]
"""What shall happen, from the organisation as it stands; nothing where it is so already. Raises a Refusal."""


@dataclass(slots=True)
class Known:
    """An organisation as this process last saw it, and its rules made ready.

    windows: the maintenance that was not over when it was looked at; others need not be asked about each alert.
    """

    organization: Organization
    router: Router
    looked_at: float
    windows: tuple[Maintenance, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.looked(self.looked_at)

    def looked(self, at: float) -> None:
        """It was found to be so at that time of the monotonic clock."""
        since = datetime.now(UTC) - LATE
        self.windows = tuple(window for window in self.organization.windows.values() if window.end > since)
        self.looked_at = at


class Organizations:
    """Remembers organisations between commands. From any thread."""

    def __init__(self, store: LedgerRecorder) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._known: dict[UUID, Known] = {}

    def known(self, organization_id: UUID) -> Known:
        """The organisation as it was at most REMEMBER_S ago. Not to be changed by whoever gets it."""
        known = self._known.get(organization_id)
        if known is not None and time.monotonic() - known.looked_at < REMEMBER_S:
            return known
        with self._lock:
            known = self._known.get(organization_id)
            now = time.monotonic()
            if known is not None and now - known.looked_at < REMEMBER_S:
                return known
            if known is not None:
                version = self._store.versions([organization_id])[organization_id]
                if version == known.organization.version:
                    known.looked(now)
                    return known
            return self._remember(self._load(organization_id), now)

    def get(self, organization_id: UUID) -> Organization:
        """The organisation as it was at most REMEMBER_S ago."""
        return self.known(organization_id).organization

    def now(self, organization_id: UUID) -> Organization:
        """The organisation as it stands, whoever changed it a moment ago. Not to be changed by whoever gets it.

        Raises Overloaded where the database cannot be reached.
        """
        try:
            with self._lock:
                known = self._known.get(organization_id)
                now = time.monotonic()
                version = self._store.versions([organization_id])[organization_id]
                if known is not None and version == known.organization.version:
                    known.looked(now)
                    return known.organization
                return self._remember(self._load(organization_id), now).organization
        except LostConnection as away:
            raise Overloaded("The database cannot be reached at the moment.") from away

    def as_of(self, organization_id: UUID, at: datetime) -> Organization:
        """The organisation by what was recorded until then. Raises Overloaded as `now` does."""
        try:
            return fold_organization(organization_id, self._store.load_organization(organization_id, until=at))
        except LostConnection as away:
            raise Overloaded("The database cannot be reached at the moment.") from away

    def change(
        self, organization_id: UUID, decide: Decide, write: Callable[[Cursor[Any]], None] = lambda _: None
    ) -> tuple[Organization, int | None]:
        """Change it: the organisation as it is then, and the position of the last event (None: nothing was to do).

        write: puts rows that belong to the change into the same transaction, such as what a person is called; it
        is not called where nothing was to do. Who writes at the same time is taken into account, and a connection
        that is lost is made again. Raises the Refusal of `decide`, what `write` raises, Overloaded.
        """
        deadline = time.monotonic() + GIVE_UP_AFTER_S
        while True:
            try:
                organization = self._load(organization_id)
                events = decide(organization)
                if not events:
                    return organization, None
                places = enumerate(events, start=organization.version + 1)
                append = Append(events=[NewEvent(organization_id, version, event) for version, event in places])
                position = self._insist(append, write, deadline)
            except LostConnection as away:
                if time.monotonic() > deadline:
                    raise Overloaded("The database cannot be reached at the moment.") from away
                time.sleep(PAUSE_S)
                continue
            if position is not None:
                for event in events:
                    organization.apply(event)
                with self._lock:
                    self._remember(organization, time.monotonic())
                return organization, position
            if time.monotonic() > deadline:
                raise Overloaded("Too many others are changing this organisation.")

    def _insist(self, append: Append, write: Callable[[Cursor[Any]], None], deadline: float) -> int | None:
        """The position of what was written, None where somebody else was first. The very same is sent again where
        it is not known whether it was written: what is there already counts as written."""
        while True:
            try:
                result = self._store.append_with(append, write)
                return result.position if result.outcome == "appended" else None
            except LostConnection:
                if time.monotonic() > deadline:
                    raise OutcomeUnknown(
                        "The database went away while this was being written. It may have been recorded."
                    ) from None
                time.sleep(PAUSE_S)

    def _load(self, organization_id: UUID) -> Organization:
        return fold_organization(organization_id, self._store.load_organization(organization_id))

    def _remember(self, organization: Organization, now: float) -> Known:
        known = Known(organization, Router(organization.rules, organization.default_team), now)
        self._known[organization.id] = known
        return known
