"""When an incident is urgent, alert its recipients; when somebody takes it on, hold back what has not left.

Reacts to the ledger, entry by entry, by rows in notify.deliveries: they are written in the transaction of the
checkpoint, so that each entry has its effect once, whatever is killed when.
"""

from collections.abc import Sequence
from typing import Any, Protocol
from uuid import UUID

from psycopg import Cursor
from psycopg.rows import class_row, tuple_row
from psycopg.types.json import Jsonb

from commands import codec
from domain import events as e
from domain.alerting import calls_for, ends_alerting
from domain.incident import Incident, fold
from domain.recorded import Recorded
from domain.words import Severity
from workers.notifier.delivery import NOT_CONFIGURED, OPTED_OUT, TAKEN_ON, Delivery, stopped


class MayGo(Protocol):
    """Whether a WhatsApp message may leave to that number now; it counts as sent then."""

    def __call__(self, number: str, *, urgent: bool) -> bool: ...


class Plan:
    """What to send because of the ledger's entries.

    configured: whether WhatsApp can be used at all. may_go: whether a message may leave to that number now; told
    whether it is urgent.
    What may is written down as being sent, in the same transaction: `leaving` are those, to be sent after it.
    """

    def __init__(self, *, configured: bool, may_go: MayGo) -> None:
        self._configured = configured
        self._may_go = may_go
        self._leaving: list[Delivery] = []

    def react(self, cursor: Cursor[Any], entries: Sequence[Recorded]) -> None:
        """Write down what these entries lead to. Safe to be told of an entry again."""
        self._leaving = []  # of a transaction that was rolled back, if any
        ended: set[UUID] = set()
        for entry in entries:
            severity = calls_for(entry.event)
            if severity is not None:
                self._hold_back(cursor, ended)
                self._alert(cursor, entry, severity)
            elif ends_alerting(entry.event):
                ended.add(entry.stream_id)
        self._hold_back(cursor, ended)
        self._let_go(cursor)

    def leaving(self) -> list[Delivery]:
        """After the commit, once: what has to be sent at once."""
        leaving, self._leaving = self._leaving, []
        return leaving

    def _hold_back(self, cursor: Cursor[Any], incidents: set[UUID]) -> None:
        if incidents:
            cursor.execute(_CANCEL, {"reason": TAKEN_ON, "incidents": list(incidents)}, prepare=True)
            incidents.clear()

    def _alert(self, cursor: Cursor[Any], entry: Recorded, severity: Severity) -> None:
        incident = _as_of(cursor, entry)
        if incident is None or not incident.is_open:
            return
        values = {
            "organization": incident.organization_id,
            "incident": entry.stream_id,
            "position": entry.position,
            "version": entry.version,
            "severity": severity,
            "content": Jsonb({"number": incident.number, "title": incident.title}),
            "state": "sending" if self._configured else "not_configured",
            "reason": None if self._configured else NOT_CONFIGURED,
            "opted_out": OPTED_OUT,
            "taken_on": TAKEN_ON,
            "target_s": incident.response_target_s if self._configured else 0,
        }
        with cursor.connection.cursor(row_factory=class_row(Delivery)) as planned:
            self._leaving += planned.execute(_ALERT, values, prepare=True).fetchall()

    def _let_go(self, cursor: Cursor[Any]) -> None:
        """Keep what WhatsApp's rates do not let leave at once; what is critical comes before what is not."""
        leaving: list[Delivery] = []
        later: list[Delivery] = []
        for delivery in sorted(self._leaving, key=lambda each: each.severity != "critical"):
            may = self._may_go(delivery.whatsapp, urgent=delivery.severity == "critical")
            (leaving if may else later).append(delivery)
        if later:
            cursor.execute(_LATER, ([delivery.id for delivery in later],), prepare=True)
        self._leaving = leaving


def _as_of(cursor: Cursor[Any], entry: Recorded) -> Incident | None:
    """The incident as this entry left it."""
    if isinstance(entry.event, e.IncidentTriggered):
        return Incident.opened(entry.stream_id, entry.event)
    with cursor.connection.cursor(row_factory=tuple_row) as reader:
        reader.execute(
            "select topic, state from ledger.events where originator_id = %s and originator_version <= %s"
            " order by originator_version",
            (entry.stream_id, entry.version),
            prepare=True,
            binary=True,
        )
        return fold(entry.stream_id, (codec.decode(topic, state) for topic, state in reader))


_CANCEL = """
    update notify.deliveries set state = 'cancelled', cancelled_at = clock_timestamp(), reason = %(reason)s
     where incident_id = any (%(incidents)s) and kind = 'alert' and state = 'queued'"""

_LATER = "update notify.deliveries set state = 'queued', sending_at = null where id = any (%s)"

_ALERT = f"""
    with wanted as (
        select r.*, {stopped("%(incident)s", "%(version)s")} as taken_on
          from notify.recipients r left join access.people p on p.id = r.person_id
         where r.organization_id = %(organization)s and r.removed_at is null
           and %(severity)s = any (r.severities) and coalesce(p.role, 'responder') <> 'member'
           and not exists (  -- once for an incident, unless what was planned then has come to nothing
               select from notify.deliveries d
                where d.incident_id = %(incident)s and d.recipient_id = r.id and d.kind = 'alert'
                  and (d.state not in ('cancelled', 'failed', 'not_configured') or d.reason = %(opted_out)s))),
    raised as (  -- what waits since it was less urgent does so no longer than what is planned now
        update notify.deliveries d set severity = %(severity)s, due_at = case when d.channel = 'whatsapp'
               then d.due_at else least(d.due_at, clock_timestamp() + make_interval(secs => %(target_s)s)) end
         where d.incident_id = %(incident)s and d.kind = 'alert' and d.state = 'queued'),
    planned as (
        insert into notify.deliveries (id, kind, organization_id, recipient_id, channel, incident_id,
                                       cause_position, cause_version, severity, content, state, reason,
                                       queued_at, cancelled_at, failed_at, sending_at, due_at)
        select gen_random_uuid(), 'alert', organization_id, w.id, way.channel, %(incident)s, %(position)s,
               %(version)s, %(severity)s, %(content)s, way.state, way.reason, clock_timestamp(),
               case way.state when 'cancelled' then clock_timestamp() end,
               case way.state when 'failed' then clock_timestamp() end,
               case way.state when 'sending' then clock_timestamp() end, way.due_at
          from wanted w, lateral (
            select 'whatsapp',
                   case when taken_on then 'cancelled' when opted_in_at is null then 'failed' else %(state)s end,
                   case when taken_on then %(taken_on)s when opted_in_at is null then %(opted_out)s
                        else %(reason)s end,
                   clock_timestamp()
            union all
            -- the other way waits: until WhatsApp has failed for good, or nobody has answered in time
            select fallback_kind, 'queued', null, clock_timestamp() + make_interval(secs =>
                   case when opted_in_at is null then 0 else %(target_s)s end)
             where fallback is not null and not taken_on
          ) as way (channel, state, reason, due_at)
        on conflict do nothing
        returning id, kind, channel, attempt, severity, content, incident_id, recipient_id, state)
    select p.id, p.kind, p.channel, p.attempt, p.severity, p.content, p.incident_id, p.recipient_id, w.whatsapp,
           w.fallback
      from planned p join wanted w on w.id = p.recipient_id where p.state = 'sending'"""
