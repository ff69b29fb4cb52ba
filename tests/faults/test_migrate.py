"""`fandesk migrate`: from two processes at once, twice, against another's schema; and an external PostgreSQL."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from faultload import (
    end,
    long_form,
    pids,
)
from running import TOKEN, Product, free_port, until

from fandesk.embedded import EmbeddedPostgres
from fandesk.migrate import migrations

ALL = [step.name for step in migrations()]


def environment(**more: str) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("FANDESK_")}
    return {**kept, "FANDESK_ADMIN_TOKEN": TOKEN, **more}


def fandesk(*arguments: str, cwd: Path, **settings: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "fandesk", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
        env=environment(**settings),
    )


def migrated(*processes: subprocess.Popen[str]) -> list[str]:
    """All that the processes, which must succeed, say that they have run."""
    names: list[str] = []
    for process in processes:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        names += json.loads(out)["migrated"]
    return names


@pytest.fixture
def external(tmp_path: Path) -> Iterator[tuple[EmbeddedPostgres, str]]:
    """A PostgreSQL that is not the product's, and an empty database in it, of a role that owns just that."""
    server = EmbeddedPostgres(tmp_path / "elsewhere")
    server.start()
    try:
        with psycopg.connect(server.dsn("postgres", "postgres"), autocommit=True) as connection:
            connection.execute("create role owner login nosuperuser nocreatedb nocreaterole")
            connection.execute("create role fandesk_reader nologin")
            connection.execute("grant fandesk_reader to owner")
            connection.execute("create database ours owner owner")
        yield server, server.dsn("owner", "ours")
    finally:
        server.stop()


def test_two_at_once_on_a_new_data_folder(tmp_path: Path) -> None:
    both = [fandesk("migrate", "--json", "--data", "data", cwd=tmp_path) for _ in range(2)]
    assert sorted(migrated(*both)) == ALL
    assert migrated(fandesk("migrate", "--json", "--data", "data", cwd=tmp_path)) == []
    assert not EmbeddedPostgres(tmp_path / "data")._alive()


def test_a_step_with_another_checksum_is_refused(tmp_path: Path) -> None:
    data = tmp_path / "data"
    migrated(fandesk("migrate", "--json", "--data", str(data), cwd=tmp_path))
    server = EmbeddedPostgres(data)
    server.start()
    with psycopg.connect(server.dsn("postgres"), autocommit=True) as connection:
        connection.execute("update migrations.done set checksum = 'other' where name = %s", (ALL[1],))
    server.stop()
    for command in (["migrate"], ["migrate", "--json"], ["up", "--port", str(free_port())]):
        process = fandesk(*command, "--data", str(data), cwd=tmp_path)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 1
        assert ALL[1] in err and "another content" in err
        assert "Traceback" not in err and out == ""
        assert not server._alive() and not (data / "pids.json").exists()


def test_an_external_database(tmp_path: Path, external: tuple[EmbeddedPostgres, str]) -> None:
    server, dsn = external
    both = [fandesk("migrate", "--json", cwd=tmp_path, FANDESK_DATABASE_URL=dsn) for _ in range(2)]
    assert sorted(migrated(*both)) == ALL
    assert migrated(fandesk("migrate", "--json", cwd=tmp_path, FANDESK_DATABASE_URL=dsn)) == []
    port = free_port()
    with (tmp_path / "up.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "fandesk", "up", "--port", str(port)],
            stdout=log,
            stderr=log,
            cwd=tmp_path,
            env=environment(FANDESK_DATABASE_URL=dsn),
        )
    url = f"http://127.0.0.1:{port}"
    try:
        until(lambda: _status(f"{url}/readyz") == 200, within_s=30, what="/readyz")
        headers = {"Authorization": f"Bearer {TOKEN}"}
        with httpx.Client(base_url=f"{url}/api/v1", headers=headers, timeout=30) as client:
            made = client.post("/incidents", json={"title": "elsewhere", "severity": "high"})
            assert made.status_code == 201
            position = {"Ledger-Position": made.headers["Ledger-Position"]}
            assert client.get(f"/incidents/{made.json()['number']}", headers=position).status_code == 200

            server.stop()  # and comes back: the product goes on by itself
            until(lambda: _status(f"{url}/readyz") == 503, what="/readyz to say that the database is away")
            server.start()
            until(lambda: _status(f"{url}/readyz") == 200, within_s=30, what="/readyz")
            assert client.post(f"/incidents/{made.json()['id']}/acknowledge").status_code == 200
        rebuilt = fandesk("rebuild", "--json", cwd=tmp_path, FANDESK_DATABASE_URL=dsn)
        assert rebuilt.communicate(timeout=60) and rebuilt.returncode == 0
        process.terminate()
        assert process.wait(10) == 0
    finally:
        end(process)
    assert not (tmp_path / "fandesk-data").exists()
    said = (tmp_path / "up.log").read_text()
    assert "was killed" not in said and "ended with" not in said, said
    with psycopg.connect(dsn, autocommit=True) as connection:
        before = connection.execute("select * from ledger.events order by notification_id").fetchall()
        assert len(before) == 5  # two of the incident; role, token and link of who was there first
        for change in (
            "update ledger.events set topic = 'x'",
            "delete from ledger.events",
            "truncate ledger.events",
            "truncate ledger.events cascade",
            "insert into ledger.events select * from ledger.events on conflict (notification_id) do update"
            " set topic = 'x'",
        ):
            with pytest.raises(psycopg.Error, match=r"append-only|cannot insert"):
                connection.execute(change.encode())
        assert connection.execute("select * from ledger.events order by notification_id").fetchall() == before


@long_form
def test_an_external_database_that_is_not_there(tmp_path: Path) -> None:
    nowhere = f"postgresql://owner@/ours?host={tmp_path}"
    for command in (["migrate"], ["up", "--port", str(free_port())]):
        process = fandesk(*command, cwd=tmp_path, FANDESK_DATABASE_URL=nowhere)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 1
        assert "cannot be reached" in err and "Traceback" not in err


@long_form
def test_a_migrate_that_is_killed_is_made_good_by_the_next(tmp_path: Path) -> None:
    product = Product(tmp_path / "data", free_port())
    for _ in range(2):
        process = fandesk("migrate", "--data", "data", cwd=tmp_path)
        server = EmbeddedPostgres(product.data)
        until(lambda: server.running() or process.poll() is not None, what="PostgreSQL")  # noqa: B023
        process.kill()
        process.communicate()
    migrated(fandesk("migrate", "--json", "--data", "data", cwd=tmp_path))
    product.start()
    try:
        assert set(pids(product)) == {"postgres", "project", "notify", "escalate", "api"}
        assert product.stop() < 10
    finally:
        end(product.process)


def _status(url: str) -> Any:
    try:
        return httpx.get(url, timeout=10).status_code
    except httpx.TransportError as problem:
        return type(problem).__name__
