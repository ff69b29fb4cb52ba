"""What the commands of the command line about an organisation share: which one, its people, and how it changes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import psycopg

from api.person_rows import email_taken
from commands.ids import new_id
from commands.organizations import Organizations
from domain.decisions import SYSTEM, Request
from domain.errors import InvalidField, Refusal
from domain.organization import Organization
from domain.organization_decisions import Events
from fandesk.place import database, ledger


class CannotBe(Exception):
    """What was asked for cannot be; the text says why."""


class Person(NamedTuple):
    """Somebody of the organisation."""

    id: UUID
    name: str
    email: str | None
    role: str
    has_access: bool = True


@dataclass(frozen=True)
class Place:
    """An organisation, and what it takes to change it."""

    id: UUID
    name: str
    connection: psycopg.Connection[Any]
    organizations: Organizations

    def organization(self) -> Organization:
        return self.organizations.now(self.id)

    def people(self) -> list[Person]:
        """Everybody of the organisation who has access, in the order in which they came."""
        return [person for person in self.everybody() if person.has_access]

    def everybody(self) -> list[Person]:
        """Also who has no access any more."""
        return [Person(*row) for row in self.connection.execute(_PEOPLE, (self.id,)).fetchall()]

    def roles(self) -> dict[UUID, str]:
        return {person.id: person.role for person in self.people()}

    def names(self) -> dict[UUID, str]:
        return {person.id: person.name for person in self.people()}

    def person(self, said: str) -> Person:
        """Who is meant. Raises CannotBe."""
        return meant(said, self.people())

    def change(
        self,
        decide: Callable[[Organization, Request], Events],
        write: Callable[[psycopg.Cursor[Any]], None] = lambda _: None,
    ) -> Organization:
        """Change it, as the system. Raises CannotBe where that is refused."""
        request = request_of(self.id)
        try:
            return self.organizations.change(self.id, lambda now: decide(now, request), write)[0]
        except InvalidField as wrong:
            raise CannotBe(f"{wrong.field}: {wrong.detail}") from wrong
        except Refusal as refused:
            raise CannotBe(refused.detail) from refused


def insert_person(cursor: psycopg.Cursor[Any], organization_id: UUID, person: Person) -> None:
    """Raises CannotBe where somebody else signs in with the e-mail address."""
    with email_free(cursor, person.email, person.id):
        cursor.execute(_INSERT, (person.id, organization_id, person.name, person.email, person.role))


@contextmanager
def email_free(cursor: psycopg.Cursor[Any], email: str | None, person: UUID) -> Iterator[None]:
    """What is written gives the person the address to sign in with. Raises CannotBe where somebody else has it."""
    taken_already = CannotBe(f"Somebody signs in with the e-mail address {email} already.")
    if email is not None and email_taken(cursor, email, person):
        raise taken_already
    try:
        yield
    except psycopg.errors.UniqueViolation as taken:
        if taken.diag.constraint_name != "people_by_email":
            raise
        raise taken_already from None


def request_of(organization_id: UUID) -> Request:
    """What an operator asks for, now."""
    return Request(organization_id, SYSTEM, datetime.now(UTC), new_id(), new_id())


def meant(said: str, people: list[Person]) -> Person:
    """Who is meant by an e-mail address, a name or an id. Raises CannotBe where that is nobody, or several."""
    wanted = said.strip().casefold()
    for found in (
        [person for person in people if wanted in (str(person.id), (person.email or "").casefold())],
        [person for person in people if person.name.strip().casefold() == wanted],
    ):
        if len(found) == 1:
            return found[0]
        if found:
            raise CannotBe(f"There are several people called “{said}”: say which by e-mail address or id.")
    raise CannotBe(f"There is nobody called “{said}”, by name or e-mail address.")


@contextmanager
def opened(data: Path | None, named: str | None) -> Iterator[Place]:
    """The organisation of that name or id, or the only one there is. Raises CannotBe."""
    with database(data) as config, ledger(config) as store, psycopg.connect(config.dsn, autocommit=True) as made:
        rows = made.execute("select id, name from access.organizations order by created_at, id").fetchall()
        found = [(id, name) for id, name in rows if named is None or named in (str(id), name)]
        if not rows:
            raise CannotBe("There is no organisation yet: run `fandesk migrate`.")
        if not found:
            raise CannotBe(f"There is no organisation “{named}”.")
        if len(found) > 1:
            raise CannotBe("There are several organisations: name one with --organization, by its id if need be.")
        yield Place(*found[0], made, Organizations(store))


_INSERT = """
    insert into access.people (id, organization_id, name, email, role) values (%s, %s, %s, %s, %s)
    on conflict (id) do nothing"""
_PEOPLE = """
    select id, name, email, role, disabled_at is null from access.people
     where organization_id = %s and erased_at is null order by created_at, id"""
