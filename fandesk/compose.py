"""The composition root: the one place where parts are made and given to each other."""

import gc
import logging
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from uuid import UUID

import psycopg
import uvicorn
from fastapi import FastAPI
from psycopg_pool import AsyncConnectionPool

from api.app import create_app
from api.directory import Directory
from api.live import Tail
from api.services import Services
from commands.event_store import CHANNEL, LedgerDatastore, LedgerRecorder
from commands.executor import Executor
from commands.intake import IntakeFolder
from domain.words import RESPONSE_TARGETS_S, Severity
from projections.facts import Facts
from projections.incidents import Incidents
from projections.model import ReadModel
from projections.rebuild import rebuild
from projections.runner import NeedsRebuild, Runner, ensure_tables
from projections.timeline import Timeline
from workers.projector import project, until_told_to_stop
from workers.stream.address import Kafka
from workers.stream.log import LogSource
from workers.stream.source import Source

log = logging.getLogger("fandesk")

VERSION = version("fandesk")


@dataclass(frozen=True)
class Config:
    """What the roles need to know.

    dsn: the program's own rights; owner_dsn: those that may change the schema. kafka: None where the ledger is
    read directly.
    """

    dsn: str
    owner_dsn: str
    app_role: str | None
    public_url: str
    host: str = "127.0.0.1"
    port: int = 8080
    kafka: Kafka | None = None


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


def response_targets(organization_id: UUID) -> Mapping[Severity, int]:
    """An organisation's response targets, in seconds."""
    return RESPONSE_TARGETS_S


def services(config: Config) -> Callable[[], AsyncIterator[Services]]:
    """What the HTTP edge works with."""

    async def opened() -> AsyncIterator[Services]:
        pool = AsyncConnectionPool(
            config.dsn, min_size=1, max_size=8, timeout=5, open=False, kwargs={"autocommit": True}, max_waiting=500
        )
        await pool.open()
        store = open_store(config.dsn)
        executor = Executor(store, response_targets)
        folder = IntakeFolder(store, executor)
        tail = Tail(config.dsn, pool)
        await tail.start()
        folder.start()
        made = Services(pool, store, executor, Directory(pool), tail, config.public_url)
        try:
            yield made
        finally:
            folder.stop()
            await tail.stop()
            executor.close()
            store.close()
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


def prepare_read_models(config: Config) -> None:
    """Make the tables of new read models, and rebuild those that are defined otherwise by now."""
    models = read_models()
    with psycopg.connect(config.dsn, autocommit=True) as connection:
        try:
            ensure_tables(connection, models)
        except NeedsRebuild as outdated:
            log.info("rebuilding %s: their definition has changed", outdated)
            store = open_store(config.dsn)
            rebuild(config.dsn, store.read, outdated.models)
            store.close()


def catch_up(config: Config, store: LedgerRecorder) -> None:
    """Bring the read models up to the ledger's end, whether a projector runs or not."""
    runner = Runner(config.dsn, store.read, read_models())
    with psycopg.connect(config.dsn, autocommit=True) as connection:
        while runner.step(connection):
            pass
