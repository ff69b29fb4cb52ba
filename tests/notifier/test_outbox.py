"""The deliveries' rows, step by step: what leaves first, what a late status changes, what is tried again."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.rows import dict_row

from workers.notifier import outbox
from workers.notifier.outbox import Failure

BUSY = Failure("busy", 130429, retry_s=0.0, hurry=False)
NEVER = Failure("undeliverable", 131026)


class Rows:
    """Deliveries of one alert to one recipient in an organisation of their own."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.organization, self.recipient, self.incident = uuid4(), uuid4(), uuid4()
        self.ask("insert into access.organizations (id, name) values (%s, 'O')", self.organization)
        number = f"+49151{self.recipient.int % 10**8:08}"
        self.ask(
            "insert into notify.recipients (id, organization_id, name, whatsapp, opted_in_at)"
            " values (%s, %s, 'R', %s, now())", self.recipient, self.organization, number,
        )  # fmt: skip

    def ask(self, query: str, *values: Any) -> list[dict[str, Any]]:
        with psycopg.connect(self.dsn, autocommit=True, row_factory=dict_row) as connection:
            cursor = connection.execute(query.encode(), values)
            return cursor.fetchall() if cursor.description else []

    def add(
        self, state: str, attempt: int = 1, severity: str | None = "critical", cause: int = 1, **more: Any
    ) -> UUID:
        id = uuid4()
        columns = {
            "id": id, "kind": "alert", "organization_id": self.organization, "recipient_id": self.recipient,
            "channel": "whatsapp", "incident_id": self.incident,
            "cause_position": cause + self.incident.int % 10**9,
            "cause_version": 1, "attempt": attempt, "severity": severity, "content": "{}", "state": state, **more,
        }  # fmt: skip
        names, marks = ", ".join(columns), ", ".join(["%s"] * len(columns))
        self.ask(f"insert into notify.deliveries ({names}) values ({marks})", *columns.values())
        return id

    def do(self, step: Callable[[Any], Awaitable[Any]]) -> Any:
        async def run() -> Any:
            async with await psycopg.AsyncConnection.connect(self.dsn, autocommit=True) as connection:
                return await step(connection)

        return asyncio.run(run())

    def status(self, id: UUID, state: str) -> bool:
        return bool(self.do(lambda c: outbox.status(c, id, state, None, None)))

    def failed(self, id: UUID, failure: Failure) -> bool:
        return bool(self.do(lambda c: outbox.failed(c, id, failure)))

    def states(self) -> list[str]:
        query = "select state from notify.deliveries where incident_id = %s order by attempt, queued_at"
        return [row["state"] for row in self.ask(query, self.incident)]

    def untold(self) -> list[str]:
        query = (
            "select state from notify.deliveries where incident_id = %s and told is distinct from state"
            " and state in ('sent', 'delivered', 'read', 'failed') order by attempt"
        )
        return [row["state"] for row in self.ask(query, self.incident)]


@pytest.fixture
def rows(database: Any) -> Rows:
    return Rows(database.dsn)


@pytest.mark.parametrize("state", ["sent", "delivered", "read"])
def test_a_late_status_settles_what_was_unknown_and_cancels_its_resend(rows: Rows, state: str) -> None:
    first = rows.add("unknown", superseded=True)
    rows.add("queued", 2)
    assert rows.status(first, state)
    assert rows.states() == [state, "cancelled"]
    assert not rows.status(first, state)


def test_what_had_left_and_then_failed_is_tried_again(rows: Rows) -> None:
    first = rows.add("unknown", superseded=True)
    rows.add("queued", 2)
    rows.status(first, "sent")
    assert rows.failed(first, BUSY)
    assert rows.states() == ["failed", "cancelled", "queued"]
    assert rows.untold() == []


def test_what_had_left_and_then_failed_for_good_is_told(rows: Rows) -> None:
    first = rows.add("unknown", superseded=True)
    rows.add("queued", 2)
    rows.status(first, "sent")
    assert rows.failed(first, NEVER)
    assert (rows.states(), rows.untold()) == (["failed", "cancelled"], ["failed"])


def test_an_attempt_that_fails_late_beside_one_that_arrived_is_not_tried_again(rows: Rows) -> None:
    first = rows.add("unknown", superseded=True)
    rows.add("delivered", 2, told="delivered")
    assert rows.failed(first, BUSY)
    assert (rows.states(), rows.untold()) == (["failed", "delivered"], [])


def test_a_status_never_leads_back(rows: Rows) -> None:
    id = rows.add("read")
    assert not any(rows.status(id, state) for state in ("sent", "delivered", "read"))
    assert not rows.failed(id, NEVER)
    assert rows.states() == ["read"]


def test_critical_alerts_leave_first_then_replies_then_high(rows: Rows) -> None:
    high = rows.add("queued", severity="high", cause=1)
    reply = rows.add("queued", kind="reply", cause_position=None, severity=None, incident_id=None)
    critical = rows.add("queued", cause=2)
    due = rows.do(lambda c: outbox.due(c, per_person=50, limit=5000))
    mine = [each for each in due if each.id in (high, reply, critical)]
    assert [each.id for each in mine] == [critical, reply, high]
    assert [each.urgent for each in mine] == [True, True, False]


def test_of_a_person_removed_meanwhile_nothing_leaves(rows: Rows) -> None:
    ids = [rows.add("queued"), rows.add("queued", kind="reply", cause_position=None, incident_id=None)]
    rows.ask("update notify.recipients set removed_at = now(), whatsapp = null where id = %s", rows.recipient)
    assert rows.do(lambda c: outbox.claim(c, ids)) == []


def test_a_code_leaves_before_highs_and_is_not_sent_again_as_unknown(rows: Rows) -> None:
    high = rows.add("queued", severity="high")
    code = rows.add(
        "queued", kind="code", severity=None, incident_id=None, cause_position=None, cause_version=None
    )
    due = [each.id for each in rows.do(lambda c: outbox.due(c, per_person=50, limit=5000))]
    assert due.index(code) < due.index(high)
    rows.ask("update notify.recipients set removed_at = now(), opted_in_at = null where id = %s", rows.recipient)
    assert [each.id for each in rows.do(lambda c: outbox.claim(c, [code, high]))] == [code]
    rows.ask(
        "update notify.deliveries set state = 'unknown', unknown_at = now() - interval '1 hour' where id = %s",
        code,
    )
    rows.do(outbox.resend_unknown)
    found = rows.ask("select id, state from notify.deliveries where kind = 'code'")
    assert [row["state"] for row in found if row["id"] == code] == ["unknown"] and len(found) == 1


def test_the_other_channel_is_brought_forward_where_rates_keep_a_critical_alert(rows: Rows) -> None:
    kept = rows.add("queued")
    rows.add("queued", channel="mailto", due_at="2100-01-01T00:00:00Z")
    rows.do(lambda c: outbox.hurry_others(c, [kept]))
    due = rows.do(lambda c: outbox.due(c, per_person=50, limit=5000))
    assert {each.channel for each in due if each.id in _ids(rows)} == {"whatsapp", "mailto"}


def _ids(rows: Rows) -> set[UUID]:
    return {
        row["id"] for row in rows.ask("select id from notify.deliveries where incident_id = %s", rows.incident)
    }
