"""The embedded server's log says what failed, not who it was about."""

from contextlib import suppress

import psycopg

from fandesk.embedded import EmbeddedPostgres


def test_the_log_does_not_say_what_is_in_a_row_that_was_refused(postgres: EmbeddedPostgres) -> None:
    with psycopg.connect(postgres.dsn("postgres", "postgres"), autocommit=True) as connection:
        connection.execute("create temporary table people (email text unique)")
        for _ in range(2):
            with suppress(psycopg.errors.UniqueViolation):
                connection.execute("insert into people values (%s)", ("zoe@example.com",))
    log = postgres.log.read_text()
    assert "duplicate key value" in log and "zoe@example.com" not in log
