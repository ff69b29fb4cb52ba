"""`fandesk up --demo`: a sample organisation to look at, and Meta's side of WhatsApp to play with."""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit
from uuid import UUID

import psycopg

from api.services import WhatsAppWebhook
from commands.executor import Executor
from commands.ids import new_id
from commands.incident import Acknowledge, IncidentCommand, Investigate, PostUpdate, Resolve, Trigger
from domain.decisions import Request
from domain.events import Actor
from domain.words import Category, Severity
from fandesk import compose
from fandesk.place import ledger
from workers.notifier.cloud_api import CloudApiSettings
from workers.sandbox.sandbox import Settings

PHONE = "+15550100123"
"""The sandbox's phone; numbers with 555-01 are nobody's."""

PORTS_APART = 10
"""The sandbox listens so many ports above the product: 8090 beside 8080."""

Past = tuple[int, str, Severity, Category, int | None, int | None, str]

HISTORY: tuple[Past, ...] = (
    (36_000, "Login page answers with 502", "critical", "outage", 3, 41, "Rolled the release back"),
    (30_500, "Search is slow in Europe", "medium", "performance", 95, 610, "Rebuilt the index"),
    (26_200, "Certificates of the mail gateway expire tomorrow", "high", "security", 22, 130, "Renewed them"),
    (21_700, "Nightly export has no rows", "medium", "data", 180, 900, "Fixed the time zone of the query"),
    (15_800, "Disk of db-2 is 95 % full", "high", "infrastructure", 48, 260, "Moved old partitions away"),
    (9_400, "Prices are shown without VAT", "low", "bug", 700, 2_900, "Released a correction"),
    (4_300, "Payments of one bank are declined", "critical", "outage", 7, 88, "The bank has mended its gateway"),
    (1_500, "Memory of the render workers grows", "medium", "performance", 60, None, ""),
    (300, "Password reset mails arrive late", "low", "bug", None, None, ""),
)
"""Minutes ago, title, severity, category, minutes until acknowledged, until resolved, and what was done."""


@dataclass(frozen=True)
class Demo:
    """The product's configuration beside the sandbox, and the sandbox's."""

    config: compose.Config
    sandbox: Settings
    port: int


def demo(config: compose.Config) -> Demo:
    """The same configuration, with WhatsApp as the sandbox plays it. The secrets are new at each start."""
    app_secret, verify_token, token = (secrets.token_hex(16) for _ in range(3))
    port = config.port + PORTS_APART
    where = urlsplit(config.public_url)
    local = f"http://127.0.0.1:{config.port}"
    sandbox = Settings(
        callback_url=f"{local}/webhooks/whatsapp",
        app_secret=app_secret,
        verify_token=verify_token,
        token=token,
        link_base=f"{where.scheme}://{where.netloc}/",
    )
    number_id = "100000000000001"
    cloud = CloudApiSettings(f"http://127.0.0.1:{port}", number_id, token)
    webhook = WhatsAppWebhook(app_secret, verify_token, number_id)
    return Demo(replace(config, whatsapp=cloud, webhook=webhook), sandbox, port)


def fill(config: compose.Config) -> None:
    """A recipient and some history for an organisation that has no incidents yet."""
    with psycopg.connect(config.dsn) as connection:
        row = connection.execute(
            "select o.id, p.id from access.organizations o join access.people p on p.organization_id = o.id"
            " where not exists (select from ledger.events where topic like 'IncidentTriggered/%')"
            " order by o.created_at, p.created_at limit 1"
        ).fetchone()
        if row is None:
            return
        organization_id, person_id = row
        connection.execute(
            "insert into notify.recipients (id, organization_id, name, whatsapp, person_id, opted_in_at)"
            " values (%s, %s, 'The phone in the sandbox', %s, %s, now()) on conflict do nothing",
            (new_id(), organization_id, PHONE, person_id),
        )
    with ledger(config) as store:
        executor = Executor(store)
        for past in HISTORY:
            for command in _commands(organization_id, person_id, past):
                executor.execute(command)
        executor.close()


def _commands(organization_id: UUID, person_id: UUID, past: Past) -> Iterator[IncidentCommand]:
    ago, title, severity, category, acknowledged, resolved, done = past
    id, began = new_id(), datetime.now(UTC) - timedelta(minutes=ago)

    def at(minutes: float, actor: Actor | None = None) -> Request:
        return Request(
            organization_id=organization_id,
            actor=actor or Actor(kind="person", id=person_id),
            asked_at=datetime.now(UTC),
            occurred_at=began + timedelta(minutes=minutes),
            correlation_id=id,
            causation_id=id,
        )

    system = Actor(kind="system")  # taken over from elsewhere: it wakes nobody
    yield Trigger(
        request=at(0, system), incident_id=id, title=title, severity=severity, category=category, source="demo"
    )
    if acknowledged is not None:
        yield Acknowledge(request=at(acknowledged), incident_id=id)
        yield Investigate(request=at(acknowledged + 1), incident_id=id)
        yield PostUpdate(request=at(acknowledged + 5), incident_id=id, body="The cause is being narrowed down.")
    if resolved is not None:
        yield Resolve(request=at(resolved), incident_id=id, note=done)
