"""Who has access from before there were events of it is on record afterwards, once."""

from typing import Any
from uuid import uuid4

import psycopg

from commands.directly import load_directly
from fandesk.first_start import first_start, put_access_on_record


def test_people_without_an_event_get_one(empty_database: Any) -> None:
    made = first_start(empty_database.owner_dsn, "Shop", None)
    assert made is not None
    person = uuid4()
    with psycopg.connect(empty_database.dsn, autocommit=True) as connection:
        connection.execute(
            "insert into access.people (id, organization_id, name, role) values (%s, %s, 'Imported', 'member')",
            (person, made.organization_id),
        )
        versions = []
        for _ in range(2):
            put_access_on_record(empty_database.owner_dsn)
            found = load_directly(connection, made.organization_id)
            versions.append(found.version)
    assert versions == [4, 4]
    assert found.roles[person] == "member" and sorted(found.roles.values()) == ["member", "super_admin"]
