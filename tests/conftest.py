"""What tests of several folders need: a real PostgreSQL, a fresh database in it, the whole product running."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import uuid4

import httpx
import hypothesis
import psycopg
import pytest
from kafkanode import Kafka, or_skip
from running import Product, free_port

from fandesk.embedded import EmbeddedPostgres
from fandesk.migrate import migrate

# A slow machine is no defect of the product.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """The embedded PostgreSQL, running."""
    server = EmbeddedPostgres(tmp_path_factory.mktemp("postgres"))
    server.start()
    yield server
    server.stop()


@dataclass(frozen=True)
class Database:
    """A migrated database: dsn with the program's own rights, owner_dsn with the owner's."""

    dsn: str
    owner_dsn: str


@contextmanager
def fresh_database(server: EmbeddedPostgres) -> Iterator[Database]:
    """A database of its own, dropped afterwards."""
    name = f"test_{uuid4().hex}"
    with psycopg.connect(server.dsn("postgres", "postgres"), autocommit=True) as connection:
        connection.execute(f"create database {name} template template0")
        database = Database(server.dsn("fandesk", name), server.dsn("postgres", name))
        migrate(database.owner_dsn, app_role="fandesk")
        try:
            yield database
        finally:
            connection.execute(f"drop database {name} with (force)")


@pytest.fixture(scope="module")
def database(postgres: EmbeddedPostgres) -> Iterator[Database]:
    """A migrated database for this module's tests, which keep apart by organisation."""
    with fresh_database(postgres) as made:
        yield made


@pytest.fixture
def empty_database(postgres: EmbeddedPostgres) -> Iterator[Database]:
    """A migrated database for one test."""
    with fresh_database(postgres) as made:
        yield made


@pytest.fixture(scope="session")
def kafka_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    """A real Apache Kafka of one node. Skips where there is no Java or Maven, but with CI=true fails."""
    node = Kafka(tmp_path_factory.mktemp("kafka"))
    or_skip(node.start)
    yield node
    node.stop()


@pytest.fixture
def kafka(kafka_node: Kafka) -> Kafka:
    """The same Kafka for all tests, running: what a test stops is started again for the next one."""
    if kafka_node.process is None:
        kafka_node.start()
    return kafka_node


@pytest.fixture(scope="session")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """The whole product, running, for tests that only talk to it. It takes their word on the address they come
    from, so that they do not throttle each other."""
    running = Product(tmp_path_factory.mktemp("product") / "data", free_port())
    running.start(environment={"FANDESK_TRUSTED_PROXIES": "127.0.0.1"})
    yield running
    running.stop()


@pytest.fixture
def http(product: Product) -> Iterator[httpx.Client]:
    """A client of the running product, signed in as its super admin."""
    with product.client() as client:
        yield client
