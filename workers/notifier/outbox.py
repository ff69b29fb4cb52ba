"""The deliveries in the database, as the sender moves them on: each step is one statement that only goes forward.

A row is at most one message. What has to be tried again is a new row, its next attempt; the old one is superseded.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import class_row

from domain.alerting import RESEND_UNKNOWN_AFTER_S, DeliveryState, before
from workers.notifier.delivery import LEFT, NOT_CONFIGURED, OPTED_OUT, TAKEN_ON, Delivery, stopped

Connection = AsyncConnection[Any]

GIVE_UP_AFTER_S = 24 * 3600.0
"""How long an alert is tried again while nobody has taken the incident on; a reply: REPLY_FOR_S."""

REPLY_FOR_S = 600.0

MAX_UNKNOWN = 6
"""Attempts of which it is not known whether they arrived, before a person is counted as not reached."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A delivery that is due, and whom it is for. urgent: anything but an alert that is less than critical."""

    id: UUID
    channel: str
    whatsapp: str
    urgent: bool


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a delivery failed. retry_s: seconds until it is tried again; None: never. hurry: the recipient's other
    channel shall not wait any longer."""

    reason: str
    code: int | None = None
    retry_s: float | None = None
    hurry: bool = True


async def recover(connection: Connection, in_flight: Iterable[UUID], older_than_s: float = 0.0) -> int:
    """After a restart: what was being sent and is not in flight here may or may not have left. older_than_s: only
    what is so for longer."""
    cursor = await connection.execute(
        "update notify.deliveries set state = 'unknown', unknown_at = clock_timestamp(),"
        " reason = 'The program stopped while this was being sent.'"
        " where state = 'sending' and id <> all (%s)"
        "   and sending_at <= clock_timestamp() - make_interval(secs => %s)",
        (list(in_flight), older_than_s),
        prepare=True,
    )
    return cursor.rowcount


async def recently_sent(connection: Connection, within_s: float) -> list[tuple[str, datetime]]:
    """To whom WhatsApp messages went lately, and when: what the rates have to know after a restart."""
    cursor = await connection.execute(
        "select r.whatsapp, d.sending_at"
        "  from notify.deliveries d join notify.recipients r on r.id = d.recipient_id"
        " where d.channel = 'whatsapp' and r.whatsapp is not null"
        "   and d.sending_at > clock_timestamp() - make_interval(secs => %s)"
        " order by d.sending_at",
        (within_s,),
    )
    return await cursor.fetchall()


async def due(connection: Connection, *, per_person: int, limit: int) -> list[Waiting]:
    """What is to be sent now, the most urgent first; of each person at most so many."""
    async with connection.cursor(row_factory=class_row(Waiting)) as cursor:
        await cursor.execute(_DUE, {"per_person": per_person, "limit": limit}, prepare=True)
        return await cursor.fetchall()


async def next_due_in_s(connection: Connection) -> float | None:
    """Seconds until the next delivery that waits for its time; None where none does."""
    cursor = await connection.execute(_NEXT_DUE, prepare=True)
    row = await cursor.fetchone()
    return None if row is None or row[0] is None else max(0.0, float(row[0]))


async def hurry_others(connection: Connection, ids: Sequence[UUID]) -> None:
    """The other channels of those whom WhatsApp's rates keep from an alert shall not wait any longer."""
    await connection.execute(
        "update notify.deliveries o set due_at = clock_timestamp() from notify.deliveries d"
        " where d.id = any (%s) and o.incident_id = d.incident_id and o.recipient_id = d.recipient_id"
        " and o.channel <> 'whatsapp' and o.state = 'queued' and o.due_at > clock_timestamp()",
        (list(ids),),
        prepare=True,
    )


async def claim(connection: Connection, ids: Sequence[UUID]) -> list[Delivery]:
    """Take these to send, in this order. Alerts that nobody needs any more are cancelled instead, by the ledger as
    it is now."""
    async with connection.cursor(row_factory=class_row(Delivery)) as cursor:
        await cursor.execute(
            _CLAIM, {"ids": list(ids), "taken_on": TAKEN_ON, "opted_out": OPTED_OUT, "left": LEFT}, prepare=True
        )
        claimed = await cursor.fetchall()
    place = {id: nth for nth, id in enumerate(ids)}  # an UPDATE returns its rows in whichever order
    return sorted(claimed, key=lambda delivery: place[delivery.id])


async def sent(connection: Connection, delivery: Delivery, wamid: str | None, wa_id: str | None) -> None:
    """The provider has taken it. A status may have been here before: then only the id is new."""
    await connection.execute(
        "update notify.deliveries set wamid = coalesce(wamid, (select %(wamid)s::text"
        "  where not exists (select from notify.deliveries other where other.wamid = %(wamid)s))),"
        " sent_at = coalesce(sent_at, clock_timestamp()),"
        " state = case when state in ('sending', 'unknown') then 'sent' else state end,"
        " reason = case when state in ('sending', 'unknown') then null else reason end,"
        " content = case when kind = 'code' then '{}' else content end"  # it has served
        " where id = %(id)s and state in ('sending', 'unknown', 'sent', 'delivered', 'read')",
        {"id": delivery.id, "wamid": wamid},
        prepare=True,
    )
    if wa_id is not None and wa_id != delivery.whatsapp.lstrip("+"):
        await connection.execute(
            "update notify.recipients set wa_id = %s where id = %s", (wa_id, delivery.recipient_id)
        )


async def unknown(connection: Connection, delivery: Delivery, reason: str) -> None:
    """It may or may not have left."""
    await connection.execute(
        "update notify.deliveries set state = 'unknown', unknown_at = clock_timestamp(), reason = %s"
        " where id = %s and state = 'sending'",
        (reason, delivery.id),
        prepare=True,
    )


async def not_configured(connection: Connection, id: UUID) -> None:
    """WhatsApp is not set up here: a code, which is planned without knowing that, goes nowhere."""
    await connection.execute(
        "update notify.deliveries set state = 'not_configured', reason = %s, content = '{}'"
        " where id = %s and state = 'sending'",
        (NOT_CONFIGURED, id),
        prepare=True,
    )


async def failed(connection: Connection, id: UUID, failure: Failure) -> bool:
    """It was refused, or could not be delivered. Plans the next attempt, if there is to be one; False where the
    delivery had come further already, so that this is not believed."""
    values = {
        "id": id,
        "reason": failure.reason,
        "code": failure.code,
        "retry_s": failure.retry_s,
        "hurry": failure.hurry,
        "alert_for_s": GIVE_UP_AFTER_S,
        "reply_for_s": REPLY_FOR_S,
    }
    row = await (await connection.execute(_FAILED, values, prepare=True)).fetchone()
    return row is not None and row[0] > 0


async def resend_unknown(connection: Connection) -> int:
    """Send again what may not have arrived, when its deadline has passed; how many."""
    deadlines = {str(severity): after_s for severity, after_s in RESEND_UNKNOWN_AFTER_S.items()}
    values: dict[str, Any] = {"max": MAX_UNKNOWN, **deadlines}
    cursor = await connection.execute(_RESEND_UNKNOWN, values, prepare=True)
    return cursor.rowcount


async def status(connection: Connection, id: UUID, state: str, at: float | None, wamid: str | None) -> bool:
    """WhatsApp says how far a message came, at a time in seconds since 1970 by its own clock, whole seconds: it is
    recorded as not before the step before it. False where it had come so far already."""
    row = await (
        await connection.execute(_STATUS[state], {"id": id, "at": at, "wamid": wamid}, prepare=True)
    ).fetchone()
    return row is not None


async def find(connection: Connection, id: UUID | None, wamid: str | None) -> UUID | None:
    """The delivery that a status is about: by our own id for it, else by WhatsApp's."""
    cursor = await connection.execute(
        "select id from notify.deliveries where id = %s union all"
        " select id from notify.deliveries where wamid = %s limit 1",
        (id, wamid),
        prepare=True,
    )
    row = await cursor.fetchone()
    return row[0] if row else None


def _before(state: DeliveryState) -> str:
    """The states that may become this one, as SQL has them."""
    return ", ".join(f"'{each}'" for each in before(state))


_FIRST = "d.severity is distinct from 'critical', d.kind = 'alert', d.severity"
"""What is critical, then replies, as somebody looks at the phone, then the rest (false before true)."""

_DUE = f"""
    select id, channel, whatsapp, urgent from (
        select d.id, d.channel, coalesce(r.whatsapp, '') as whatsapp, d.kind, d.severity, d.due_at,
               d.severity is not distinct from 'critical' or d.kind = 'reply' as urgent,
               row_number() over (partition by d.recipient_id, d.channel
                                  order by {_FIRST}, d.due_at) as place
          from notify.deliveries d join notify.recipients r on r.id = d.recipient_id
         where d.state = 'queued' and d.due_at <= clock_timestamp()) d
     where place <= %(per_person)s
     order by {_FIRST}, d.due_at limit %(limit)s"""

_NEXT_DUE = """
    select extract(epoch from min(due_at) - clock_timestamp())::float from notify.deliveries
     where state = 'queued' and due_at > clock_timestamp()"""

_STOPPED = stopped("d.incident_id", "d.cause_version")

_CLAIM = f"""
    with held_back as (
        update notify.deliveries d set state = 'cancelled', cancelled_at = clock_timestamp(), reason = why.reason
          from notify.deliveries o join notify.recipients r on r.id = o.recipient_id
               left join access.people p on p.id = r.person_id
               cross join lateral (
                   select case when r.removed_at is not null or p.role = 'member' or p.disabled_at is not null
                               then %(left)s
                               when r.opted_in_at is null and o.channel = 'whatsapp' then %(opted_out)s
                               when {stopped("o.incident_id", "o.cause_version")} then %(taken_on)s end
                   ) why (reason)
         where o.id = any (%(ids)s) and d.id = o.id and d.state = 'queued' and why.reason is not null
           and (o.kind = 'alert' or o.kind = 'reply' and r.removed_at is not null
                or o.kind = 'code' and p.disabled_at is not null)  -- a code's recipient is removed from the start
        returning d.id)
    update notify.deliveries d set state = 'sending', sending_at = clock_timestamp()
      from notify.recipients r
     where d.id = any (%(ids)s) and d.state = 'queued' and r.id = d.recipient_id
       and d.id not in (select id from held_back)
    returning d.id, d.kind, d.channel, d.attempt, d.severity, d.content, d.incident_id, d.recipient_id,
              r.whatsapp, r.fallback"""

_NEXT_ATTEMPT = """
    insert into notify.deliveries (id, kind, organization_id, recipient_id, channel, incident_id, cause_position,
                                   cause_version, attempt, severity, content, due_at)
    select gen_random_uuid(), kind, organization_id, recipient_id, channel, incident_id, cause_position,
           cause_version, 1 + (
               select max(last.attempt) from notify.deliveries last
                where last.cause_position = gone.cause_position and last.recipient_id = gone.recipient_id
                  and last.channel = gone.channel or last.id = gone.id),
           severity, content, clock_timestamp() + make_interval(secs => retry_s) from gone"""

_LATER = """
    select from notify.deliveries later
     where later.cause_position = d.cause_position and later.recipient_id = d.recipient_id
       and later.channel = d.channel and later.attempt > d.attempt"""

_FAILED = f"""
    with gone as (
        update notify.deliveries d
           set state = 'failed', failed_at = clock_timestamp(), reason = %(reason)s, error_code = %(code)s,
               superseded = d.superseded or again.may,
               told = case when d.superseded or again.may then 'failed' else told end
          from (select id, %(retry_s)s::float is not null and case
                       when kind <> 'alert'
                       then queued_at > clock_timestamp() - make_interval(secs => %(reply_for_s)s)
                       else (select min(first.queued_at) from notify.deliveries first
                              where first.cause_position = d.cause_position and first.recipient_id = d.recipient_id
                                and first.channel = d.channel)
                            > clock_timestamp() - make_interval(secs => %(alert_for_s)s)
                            and not exists ({_LATER} and later.state not in ('failed', 'cancelled'))
                            and not {_STOPPED} end as may
                  from notify.deliveries d where id = %(id)s) again
         where d.id = again.id and d.state in ({_before("failed")})
        returning d.*, again.may, %(retry_s)s::float as retry_s),
    following as ({_NEXT_ATTEMPT} where may on conflict do nothing),
    other_way as (
        update notify.deliveries o set due_at = clock_timestamp() from gone
         where %(hurry)s and o.state = 'queued' and o.incident_id = gone.incident_id and o.channel <> 'whatsapp'
           and gone.channel = 'whatsapp' and o.recipient_id = gone.recipient_id and o.due_at > clock_timestamp())
    select count(*) from gone"""

_RESEND_UNKNOWN = f"""
    with gone as (
        update notify.deliveries d
           set superseded = before.unknown < %(max)s,
               state = case when before.unknown < %(max)s then 'unknown' else 'failed' end,
               failed_at = case when before.unknown < %(max)s then null else clock_timestamp() end
          from (select o.id, (  -- refusals do not count: whoever is refused for an hour does not wait for longer
                           select count(*) from notify.deliveries u
                            where u.cause_position = o.cause_position and u.recipient_id = o.recipient_id
                              and u.channel = o.channel and u.unknown_at is not null) as unknown
                  from notify.deliveries o
                 where o.state = 'unknown' and not o.superseded and o.kind = 'alert'
                   and o.unknown_at > clock_timestamp() - interval '1 day') before
         where d.id = before.id and d.state = 'unknown' and not d.superseded
           and d.unknown_at < clock_timestamp() - make_interval(secs => least(600, power(2, before.unknown - 1)
               * case d.severity when 'critical' then %(critical)s else %(high)s end))
           and not {_STOPPED}
        returning d.*, 0.0::float as retry_s),
    other_way as (
        update notify.deliveries o set due_at = clock_timestamp() from gone
         where gone.state = 'failed' and o.state = 'queued' and o.incident_id = gone.incident_id
           and o.channel <> 'whatsapp' and o.recipient_id = gone.recipient_id and o.due_at > clock_timestamp())
    {_NEXT_ATTEMPT} where state = 'unknown' on conflict do nothing"""

_MOMENT = "least(clock_timestamp(), greatest(to_timestamp(%(at)s), coalesce({}, sending_at)))"
_TOLD_OF = f"""
                   reason = null, wamid = coalesce(wamid, %(wamid)s),
                   superseded = exists ({_LATER} and later.state not in ('failed', 'cancelled', 'queued'))"""
_SETTLED = """
    , settled as (  -- it has left: the attempt that was to make up for it need not, unless this one fails yet
        update notify.deliveries later set state = 'cancelled', cancelled_at = clock_timestamp(),
               reason = 'The attempt before this one had left.'
          from told where later.cause_position = told.cause_position and later.recipient_id = told.recipient_id
           and later.channel = told.channel and later.attempt > told.attempt and later.state = 'queued')
    select id from told"""
_STATUS = {
    "sent": f"""
        with told as (
            update notify.deliveries d set {_TOLD_OF}, state = 'sent',
                   sent_at = coalesce(sent_at, {_MOMENT.format("sending_at")})
             where id = %(id)s and state in ({_before("sent")}) returning *){_SETTLED}""",
    "delivered": f"""
        with told as (
            update notify.deliveries d set {_TOLD_OF}, state = 'delivered',
                   sent_at = coalesce(sent_at, {_MOMENT.format("sending_at")}),
                   delivered_at = {_MOMENT.format("sent_at")}
             where id = %(id)s and state in ({_before("delivered")}) returning *){_SETTLED}""",
    "read": f"""
        with told as (
            update notify.deliveries d set {_TOLD_OF}, state = 'read',
                   sent_at = coalesce(sent_at, {_MOMENT.format("sending_at")}),
                   delivered_at = coalesce(delivered_at, {_MOMENT.format("sent_at")}),
                   read_at = {_MOMENT.format("coalesce(delivered_at, sent_at)")}
             where id = %(id)s and state in ({_before("read")}) returning *){_SETTLED}""",
}
