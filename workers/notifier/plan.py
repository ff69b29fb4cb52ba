"""When an incident is urgent, alert its recipients; when somebody takes it on, hold back what has not left.

Reacts to the ledger, entry by entry, by rows in notify.deliveries: they are written in the transaction of the
checkpoint, so that each entry has its effect once, whatever is killed when.
"""

from collections.abc import Callable, Sequence
from typing import Any
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


class Plan:
    """What to send because of the ledger's entries.

    configured: whether WhatsApp can be used at all. may_go: whether a message may leave to that number now.
    What may is written down as being sent, in the same transaction: `leaving` are those, to be sent after it.
    """

    def __init__(self, *, configured: bool, may_go: Callable[[str], bool]) -> None:
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
            leaving = planned.execute(_ALERT, values, prepare=True).fetchall()
        later = [delivery for delivery in leaving if not self._may_go(delivery.whatsapp)]
        if later:
            cursor.execute(_LATER, ([delivery.id for delivery in later],), prepare=True)
        self._leaving += [delivery for delivery in leaving if delivery not in later]


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
                  and d.state not in ('cancelled', 'failed', 'not_configured'))),
    planned as (
        insert into notify.deliveries (id, kind, organization_id, recipient_id, channel, incident_id,
                                       cause_position, cause_version, severity, content, state, reason,
                                       queued_at, cancelled_at, sending_at, due_at)
        select gen_random_uuid(), 'alert', organization_id, w.id, way.channel, %(incident)s, %(position)s,
               %(version)s, %(severity)s, %(content)s, way.state, way.reason, clock_timestamp(),
               case way.state when 'cancelled' then clock_timestamp() end,
               case way.state when 'sending' then clock_timestamp() end, way.due_at
          from wanted w, lateral (
            select 'whatsapp',
                   case when opted_in_at is null or taken_on then 'cancelled' else %(state)s end,
                   case when opted_in_at is null then %(opted_out)s
                        when taken_on then %(taken_on)s else %(reason)s end,
                   clock_timestamp()
            union all
            -- the other way waits: until WhatsApp has failed for good, or nobody has answered in time
            select fallback_kind, 'queued', null, clock_timestamp() + make_interval(secs => %(target_s)s)
             where fallback is not null and opted_in_at is not null and not taken_on
          ) as way (channel, state, reason, due_at)
        on conflict do nothing
        returning id, kind, channel, attempt, severity, content, incident_id, recipient_id, state)
    select p.id, p.kind, p.channel, p.attempt, p.severity, p.content, p.incident_id, p.recipient_id, w.whatsapp,
           w.fallback
      from planned p join wanted w on w.id = p.recipient_id where p.state = 'sending'"""
