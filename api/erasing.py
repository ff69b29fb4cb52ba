"""What goes with a person's access, and what goes with the person."""

from typing import Any
from uuid import UUID

from psycopg import Cursor

from api.person_rows import ERASED
from api.problems import NotPossible


def keep_a_super_admin(cursor: Cursor[Any], but: UUID) -> None:
    """Raises NotPossible where nobody would be left who can do everything."""
    if cursor.execute(_LAST, {"id": but}).fetchone() is not None:
        raise NotPossible("This is the last super admin: make another one first.")


def remove_rows(cursor: Cursor[Any], person: UUID) -> None:
    """The person gets in no more by any way, and is alerted no more. Safe to be called again."""
    cursor.execute("update access.people set disabled_at = coalesce(disabled_at, now()) where id = %s", (person,))
    for statement in _ENDED:
        cursor.execute(statement, (person,))


def erase_rows(cursor: Cursor[Any], person: UUID) -> None:
    """All that says who the person was goes: only ids stay. Safe to be called again."""
    cursor.execute(_THEIRS_AGAIN, {"person": person})
    remove_rows(cursor, person)
    cursor.execute(_BLANK, {"person": person, "erased": ERASED})
    for statement in _DELETED:
        cursor.execute(statement, (person,))
    numbers = cursor.execute(
        "select array_agg(ltrim(whatsapp, '+')) || array_agg(wa_id) from notify.recipients where person_id = %s",
        (person,),
    ).fetchone()
    if numbers is not None and numbers[0]:
        cursor.execute(_INBOX, {"numbers": [number for number in numbers[0] if number]})
    cursor.execute(_DELIVERIES, (person,))
    cursor.execute(_RECIPIENTS, {"person": person, "erased": ERASED})


_ENDED = (
    "update access.tokens set revoked_at = now() where person_id = %s and revoked_at is null",
    "update access.sessions set revoked_at = now() where person_id = %s and revoked_at is null",
    "delete from access.links where person_id = %s and used_at is null",
    "delete from access.codes where person_id = %s",
    "delete from access.identities where person_id = %s",
    "update access.feeds set revoked_at = now() where owner_id = %s and revoked_at is null",
    "update notify.recipients set removed_at = coalesce(removed_at, now()), fallback = null, fallback_kind = null"
    " where person_id = %s",
)
_LAST = """
    select 1 from access.people where id = %(id)s and role = 'super_admin' and disabled_at is null and not exists (
           select from access.people where role = 'super_admin' and disabled_at is null and id <> %(id)s)"""
_BLANK = """
    update access.people set name = %(erased)s, email = null, password_hash = null, time_zone = null,
           last_seen_at = null, role = 'member', erased_at = coalesce(erased_at, now())
     where id = %(person)s"""
_DELETED = (
    "delete from access.sessions where person_id = %s",
    "delete from access.tokens where person_id = %s",
    "delete from access.links where person_id = %s",
    "delete from access.refusals where person_id = %s",
    "delete from access.feeds where owner_id = %s",
)
_THEIRS_AGAIN = """
    update notify.recipients set person_id = %(person)s, once_person_id = null
     where person_id is null
       and organization_id = (select organization_id from access.people where id = %(person)s)
       and (once_person_id = %(person)s or whatsapp in (
            select whatsapp from notify.recipients
             where person_id = %(person)s
               and removed_at is distinct from created_at  -- one that was only sent a code may be anybody's
           ))"""
_INBOX = """
    update notify.inbox set item = null, handled_at = coalesce(handled_at, now()), outcome = 'erased'
     where item is not null and (item -> 'message' ->> 'from' = any (%(numbers)s)
           or item -> 'status' ->> 'recipient_id' = any (%(numbers)s))"""
_DELIVERIES = """
    update notify.deliveries d set content = '{}', wamid = null, reason = null,
           state = case when d.state = 'queued' then 'cancelled' else d.state end,
           cancelled_at = case when d.state = 'queued' then clock_timestamp() else d.cancelled_at end
      from notify.recipients r where r.id = d.recipient_id and r.person_id = %s"""
_RECIPIENTS = """
    update notify.recipients set name = %(erased)s, wa_id = null, opted_in_at = null, fallback = null,
           fallback_kind = null, whatsapp = '+10000000'
     where person_id = %(person)s"""
