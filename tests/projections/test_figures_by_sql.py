"""The figures against plain SQL over the raw events, now and as they were, and a rebuild that changes none."""

import asyncio
import random
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, TypeVar
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import psycopg
from given import T0
from histories import Histories, Step, steps
from hypothesis import HealthCheck, Phase, given, settings
from psycopg import AsyncConnection
from psycopg.rows import dict_row
from test_figures import same

from commands.event_store import recorded
from domain import events as e
from projections import figures, noise, then
from projections.cohort import Cohort, Schema
from projections.load import load
from projections.rebuild import compare, rebuild

T = TypeVar("T")
NOW = T0 + timedelta(days=30)
BERLIN = "Europe/Berlin"

INCIDENTS = """
    with e as (
        select incident_id as id, position as n, type, occurred_at as at, payload as p from ledger.readable
         where organization_id = %(organization)s and position <= %(upto)s
    ), first as (
        select id, n, at, p from e where type = 'IncidentTriggered'
    ), fixes as (
        select id, n, (p ->> 'triggered_at')::timestamptz as triggered,
               (p ->> 'acknowledged_at')::timestamptz as acknowledged,
               (p ->> 'resolved_at')::timestamptz as resolved, p -> 'labels' as labels
          from e where type = 'DetailsCorrected'
    ), turns as (
        select *, type <> 'IncidentReopened' and lag(type, 1, 'IncidentReopened') over (partition by id order by n)
               = 'IncidentReopened' as closes
          from e where type in ('IncidentResolved', 'IncidentMerged', 'IncidentReopened')
    ), closing as (
        select t.id, t.n, coalesce((
                   select resolved from fixes f where f.id = t.id and f.n > t.n and resolved is not null
                      and not exists (select from turns r where r.id = t.id and r.n between t.n and f.n
                                         and r.type = 'IncidentReopened') order by n desc limit 1), t.at) as at
          from turns t where closes
    ), answer as (
        select distinct on (id) id, n, at from e
         where type in ('IncidentAcknowledged', 'InvestigationStarted') order by id, n
    ), incident as (
        select first.id, coalesce((select triggered from fixes f where f.id = first.id and triggered is not null
                                    order by n desc limit 1), first.at) as triggered,
               coalesce((select acknowledged from fixes f where f.id = first.id and f.n > answer.n
                            and acknowledged is not null order by f.n desc limit 1), answer.at) as acknowledged,
               (select at from closing c where c.id = first.id order by n limit 1) as first_resolved,
               (select at from closing c where c.id = first.id and not exists (
                   select from e r where r.id = c.id and r.n > c.n and r.type = 'IncidentReopened')) as resolved,
               (select count(*) from e r where r.id = first.id and type = 'IncidentReopened') as reopenings,
               exists (select from e m where m.id = first.id and type = 'IncidentMerged') as merged,
               (select p ->> 'severity' from e s where s.id = first.id and p ? 'severity' order by n desc limit 1)
                   as severity,
               (select (p ->> 'response_target_s')::int from e s where s.id = first.id and p ? 'response_target_s'
                   and type <> 'ResponseTargetMissed' order by n desc limit 1) as target,
               (select p ->> 'category' from e s where s.id = first.id
                   and type in ('IncidentTriggered', 'CategoryChanged') order by n desc limit 1) as category,
               (select p ->> 'team' from e s where s.id = first.id
                   and type in ('IncidentTriggered', 'TeamAssigned') order by n desc limit 1) as team,
               (select p ->> 'person_id' from e s where s.id = first.id and type = 'ResponderAssigned'
                 order by n desc limit 1) as responder,
               coalesce((select labels from fixes f where f.id = first.id and labels is not null
                          order by n desc limit 1), first.p -> 'labels') ->> 'region' as region,
               (select coalesce(sum((p ->> 'count')::int), 0) from e a where a.id = first.id
                   and type = 'AlertReceived')
               + (select coalesce(sum((p ->> 'alert_count')::int), 0) from e a where a.id = first.id
                   and type = 'IncidentAbsorbed') as alerts
          from first left join answer using (id)
    ), counted as (
        select *, extract(epoch from acknowledged - triggered) as tta,
               extract(epoch from resolved - triggered) as ttr,
               extract(epoch from first_resolved - triggered) as ttr_first,
               extract(epoch from %(now)s - triggered) as age
          from incident where not merged
    )"""

DURATION = """
    'n', count({0}), 'mean_s', avg({0})::float8, 'p50_s', percentile_cont(0.5) within group (order by {0}),
    'p90_s', percentile_cont(0.9) within group (order by {0}),
    'p95_s', percentile_cont(0.95) within group (order by {0}), 'negative', count(*) filter (where {0} < 0)"""

SUMMARY = f"""
    {INCIDENTS}
    select {{key}} as key, count(*) as incidents, count(*) filter (where resolved is null) as open,
           count(acknowledged) as acknowledged, count(*) - count(acknowledged) as unacknowledged,
           count(resolved) as resolved, count(*) filter (where reopenings > 0) as reopened_incidents,
           coalesce(sum(reopenings), 0)::int as reopenings,
           {", ".join(f"json_build_object({DURATION.format(name)}) as {name}" for name in figures.DURATIONS)},
           json_build_object('met', count(*) filter (where tta <= target),
               'breached', count(*) filter (where coalesce(tta, ttr, age) > target)) as response_target
      from counted {{grouped}} order by 1 nulls last"""

KEYS = {
    "severity": "severity", "category": "category", "team": "team", "responder": "responder",
    "label:region": "region", "none": "null::text",
}  # fmt: skip


def by_sql(world: Any, organization: UUID, upto: int, group_by: str) -> list[dict[str, Any]]:
    grouped = "" if group_by == "none" else "group by 1"
    with world.connection.cursor(row_factory=dict_row) as cursor:
        query = SUMMARY.format(key=KEYS[group_by], grouped=grouped)
        cursor.execute(query, {"organization": organization, "upto": upto, "now": NOW})
        return list(cursor.fetchall())


def ask(world: Any, question: Callable[[AsyncConnection[Any], Schema], Awaitable[T]], as_of: Any = None) -> T:
    """The answer now, or as of a time, on a connection behind the wall."""

    async def answered() -> T:
        async with await AsyncConnection.connect(world.dsn, autocommit=True) as connection:
            await connection.execute("set role fandesk_reader")
            organization, at = as_of or (None, None)
            if organization is None:
                await connection.execute("reset role")
                return await question(connection, "read")
            await connection.execute("select set_config('fandesk.organization', %s, false)", (str(organization),))
            decode = lambda rows: [recorded(row) for row in rows]  # noqa: E731
            async with then.standing(connection, organization, at, projected=world.ledger.head(), decode=decode):
                return await question(connection, "pg_temp")

    return asyncio.run(answered())


def everything(world: Any, organization: UUID, as_of: datetime | None = None) -> dict[str, Any]:
    """All figures there are."""
    cohort = Cohort(organization_id=organization, zone=BERLIN)

    async def question(connection: AsyncConnection[Any], schema: Schema) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for group_by in KEYS:
            groups, overall = await figures.summary(connection, cohort, group_by=group_by, now=NOW, schema=schema)
            found[group_by] = [overall] if group_by == "none" else groups
        found["load"] = await load(connection, cohort, {}, now=NOW, schema=schema)
        found["noise"] = await noise.noise(connection, cohort, schema=schema)
        found["hours"] = await noise.hours(connection, cohort, schema=schema)
        return found

    return ask(world, question, None if as_of is None else (organization, as_of))


Stretches = dict[tuple[UUID, UUID], list[tuple[datetime, datetime]]]


def engaged_by_hand(history: Histories) -> Stretches:
    """By incident and person: per event that engages somebody the event that ends it, each with its corrected
    time."""
    stretches: Stretches = defaultdict(list)
    for id in history.incidents:
        events = history.of(id)
        if any(isinstance(event, e.IncidentMerged) for event in events):
            continue
        first_answer = next((n for n, x in enumerate(events) if isinstance(x, ANSWERS)), None)
        for n, event in enumerate(events):
            lead = lead_before(events, n)
            is_open = not closed_before(events, n)
            person = {
                e.ResponderAssigned: lambda: getattr(event, "person_id", None) if is_open else None,  # noqa: B023
                e.IncidentReopened: lambda: lead or event.actor.id,  # noqa: B023
            }.get(type(event), lambda: event.actor.id if isinstance(event, ANSWERS) else None)()  # noqa: B023
            if person is not None:
                begin = event.occurred_at if n != first_answer else corrected(events, n, "acknowledged_at")
                stretches[id, person].append((begin, ends(events, n, person)))
    return stretches


ANSWERS = (e.IncidentAcknowledged, e.InvestigationStarted)


def lead_before(events: Sequence[Any], n: int) -> UUID | None:
    return next((x.person_id for x in reversed(events[:n]) if isinstance(x, e.ResponderAssigned)), None)


def closed_before(events: Sequence[Any], n: int) -> bool:
    turns = [x for x in events[:n] if isinstance(x, e.IncidentResolved | e.IncidentReopened)]
    return bool(turns) and isinstance(turns[-1], e.IncidentResolved)


def ends(events: Sequence[Any], n: int, person: UUID) -> datetime:
    for m in range(n + 1, len(events)):
        event = events[m]
        if isinstance(event, e.IncidentResolved):
            return corrected(events, m, "resolved_at")
        handed_over = isinstance(event, e.ResponderAssigned) and event.person_id != person
        if handed_over and lead_before(events, m) == person:
            return event.occurred_at
    return NOW


def corrected(events: Sequence[Any], n: int, field: str) -> datetime:
    """When that event happened, by the last correction before it was undone."""
    at: datetime = events[n].occurred_at
    for event in events[n + 1 :]:
        if field == "resolved_at" and isinstance(event, e.IncidentReopened):
            break
        at = getattr(event, field, None) or at
    return at


def covered(spans: Sequence[tuple[datetime, datetime]]) -> float:
    """Seconds in at least one of them: between any two neighbouring moments it is so, or it is not."""
    spans = [span for span in spans if span[0] < span[1]]
    moments = sorted({at for span in spans for at in span})
    return sum(
        (right - left).total_seconds()
        for left, right in pairwise(moments)
        if any(begin <= left and right <= end for begin, end in spans)
    )


def alerts_by_hand(history: Histories) -> dict[UUID, tuple[int, int]]:
    """Alerts sent, and those out of hours, by recipient."""
    found: dict[UUID, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for id in history.incidents:
        events = history.of(id)
        for event in events:
            if isinstance(event, e.AlertSent) and not any(isinstance(x, e.IncidentMerged) for x in events):
                clock = event.occurred_at.astimezone(ZoneInfo(BERLIN))
                out = clock.weekday() >= 5 or not 9 <= clock.hour < 18
                sent, out_of_hours = found[event.recipient_id]
                found[event.recipient_id] = (sent + 1, out_of_hours + out)
    return found


def assert_as_by_hand(world: Any, history: Histories, live: dict[str, Any]) -> None:
    """Load, noise and hours are what the raw events say."""
    organization, head = history.organization, world.ledger.head()
    rows = {row["responder"]: row for row in live["load"]}
    stretches = engaged_by_hand(history)
    kept: Stretches = defaultdict(list)
    for id, who, begin, end in world.rows(
        "select incident_id, u.* from read.facts, unnest(engaged, engaged_from, engaged_until) u"
        " where organization_id = %s and merged_into is null", organization,
    ):  # fmt: skip
        kept[id, who].append((begin, end or NOW))
    assert {of: covered(spans) for of, spans in kept.items()} == {
        of: covered(spans) for of, spans in stretches.items()
    }
    together: dict[UUID, list[tuple[datetime, datetime]]] = defaultdict(list)
    for (_, who), spans in stretches.items():
        together[who] += spans
    engaged = {who: covered(spans) for who, spans in together.items()}
    assert {who for who, row in rows.items() if row["engaged"]} == engaged.keys()
    assert all(abs(rows[who]["engaged_s"] - seconds) < 1e-5 for who, seconds in engaged.items())
    alerts = {who: (row["alerts"], row["out_of_hours_alerts"]) for who, row in rows.items() if row["alerts"]}
    assert alerts == alerts_by_hand(history)
    ((received, incidents, hours),) = world.rows(
        INCIDENTS.replace("%(organization)s", "%s", 1).replace("%(upto)s", "%s").replace("%(now)s", "%s")
        + " select sum(alerts)::int, count(*), (select array_agg(distinct"
        " (extract(isodow from triggered at time zone 'Europe/Berlin')::int - 1) * 24"
        " + extract(hour from triggered at time zone 'Europe/Berlin')::int) from counted) from counted",
        organization, head, NOW,
    )  # fmt: skip
    overall = live["noise"][0]
    assert (overall["alerts"], overall["incidents"]) == (received or 0, incidents)
    assert {n for n, count in enumerate(live["hours"]) if count} == set(hours or ())
    assert sum(live["hours"]) == incidents


@settings(
    max_examples=10,
    deadline=None,
    phases=(Phase.reuse, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(wanted=steps(8, at_most=80))
def test_all_figures_are_what_plain_sql_says_now_and_as_of_then(shared_world: Any, wanted: list[Step]) -> None:
    history = Histories([uuid4() for _ in range(8)], uuid4()).play(wanted)
    world, organization, middle = shared_world, history.organization, len(history.ledger) // 2
    told = []
    for part in (history.ledger[:middle], history.ledger[middle:]):
        world.record(part)
        world.catch_up()
        head = world.ledger.head()
        live = everything(world, organization)
        for group_by in KEYS:
            assert same(live[group_by], by_sql(world, organization, head, group_by)), group_by
        ((at,),) = world.rows("select recorded_at from ledger.events where notification_id = %s", head)
        told.append((at, live))

    assert_as_by_hand(world, history, live)

    # what was said then is what is said of then, the same to the last row
    for at, live in told:
        assert same(everything(world, organization, at), live)
    before = everything(world, organization, told[0][0] - timedelta(days=1000))
    assert before["severity"] == [] and before["none"][0]["incidents"] == 0 and before["load"] == []
    assert same(everything(world, organization, datetime.now(UTC)), told[-1][1])


def test_a_long_history_by_hand_and_a_rebuild_changes_no_figure(world: Any) -> None:
    dice = random.Random(5)
    script = [
        Step(
            dice.randrange(6),
            dice.choice(WHAT),
            dice.randrange(5000),
            dice.choice((None, 300, -40)),
            dice.randrange(12),
        )
        for _ in range(250)
    ]
    history = Histories([uuid4() for _ in range(6)], uuid4()).play(script)
    world.record(history.ledger)
    world.catch_up()
    before = everything(world, history.organization)
    assert before["none"][0]["reopenings"] > 0 and before["load"]
    assert_as_by_hand(world, history, before)
    rebuild(world.dsn, world.ledger.read, world.models)
    assert same(everything(world, history.organization), before)
    assert all(found[1:] == (0, 0) for found in compare(world.dsn, world.ledger.read, world.models))
    world.connection.execute("update read.facts set engaged_from = array[]::timestamptz[] where engaged <> '{}'")
    assert any(found[1:] != (0, 0) for found in compare(world.dsn, world.ledger.read, world.models))


WHAT = (
    "acknowledge", "responder", "told", "resolve", "correct resolve", "reopen", "alerts", "severity", "team",
    "investigate", "resolve", "correct trigger", "correct acknowledgement",
)  # fmt: skip


def test_incidents_that_the_live_rows_lack_are_folded_all_the_same(world: Any) -> None:
    """The projector may be behind the ledger when somebody asks after a moment ago."""
    history = Histories([uuid4() for _ in range(3)], uuid4())
    history.play([Step(n, "acknowledge", 10, None, n) for n in range(3)])
    world.record(history.ledger[:-1])
    world.catch_up()
    behind = world.ledger.head()
    world.record(history.ledger[-1:])

    async def question() -> int:
        async with await psycopg.AsyncConnection.connect(world.dsn, autocommit=True) as connection:
            decode = lambda rows: [recorded(row) for row in rows]  # noqa: E731
            at = datetime.now(UTC)
            async with then.standing(connection, history.organization, at, projected=behind, decode=decode):
                cohort = Cohort(organization_id=history.organization)
                found = await figures.summary(connection, cohort, group_by="none", now=NOW, schema="pg_temp")
                return int(found.overall["acknowledged"])

    assert asyncio.run(question()) == 3
