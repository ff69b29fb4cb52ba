"""An organisation is changed by events in its stream, with the rows that go with them or not at all."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from given import ALICE, BOB, meta

from commands.codec import OfAnOrganization, decode, encode
from commands.event_store import LedgerDatastore, LedgerRecorder
from commands.organizations import Organizations
from domain import organization_events as o
from domain.errors import InvalidField
from domain.organization import Organization
from domain.quiet import Maintenance


@pytest.fixture
def store(database: Any) -> Iterator[LedgerRecorder]:
    made = LedgerRecorder(LedgerDatastore(database.dsn))
    yield made
    made.close()


def granted(organization: UUID, role: o.Role, person: UUID | None = None) -> o.RoleGranted:
    return o.RoleGranted(**meta(organization=organization), person_id=person or uuid4(), role=role)


def test_what_was_decided_is_what_everybody_sees(store: LedgerRecorder) -> None:
    mine, others, id = Organizations(store), Organizations(store), uuid4()
    assert others.get(id).version == 0
    event = granted(id, "responder", BOB.id)
    changed, position = mine.change(id, lambda _: (event,))
    assert (changed.version, changed.roles) == (1, {BOB.id: "responder"})
    assert position is not None
    assert mine.get(id) == changed
    assert Organizations(store).get(id) == changed


def test_nothing_to_do_writes_nothing_and_a_refusal_neither(store: LedgerRecorder) -> None:
    organizations, id = Organizations(store), uuid4()
    written: list[int] = []
    assert organizations.change(id, lambda _: (), lambda _: written.append(1))[1] is None

    def refuse(_: Organization) -> tuple[o.OrganizationEvent, ...]:
        raise InvalidField("role", "No.")

    with pytest.raises(InvalidField):
        organizations.change(id, refuse, lambda _: written.append(1))
    assert (organizations.get(id).version, written) == (0, [])


def test_rows_are_written_with_the_events_or_not_at_all(store: LedgerRecorder, database: Any) -> None:
    organizations, id = Organizations(store), uuid4()

    def name(cursor: psycopg.Cursor[Any]) -> None:
        cursor.execute("insert into access.organizations (id, name) values (%s, 'Shop')", (id,))

    organizations.change(id, lambda _: (granted(id, "org_admin"),), name)
    with pytest.raises(psycopg.errors.UniqueViolation):
        organizations.change(id, lambda _: (granted(id, "member"),), name)
    assert Organizations(store).get(id).version == 1
    with psycopg.connect(database.dsn) as connection:
        assert connection.execute("select name from access.organizations where id = %s", (id,)).fetchall()


def test_those_who_change_it_at_once_all_get_their_turn(store: LedgerRecorder) -> None:
    id, people = uuid4(), [uuid4() for _ in range(24)]

    def grant(person: UUID) -> None:
        Organizations(store).change(id, lambda now: (granted(id, "member", person),) if now.version < 99 else ())

    threads = [threading.Thread(target=grant, args=(person,)) for person in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = Organizations(store).get(id)
    assert (found.version, set(found.roles)) == (24, set(people))


def test_an_organisations_events_are_no_incidents(store: LedgerRecorder) -> None:
    id = uuid4()
    before = store.head()
    Organizations(store).change(id, lambda _: (granted(id, "member", ALICE.id),))
    page = store.read(before, 100)
    assert page.entries == []
    assert page.upto > before
    assert store.load([id]).streams == {}
    with pytest.raises(OfAnOrganization):
        decode(*encode(granted(id, "member")))


def test_what_another_process_changed_is_seen_at_once_where_that_is_asked_for(store: LedgerRecorder) -> None:
    mine, others, id = Organizations(store), Organizations(store), uuid4()
    assert mine.now(id).version == 0
    others.change(id, lambda _: (granted(id, "member"),))
    assert mine.now(id).version == 1
    assert mine.now(id) is mine.get(id)


def test_maintenance_that_is_over_is_not_looked_at_for_each_alert(
    store: LedgerRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    organizations, id, now = Organizations(store), uuid4(), datetime.now(UTC)
    ends = [timedelta(minutes=-2), timedelta(seconds=-20), timedelta(hours=1)]
    windows = [
        Maintenance(id=uuid4(), name=str(end), start=now - timedelta(days=1), end=now + end) for end in ends
    ]
    announced = [
        o.MaintenanceScheduled(**meta(organization=id), window_id=each.id or id, window=each) for each in windows
    ]
    organizations.change(id, lambda _: tuple(announced))
    assert organizations.known(id).windows == tuple(windows[1:])
    assert len(organizations.get(id).windows) == 3
    monkeypatch.setattr("commands.organizations.LATE", timedelta(seconds=1))
    monkeypatch.setattr("commands.organizations.REMEMBER_S", 0.0)
    assert organizations.known(id).windows == (windows[2],)


def test_the_organisation_as_it_stood_by_what_was_recorded(store: LedgerRecorder, database: Any) -> None:
    organizations, id = Organizations(store), uuid4()
    for _ in range(3):
        organizations.change(id, lambda _: (granted(id, "member"),))
    query = "select recorded_at from ledger.events where originator_id = %s order by originator_version"
    with psycopg.connect(database.dsn) as connection:
        times = [row[0] for row in connection.execute(query, (id,)).fetchall()]
    assert [organizations.as_of(id, at).version for at in times] == [1, 2, 3]
    assert organizations.as_of(id, times[1] - timedelta(microseconds=1)).version == 1
    assert organizations.as_of(id, times[0] - timedelta(microseconds=1)).version == 0
