"""Brings the database's schema up to date: ordered SQL files, each run once, its checksum remembered."""

import hashlib
from contextlib import suppress
from importlib.resources import files
from typing import NamedTuple

import psycopg
from psycopg import sql

LOCK = 7308604896
"""The advisory lock that lets one process migrate at a time."""

GRANTS = """
grant usage on schema ledger, access, read, read_next, read_old, stream, notify, escalation to {role};
grant create on schema read, read_next, read_old to {role};
grant select on all tables in schema ledger, migrations to {role};
grant usage on schema migrations to {role};
grant select, insert, update, delete on all tables in schema access, stream, notify, escalation to {role};
grant execute on all functions in schema ledger to {role};
"""

GRANT_READ = "grant select, insert, update, delete on read.{table} to {role}"
"""For what is not the program's own already: it makes the tables of read models itself, and with two roles of
which none is a superuser the owner of the schema may give no rights on those."""

OURS_IN_READ = "select tablename from pg_tables where schemaname = 'read' and pg_has_role(tableowner, 'usage')"


READER = "fandesk_reader"


class MigrationError(Exception):
    """The database's schema is not one that this program can bring up to date."""


class Migration(NamedTuple):
    """One step, named by its file."""

    name: str
    text: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()


def migrations() -> list[Migration]:
    """All steps, in order."""
    folder = files("fandesk.migrations")
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return [Migration(name, (folder / name).read_text("utf-8")) for name in names]


def migrate(dsn: str, *, app_role: str | None = None) -> list[str]:
    """Run what has not been run yet; the names of what was run. Safe from several processes at once.

    app_role: the role the program works as, when it is not the one that owns the schema: it gets the rights to
    read the ledger and to append by the ledger's own function, and none to change it.
    Raises MigrationError where a step that was run here differs from the one in this program.
    """
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("select pg_advisory_lock(%s)", (LOCK,))
        with connection.transaction():
            connection.execute("create schema if not exists migrations")
            connection.execute(
                "create table if not exists migrations.done"
                " (name text primary key, checksum text not null, done_at timestamptz not null default now())"
            )
        done: dict[str, str] = dict(connection.execute("select name, checksum from migrations.done").fetchall())
        run = [step for step in migrations() if not _is_done(step, done)]
        _ensure_reader(connection, app_role)
        for step in run:
            with connection.transaction():
                connection.execute(step.text.encode())
                connection.execute(
                    "insert into migrations.done (name, checksum) values (%s, %s)", (step.name, step.checksum)
                )
        if app_role is not None and (run or not _is_granted(connection, app_role)):
            _grant(connection, app_role)
        return [step.name for step in run]


def _ensure_reader(connection: psycopg.Connection[tuple[object, ...]], app_role: str | None) -> None:
    """Have the role that reads behind the wall between organisations, and let the program take it. Raises
    MigrationError, with what somebody else has to run, where that may not be done here."""
    role = sql.Literal(app_role) if app_role is not None else sql.SQL("current_user")
    name = sql.Identifier(app_role) if app_role is not None else sql.SQL("current_user")
    try:
        if connection.execute("select 1 from pg_roles where rolname = %s", (READER,)).fetchone() is None:
            with suppress(psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation):  # of another database's
                connection.execute(f"create role {READER} nologin".encode())
        member = connection.execute(sql.SQL("select pg_has_role({}, %s, 'member')").format(role), (READER,))
        if member.fetchone() == (False,):
            connection.execute(sql.SQL("grant {} to {}").format(sql.Identifier(READER), name))
    except psycopg.errors.InsufficientPrivilege:
        user = app_role or connection.info.user
        raise MigrationError(
            f"The role {READER} holds organisations apart, and may not be made here. As a superuser, run once:\n"
            f"  create role {READER} nologin;\n"
            f'  grant {READER} to "{user}";'
        ) from None


def _grant(connection: psycopg.Connection[tuple[object, ...]], app_role: str) -> None:
    role = sql.Identifier(app_role)
    connection.execute(sql.SQL(GRANTS).format(role=role))
    for (table,) in connection.execute(OURS_IN_READ).fetchall():
        connection.execute(sql.SQL(GRANT_READ).format(table=sql.Identifier(str(table)), role=role))


def _is_granted(connection: psycopg.Connection[tuple[object, ...]], role: str) -> bool:
    """Whether the rights are there already: granting locks tables, which is not for every start."""
    row = connection.execute("select has_schema_privilege(%s, 'read_old', 'create')", (role,)).fetchone()
    return row is not None and bool(row[0])


def _is_done(step: Migration, done: dict[str, str]) -> bool:
    if step.name not in done:
        return False
    if done[step.name] != step.checksum:
        raise MigrationError(f"{step.name} was run here with another content; this program does not fit.")
    return True
