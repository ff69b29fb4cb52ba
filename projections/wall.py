"""The wall between organisations in the tables of read models: see migrations/0007_wall.sql."""

from typing import Any

from psycopg import Connection, sql

from projections.model import ReadModel

READER = "fandesk_reader"
"""Who reads as this role sees one organisation's rows: the one that `fandesk.organization` names."""


def build_wall(connection: Connection[Any], schema: str, model: ReadModel) -> None:
    """Put the wall around the model's tables in that schema, where it is not yet; it moves with them. Their owner,
    who keeps them, is not held back."""
    for table in model.names:
        if connection.execute(_THERE, (schema, table)).fetchone() is None:
            name = sql.Identifier(schema, table)
            for statement in (_ENABLE, _POLICY, _GRANT):
                connection.execute(sql.SQL(statement).format(table=name, reader=sql.Identifier(READER)))


_THERE = "select 1 from pg_policies where schemaname = %s and tablename = %s and policyname = 'one_organization'"
_ENABLE = "alter table {table} enable row level security"
_POLICY = """
    create policy one_organization on {table} for select to {reader} using (
        organization_id = (select nullif(current_setting('fandesk.organization', true), '')::uuid))"""
_GRANT = "grant select on {table} to {reader}"
