"""Changes an organisation on a connection that is there already, for programs that run once: the first start,
migrations, the command line. Who serves requests uses `commands.organizations`."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from psycopg import Connection

from commands import codec
from commands.append import APPEND, Append, NewEvent, parameters
from domain.organization import Organization, fold_organization
from domain.organization_events import OrganizationChange, OrganizationEvent

WRITERS_LOCK = 7308604895
"""The lock that every append takes; see migrations/0001_ledger.sql."""


def change_directly(
    connection: Connection[Any],
    organization_id: UUID,
    decide: Callable[[Organization], tuple[OrganizationEvent, ...]],
) -> None:
    """Append what `decide` says, in a transaction with whatever else the connection's has. All other writers wait
    until it ends: it has to be short."""
    with connection.transaction():
        connection.execute("select pg_advisory_xact_lock(%s)", (WRITERS_LOCK,))
        now = load_directly(connection, organization_id)
        events = enumerate(decide(now), start=now.version + 1)
        append = Append(events=[NewEvent(organization_id, version, event) for version, event in events])
        if append.events:
            row = connection.execute(APPEND, parameters([append])).fetchone()
            assert row is not None and row[0] == "appended"  # nobody else writes meanwhile


def load_directly(connection: Connection[Any], organization_id: UUID) -> Organization:
    """The organisation as it stands."""
    rows = connection.execute(
        "select topic, state from ledger.events where originator_id = %s order by originator_version",
        (organization_id,),
    ).fetchall()
    events = [codec.decode_any(topic, bytes(state)) for topic, state in rows]
    return fold_organization(organization_id, (e for e in events if isinstance(e, OrganizationChange)))
