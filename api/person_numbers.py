"""A person's own WhatsApp number: the recipient that stands for them, which hears of nothing by itself."""

from typing import Any
from uuid import UUID

import psycopg
from psycopg import Cursor

from api.problems import NumberTaken
from commands.ids import new_id

TAKEN = "Another recipient of this organisation has this number."


def put_number(
    cursor: Cursor[Any], organization_id: UUID, person_id: UUID, number: str | None, agreed: bool
) -> None:
    """The person's number becomes this one, or (None) none at all. agreed: they have shown that it is theirs, and
    want to be written to. Raises NumberTaken."""
    values = {"id": new_id(), "org": organization_id, "person": person_id, "number": number, "agreed": agreed}
    if number is None:
        cursor.execute(_REMOVE, values)
        return
    holder = cursor.execute(_HOLDER, values).fetchone()
    if holder is not None and holder[1] != person_id and not (agreed and holder[1] is None):
        raise NumberTaken(TAKEN)
    try:
        if holder is not None:  # it is there already: theirs, or nobody's until they have shown that it is theirs
            cursor.execute(_REMOVE_OTHERS, {**values, "id": holder[0]})
            cursor.execute(_TAKE, {**values, "id": holder[0]})
        elif cursor.execute(_CHANGE, values).rowcount == 0:
            cursor.execute(_ADD, values)
    except psycopg.errors.UniqueViolation:
        raise NumberTaken(TAKEN) from None


_HOLDER = """
    select id, person_id from notify.recipients
     where organization_id = %(org)s and whatsapp = %(number)s and removed_at is null"""
_REMOVE = """
    update notify.recipients set removed_at = now(), fallback = null, fallback_kind = null
     where person_id = %(person)s and removed_at is null"""
_REMOVE_OTHERS = """
    update notify.recipients set removed_at = now(), fallback = null, fallback_kind = null
     where person_id = %(person)s and removed_at is null and severities = '{}' and id <> %(id)s"""
_TAKE = """
    update notify.recipients set person_id = %(person)s,
           opted_in_at = case when %(agreed)s then coalesce(opted_in_at, now()) else opted_in_at end
     where id = %(id)s"""
_CHANGE = """
    update notify.recipients set whatsapp = %(number)s, wa_id = null,
           opted_in_at = case when %(agreed)s then now() end
     where id = (select id from notify.recipients where person_id = %(person)s and removed_at is null
                  order by severities <> '{}', created_at limit 1)"""
_ADD = """
    insert into notify.recipients (id, organization_id, name, whatsapp, severities, person_id, opted_in_at)
    select %(id)s, %(org)s, name, %(number)s, '{}', id, case when %(agreed)s then now() end
      from access.people where id = %(person)s"""
