"""PostgreSQL has closed every connection that the API had: the next requests are answered all the same."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psycopg
from running import api_alone, until

from fandesk.compose import read_models
from fandesk.first_start import add_token
from projections.runner import ensure_tables


def test_no_request_is_refused_for_a_connection_that_is_dead(postgres: Any, database: Any, tmp_path: Path) -> None:
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        ensure_tables(connection, read_models())
        org = uuid4()
        connection.execute("insert into access.organizations (id, name) values (%s, 'O')", (org,))
        name = connection.info.dbname
        tokens = [add_token(connection, org, f"P{n}", "responder") for n in range(8)]

    with (
        api_alone(database.dsn, tmp_path) as url,
        ThreadPoolExecutor(8) as at_once,
        psycopg.connect(postgres.dsn("postgres", "postgres"), autocommit=True) as server,
    ):

        def asked(n: int) -> tuple[int, int]:
            headers = {"Authorization": f"Bearer {tokens[n]}"}
            with httpx.Client(base_url=url, headers=headers, timeout=30) as http:
                made = http.post("/api/v1/incidents", json={"title": "Down", "severity": "low"})
                return made.status_code, http.get("/api/v1/incidents").status_code

        for _ in range(2):
            assert list(at_once.map(asked, range(8))) == [(201, 200)] * 8, (tmp_path / "api.log").read_text()[
                -3000:
            ]
            closed = [pid for (pid,) in server.execute(_OF_API, (name,)).fetchall()]
            assert len(closed) > 4
            server.execute("select pg_terminate_backend(unnest(%s::int[]))", (closed,))
            until(lambda closed=closed: not server.execute(_ALIVE, (closed,)).fetchall(), what="their end")
        assert [asked(n) for n in range(8)] == [(201, 200)] * 8


_OF_API = "select pid from pg_stat_activity where datname = %s"
_ALIVE = "select pid from pg_stat_activity where pid = any (%s)"
