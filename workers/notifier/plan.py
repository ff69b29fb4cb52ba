"""When an incident is urgent, alert its recipients; when somebody takes it on, hold back what has not left.

Reacts to the ledger, entry by entry, by rows in notify.deliveries: they are written in the transaction of the
checkpoint, so that each entry has its effect once, whatever is killed when.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from psycopg import Cursor
from psycopg.rows import class_row, tuple_row
from psycopg.types.json import Jsonb

from commands import codec
from domain import events as e
from domain.alerting import calls_for, ends_alerting
from domain.escalating import reached_later
from domain.incident import Incident, fold
from domain.organization import Organization
from domain.quiet import HELD, held_until
from domain.recorded import Recorded
from domain.words import Severity
from workers.notifier.delivery import NOT_CONFIGURED, OPTED_OUT, TAKEN_ON, Delivery, stopped


class Whom(NamedTuple):
    """Who is to be alerted. broadcast: recipients that want to hear of the severity and have not been alerted of
    this incident; people: these, and everybody: all recipients, whatever they want to hear of. at_once: it is the
    first step, so who was alerted because of what started the policy is not alerted twice."""

    broadcast: bool = False
    people: tuple[UUID, ...] = ()
    everybody: bool = False
    at_once: bool = False


OF_A_COMMAND = 10
"""At most so many events follow the first one of a command."""


STARTS = (e.IncidentTriggered, e.SeverityChanged, e.TeamAssigned, e.MaintenanceEnded)
"""What a policy may begin with."""


class MayGo(Protocol):
    """Whether a WhatsApp message may leave to that number now; it counts as sent then."""

    def __call__(self, number: str, *, urgent: bool) -> bool: ...


class Plan:
    """What to send because of the ledger's entries.

    configured: whether WhatsApp can be used at all. may_go: whether a message may leave to that number now; told
    whether it is urgent.
    What may is written down as being sent, in the same transaction: `leaving` are those, to be sent after it.
    organization: gives an organisation as it stands, for people's quiet hours.
    """

    def __init__(
        self,
        *,
        configured: bool,
        may_go: MayGo,
        organization: Callable[[UUID], Organization],
    ) -> None:
        self._configured = configured
        self._may_go = may_go
        self._organization = organization
        self._leaving: list[Delivery] = []

    def react(self, cursor: Cursor[Any], entries: Sequence[Recorded]) -> None:
        """Write down what these entries lead to. Safe to be told of an entry again."""
        self._leaving = []  # of a transaction that was rolled back, if any
        ended: set[UUID] = set()
        for entry in entries:
            whom = _whom(entry.event)
            if whom is not None:
                self._hold_back(cursor, ended)
                self._alert(cursor, entry, whom)
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

    def _alert(self, cursor: Cursor[Any], entry: Recorded, whom: Whom) -> None:
        incident = _as_of(cursor, entry)
        if incident is None or not incident.is_open:
            return
        held = self._held_back(incident.organization_id, incident.severity, entry.recorded_at)
        values = {
            **whom._asdict(),
            "people": list(whom.people),
            "since": _started(cursor, entry) if whom.at_once else None,
            "later": list(self._reached_later(cursor, entry)) if whom.broadcast else [],
            "held": list(held),
            "until": list(held.values()),
            "quiet": HELD,
            "organization": incident.organization_id,
            "incident": entry.stream_id,
            "position": entry.position,
            "version": entry.version,
            "severity": incident.severity,
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

    def _reached_later(self, cursor: Cursor[Any], entry: Recorded) -> frozenset[UUID]:
        """Whom a later step of the incident's policy alerts: that step is their call, not this one."""
        organization = self._organization(entry.event.organization_id)
        if not (organization.teams or organization.schedules or organization.policies):
            return frozenset()
        incident = _as_of(cursor, entry, whole_command=True)
        if incident is None or not incident.waits:
            return frozenset()  # no step comes to who is to be told of it
        return reached_later(organization, incident, entry.recorded_at)

    def _held_back(self, organization_id: UUID, severity: Severity, at: datetime) -> dict[UUID, datetime]:
        """Until when people are not to be woken for this."""
        quiet = self._organization(organization_id).quiet
        found = {person: held_until(hours, severity, at) for person, hours in quiet.items()}
        return {person: until for person, until in found.items() if until is not None}


def _whom(event: e.IncidentEvent) -> Whom | None:
    """Who is to be alerted because of this event."""
    if isinstance(event, e.IncidentEscalated) and event.people is not None:
        return Whom(people=event.people, everybody=bool(event.everybody), at_once=event.step == 1)
    return Whom(broadcast=True) if calls_for(event) is not None else None


def _started(cursor: Cursor[Any], entry: Recorded) -> int:
    """The version at which what started the incident's policy was recorded, the last time before that step."""
    events = _until(cursor, entry.stream_id, entry.version - 1)
    last = next(event for _, event in reversed(events) if isinstance(event, STARTS))
    return next(version for version, event in events if event.causation_id == last.causation_id)


def _as_of(cursor: Cursor[Any], entry: Recorded, *, whole_command: bool = False) -> Incident | None:
    """The incident as this entry left it; or as the command did that the entry is of."""
    if isinstance(entry.event, e.IncidentTriggered) and not whole_command:
        return Incident.opened(entry.stream_id, entry.event)
    decoded = _until(cursor, entry.stream_id, entry.version + (OF_A_COMMAND if whole_command else 0))
    cause = entry.event.causation_id
    events = (event for version, event in decoded if version <= entry.version or event.causation_id == cause)
    return fold(entry.stream_id, events)


def _until(cursor: Cursor[Any], incident_id: UUID, version: int) -> list[tuple[int, e.IncidentEvent]]:
    """Its events up to that version, with theirs."""
    with cursor.connection.cursor(row_factory=tuple_row) as reader:
        reader.execute(
            "select originator_version, topic, state from ledger.events where originator_id = %s"
            " and originator_version <= %s order by originator_version",
            (incident_id, version),
            prepare=True,
            binary=True,
        )
        return [(found, codec.decode(topic, state)) for found, topic, state in reader]


_CANCEL = """
    update notify.deliveries set state = 'cancelled', cancelled_at = clock_timestamp(), reason = %(reason)s
     where incident_id = any (%(incidents)s) and kind = 'alert' and state = 'queued'"""

_LATER = "update notify.deliveries set state = 'queued', sending_at = null where id = any (%s)"

_ALERT = f"""
    with wanted as (
        select r.*, {stopped("%(incident)s", "%(version)s")} as taken_on
               , held.until as held_until
          from notify.recipients r left join access.people p on p.id = r.person_id
          left join unnest(%(held)s::uuid[], %(until)s::timestamptz[]) held (person, until)
            on held.person = r.person_id
         where r.organization_id = %(organization)s and r.removed_at is null
           and coalesce(p.role, 'responder') <> 'member' and p.disabled_at is null
           and (%(broadcast)s and %(severity)s = any (r.severities)
                and not coalesce(r.person_id = any (%(later)s), false)
                and not exists (
                   -- once for an incident, unless what was planned then has come to nothing
                   select from notify.deliveries d
                    where d.incident_id = %(incident)s and d.recipient_id = r.id and d.kind = 'alert'
                      and (d.state not in ('cancelled', 'failed', 'not_configured') or d.reason = %(opted_out)s))
                or (%(everybody)s or r.person_id = any (%(people)s)) and not exists (
                   -- what waits to leave is enough, and so is what has just left because of the trigger
                   select from notify.deliveries d
                    where d.incident_id = %(incident)s and d.recipient_id = r.id and d.kind = 'alert'
                      and (d.state = 'queued' and d.channel = 'whatsapp' or d.cause_version >= %(since)s
                           and (not %(everybody)s or d.queued_at > clock_timestamp() - interval '10 s'))))),
    raised as (  -- what waits since it was less urgent does so no longer than what is planned now
        update notify.deliveries d set severity = %(severity)s, due_at = least(d.due_at, case
               when d.channel <> 'whatsapp' then clock_timestamp() + make_interval(secs => %(target_s)s)
               when %(severity)s = 'critical' and d.severity <> 'critical' then clock_timestamp() end)
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
                   case when taken_on then 'cancelled' when opted_in_at is null then 'failed'
                        when held_until is not null and %(state)s = 'sending' then 'queued' else %(state)s end,
                   case when taken_on then %(taken_on)s when opted_in_at is null then %(opted_out)s
                        when held_until is not null then %(quiet)s else %(reason)s end,
                   coalesce(held_until, clock_timestamp())
            union all
            -- the other way waits: until WhatsApp has failed for good, or nobody has answered in time
            select fallback_kind, 'queued', null, coalesce(held_until, clock_timestamp()) + make_interval(
                   secs => case when opted_in_at is null then 0 else %(target_s)s end)
             where fallback is not null and not taken_on
               and not exists (
                   select from notify.deliveries d
                    where d.incident_id = %(incident)s and d.recipient_id = w.id and d.channel = fallback_kind
                      and d.state = 'queued')
          ) as way (channel, state, reason, due_at)
        on conflict do nothing
        returning id, kind, channel, attempt, severity, content, incident_id, recipient_id, state)
    select p.id, p.kind, p.channel, p.attempt, p.severity, p.content, p.incident_id, p.recipient_id, w.whatsapp,
           w.fallback
      from planned p join wanted w on w.id = p.recipient_id where p.state = 'sending'"""
