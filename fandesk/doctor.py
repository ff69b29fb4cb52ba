"""Looks an installation over, for `fandesk doctor`."""

from typing import NamedTuple

import psycopg

from fandesk.compose import Config
from fandesk.migrate import migrations


class Finding(NamedTuple):
    """One thing that was looked at."""

    ok: bool
    what: str


def examine(config: Config) -> list[Finding]:
    """What is sound and what is not."""
    findings = []
    with psycopg.connect(config.dsn, autocommit=True) as connection:
        version = connection.info.server_version // 10_000
        findings.append(Finding(version >= 15, f"PostgreSQL {version} answers (15 or newer is needed)"))
        known = _known(connection)
        missing = [step.name for step in migrations() if step.name not in known]
        findings.append(
            Finding(not missing, f"schema: {', '.join(missing) + ' missing' if missing else 'up to date'}")
        )
        if missing:
            return findings
        findings.append(Finding(_is_refused(connection), "the database itself refuses changes to the ledger"))
        row = connection.execute(
            "select coalesce(max(notification_id), 0), coalesce((select min(position) from read.checkpoints), 0)"
            "  from ledger.events"
        ).fetchone()
        assert row is not None
        head, projected = row
        findings.append(Finding(True, f"ledger at {head}, read models at {projected}"))
    return findings


def _known(connection: psycopg.Connection[tuple[object, ...]]) -> set[object]:
    try:
        return {name for (name,) in connection.execute("select name from migrations.done").fetchall()}
    except psycopg.errors.UndefinedTable:
        return set()


def _is_refused(connection: psycopg.Connection[tuple[object, ...]]) -> bool:
    for statement in (
        "update ledger.events set topic = topic",
        "delete from ledger.events",
        "truncate ledger.events",
    ):
        try:
            with connection.transaction(force_rollback=True):
                connection.execute(statement.encode())
                empty = connection.execute("select not exists (select from ledger.events)").fetchone()
                if not (empty and empty[0] and not statement.startswith("truncate")):
                    return False
        except psycopg.errors.InsufficientPrivilege:
            pass
    return True
