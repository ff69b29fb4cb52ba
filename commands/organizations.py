"""Organisations as they stand, for every command, and how they are changed."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from commands.append import Append, NewEvent
from commands.event_store import LedgerRecorder
from domain.errors import Overloaded
from domain.organization import Organization, fold_organization
from domain.organization_events import OrganizationEvent
from domain.router import Router

REMEMBER_S = 1.0
"""How long a process may go by what an organisation was, after another process has changed it."""

MAX_ATTEMPTS = 20

Decide = Callable[[Organization], tuple[OrganizationEvent, ...]]
"""What shall happen, from the organisation as it stands; nothing where it is so already. Raises a Refusal."""


@dataclass(slots=True)
class Known:
    """An organisation as this process last saw it, and its rules made ready."""

    organization: Organization
    router: Router
    looked_at: float


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
                    known.looked_at = now
                    return known
            return self._remember(self._load(organization_id), now)

    def get(self, organization_id: UUID) -> Organization:
        """The organisation as it was at most REMEMBER_S ago."""
        return self.known(organization_id).organization

    def change(self, organization_id: UUID, decide: Decide) -> tuple[Organization, int | None]:
        """Change it: the organisation as it is then, and the position of the last event (None: nothing was to do).

        Whoever writes at the same time is taken into account. Raises the Refusal of `decide`, Overloaded.
        """
        for _ in range(MAX_ATTEMPTS):
            organization = self._load(organization_id)
            events = decide(organization)
            if not events:
                return organization, None
            new = [
                NewEvent(organization_id, version, event)
                for version, event in enumerate(events, start=organization.version + 1)
            ]
            (written,) = self._store.append([Append(events=new)])
            if written.outcome == "appended":
                for event in events:
                    organization.apply(event)
                with self._lock:
                    self._remember(organization, time.monotonic())
                return organization, written.position
        raise Overloaded("Too many others are changing this organisation.")

    def _load(self, organization_id: UUID) -> Organization:
        return fold_organization(organization_id, self._store.load_organization(organization_id))

    def _remember(self, organization: Organization, now: float) -> Known:
        known = Known(organization, Router(organization.rules, organization.default_team), now)
        self._known[organization.id] = known
        return known
