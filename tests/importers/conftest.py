"""What the importers' tests share: empty ledgers in a real PostgreSQL, and the real data where it lies."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from commands.event_store import LedgerDatastore, LedgerRecorder
from fandesk.embedded import EmbeddedPostgres
from fandesk.migrate import migrate

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


@pytest.fixture(scope="module")
def make_ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], LedgerRecorder]]:
    """Each call gives an empty ledger: a database of its own in the module's cluster."""
    server = EmbeddedPostgres(tmp_path_factory.mktemp("importers"))
    made: list[LedgerRecorder] = []

    def make() -> LedgerRecorder:
        name = f"ledger_{len(made)}"
        with psycopg.connect(server.dsn("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
        migrate(server.dsn("postgres", name), app_role="fandesk")
        made.append(LedgerRecorder(LedgerDatastore(server.dsn(dbname=name))))
        return made[-1]

    server.start()
    try:
        yield make
    finally:
        for recorder in made:
            recorder.close()
        server.stop()
        shutil.rmtree(server.sockets, ignore_errors=True)


@pytest.fixture
def real_data() -> Callable[[str], Path]:
    """The path of a file of the real data, by its name there. Where it is absent: skipped, in CI failed."""

    def find(name: str) -> Path:
        path = DATA / name
        if not path.exists():
            reason = f"the real data is absent: {path}"
            if os.environ.get("CI") == "true":
                pytest.fail(reason)
            pytest.skip(reason)
        return path

    return find
