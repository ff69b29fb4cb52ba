"""The composition root: the one place where parts are made and given to each other."""

import gc
import logging
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path

import httpx
import psycopg
import uvicorn
import uvloop
from fastapi import FastAPI
from psycopg_pool import AsyncConnectionPool

from api.app import create_app
from api.directory import Directory
from api.live import Tail
from api.oidc_provider import Provider
from api.pools import LastingPool
from api.reading_pool import ReadingPool
from api.services import Services, WhatsAppWebhook
from commands.event_store import CHANNEL, LedgerDatastore, LedgerRecorder
from commands.executor import Executor
from commands.intake import IntakeFolder
from commands.vault import Vault, key_in
from projections.facts import Facts
from projections.incidents import Incidents
from projections.model import ReadModel
from projections.rebuild import rebuild
from projections.runner import NeedsRebuild, Read, Runner, ensure_tables
from projections.timeline import Timeline
from workers.escalator.escalator import Escalator
from workers.escalator.firing import Firing
from workers.escalator.timers import Timers
from workers.notifier.cloud_api import CloudApi, CloudApiSettings
from workers.notifier.notifier import Notifier
from workers.notifier.plan import Plan
from workers.projector import project, until_told_to_stop
from workers.stream.address import Kafka
from workers.stream.consumer import Consumer
from workers.stream.log import LogSource
from workers.stream.organizations import patient
from workers.stream.source import Source

log = logging.getLogger("fandesk")

VERSION = version("fandesk")


@dataclass(frozen=True)
class Oidc:
    """An OpenID Connect provider, and what it knows this installation by."""

    issuer: str
    client_id: str
    client_secret: str = field(repr=False)


@dataclass(frozen=True)
class Config:
    """What the roles need to know. dsn: the program's own rights; owner_dsn: those that may change the schema.

    trusted_proxies: addresses and networks with commas between, whose word on who asks is taken.
    secret_key: as it was set; else secret_file has it, or will when it is first needed (see `vault`). kafka: None
    where the ledger is read directly. whatsapp: None where it is not set up.
    """

    dsn: str
    owner_dsn: str
    app_role: str | None
    public_url: str
    host: str = "127.0.0.1"
    port: int = 8080
    trusted_proxies: str = ""
    secret_key: str | None = field(default=None, repr=False)
    secret_file: Path | None = None
    webhook: WhatsAppWebhook = field(default_factory=WhatsAppWebhook)
    whatsapp: CloudApiSettings | None = None
    kafka: Kafka | None = None
    oidc: Oidc | None = None


def tune() -> None:
    """Once per process. Threads hand the interpreter over sooner, as commands wait for the database in one
    thread while others prepare theirs; and the collector leaves alone what was made before the work began, and
    looks less often for cycles, which a batch of events does not have (decoding took seven times as long)."""
    sys.setswitchinterval(0.0005)
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def read_models() -> list[ReadModel]:
    """All read models."""
    return [Incidents(), Timeline(), Facts()]


def open_store(dsn: str) -> LedgerRecorder:
    """The ledger."""
    return LedgerRecorder(LedgerDatastore(dsn))


@contextmanager
def reading(dsn: str) -> Iterator[Read]:
    """The ledger, to be read in another process."""
    tune()
    store = open_store(dsn)
    try:
        yield store.read
    finally:
        store.close()


def vault(config: Config) -> Vault | None:
    """Where secrets are kept that have to be read again; None where there is no key and no place for one."""
    key, file = config.secret_key, config.secret_file
    if key is not None:
        return Vault(lambda: key)
    return Vault(lambda: key_in(file)) if file is not None else None


def services(config: Config) -> Callable[[], AsyncIterator[Services]]:
    """What the HTTP edge works with."""

    async def opened() -> AsyncIterator[Services]:
        pool = LastingPool(config.dsn)
        readers = ReadingPool(config.dsn)
        await pool.open()
        await readers.open()
        store = open_store(config.dsn)
        executor = Executor(store)
        folder = IntakeFolder(store, executor)
        tail = Tail(config.dsn, pool, readers)
        await tail.start()
        folder.start()
        set_up = config.oidc
        oidc = Provider(set_up.issuer, set_up.client_id, set_up.client_secret) if set_up is not None else None
        made = Services(
            pool,
            readers,
            store,
            executor,
            Directory(pool),
            tail,
            config.public_url,
            vault(config),
            oidc,
            config.webhook,
        )
        try:
            yield made
        finally:
            folder.stop()
            await tail.stop()
            executor.close()
            store.close()
            await readers.close()
            await pool.close()

    return opened


def api(config: Config) -> FastAPI:
    """The HTTP application."""
    return create_app(services(config), VERSION)


class _Server(uvicorn.Server):
    """Ends the live streams before it waits for connections to finish: they would never finish by themselves."""

    async def shutdown(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        found: Services | None = getattr(getattr(self.config.app, "state", None), "services", None)
        if found is not None:
            found.tail.close_streams()
        await super().shutdown()


def run_api(config: Config) -> None:
    """The role `api`: serve until SIGTERM."""
    tune()
    application = api(config)
    uvicorn_config = uvicorn.Config(
        application,
        host=config.host,
        port=config.port,
        proxy_headers=bool(config.trusted_proxies),
        forwarded_allow_ips=config.trusted_proxies,  # not null: that would be 127.0.0.1
        log_config=None,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=3,
        server_header=False,
        lifespan="on",
    )
    _Server(uvicorn_config).run()


def run_projector(config: Config) -> None:
    """The role `project`: keep the read models up to date until SIGTERM."""
    tune()
    store = open_store(config.dsn)
    project(Runner(config.dsn, store.read, read_models()), CHANNEL)
    store.close()


class NoKafka(Exception):
    """There is nothing to publish to: FANDESK_KAFKA_BOOTSTRAP names no Kafka."""


def source(config: Config) -> Source:
    """Where consumers get the ledger's entries from."""
    if config.kafka is None:
        return LogSource()
    from workers.stream.kafka import KafkaSource  # loading the library takes a while, and most need it not

    return KafkaSource(config.kafka)


def run_relay(config: Config) -> None:
    """The role `relay`: publish the ledger to Kafka until SIGTERM. Raises NoKafka."""
    if config.kafka is None:
        raise NoKafka("The relay publishes to Kafka: set FANDESK_KAFKA_BOOTSTRAP to its address.")
    from workers.stream.relay import Relay

    tune()
    Relay(config.dsn, config.kafka).run(until_told_to_stop())


def run_notify(config: Config) -> None:
    """The role `notify`: alert people, and take what they answer, until SIGTERM."""
    tune()
    if config.whatsapp is None:
        log.warning(
            "WhatsApp is not set up: alerts are recorded as not_configured. To have them sent, set"
            " FANDESK_WHATSAPP_PHONE_NUMBER_ID and FANDESK_WHATSAPP_TOKEN."
        )
    elif config.webhook.app_secret is None:
        log.warning("FANDESK_WHATSAPP_APP_SECRET is not set: what becomes of messages, and taps, cannot be heard.")
    uvloop.run(_notify(config))


async def _notify(config: Config) -> None:
    store = open_store(config.dsn)
    executor = Executor(store)
    pool = AsyncConnectionPool(
        config.dsn, min_size=1, max_size=6, timeout=5, open=False, kwargs={"autocommit": True}
    )
    await pool.open()
    async with httpx.AsyncClient(
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=20)
    ) as client:
        cloud = CloudApi(config.whatsapp, client) if config.whatsapp is not None else None

        def follower(plan: Plan, planned: Callable[[], None]) -> Consumer:
            return Consumer(config.dsn, "notify", source(config), plan.react, planned)

        notifier = Notifier(config.dsn, pool, executor, cloud, vault(config), config.public_url, follower)
        try:
            await notifier.run()
        finally:
            await pool.close()
    executor.close()
    store.close()


def run_escalate(config: Config) -> None:
    """The role `escalate`: alert further for as long as nobody acknowledges, until SIGTERM."""
    tune()
    store = open_store(config.dsn)
    executor = Executor(store)
    timers = Timers(patient(executor.organizations.now))

    def follower(set_: Callable[[], None]) -> Consumer:
        return Consumer(config.dsn, "escalate", source(config), timers.react, set_)

    Escalator(config.dsn, Firing(store, executor), follower).run(until_told_to_stop())
    executor.close()
    store.close()


def prepare_read_models(config: Config) -> None:
    """Make the tables of new read models, and rebuild those that are defined otherwise by now."""
    models = read_models()
    with psycopg.connect(config.dsn, autocommit=True) as connection:
        try:
            ensure_tables(connection, models)
        except NeedsRebuild as outdated:
            log.info("rebuilding %s: their definition has changed", outdated)
            store = open_store(config.dsn)
            rebuild(config.dsn, store.read, outdated.models, reading=partial(reading, config.dsn))
            store.close()


def forget_followers(config: Config) -> None:
    """Those that do not run here any more, so that /readyz does not miss them."""
    if config.kafka is None:
        with psycopg.connect(config.dsn, autocommit=True) as connection:
            connection.execute("delete from stream.followers where name = 'relay'")


def catch_up(config: Config, store: LedgerRecorder) -> None:
    """Bring the read models up to the ledger's end, whether a projector runs or not."""
    runner = Runner(config.dsn, store.read, read_models())
    with psycopg.connect(config.dsn, autocommit=True) as connection:
        while runner.step(connection):
            pass
