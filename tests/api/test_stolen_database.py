"""Whoever steals the database holds no password, token, session, link or key that works."""

import base64
from collections.abc import Iterator
from typing import Any

import httpx
import psycopg
from accesstools import Browser, add
from apitools import Org

PASSWORD = "correct horse battery staple"


def values(sql: psycopg.Connection[Any], person: str, org: Org) -> Iterator[str]:
    """Whatever the tables of access hold of a person, their organisation and its integrations, as texts."""
    tables = sql.execute(
        "select table_name from information_schema.tables where table_schema = 'access'"
    ).fetchall()
    for (table,) in tables:
        for (row,) in sql.execute(f"select row_to_json(t) from access.{table} t").fetchall():
            if person in str(row) or org.id in str(row) or org.admin in str(row):
                for value in map(str, row.values()):
                    yield value
                    if value.startswith("\\x"):
                        raw = bytes.fromhex(value[2:])
                        yield from (raw.hex(), base64.urlsafe_b64encode(raw).decode().rstrip("="))


def everything(sql: psycopg.Connection[Any]) -> Iterator[str]:
    """All tables of the product, row by row, bytes as hex."""
    tables = sql.execute(
        "select schemaname, tablename from pg_tables where schemaname not in ('pg_catalog', 'information_schema')"
    ).fetchall()
    for schema, table in tables:
        for (row,) in sql.execute(f'select row_to_json(t)::text from "{schema}"."{table}" t').fetchall():
            yield f"{schema}.{table}: {row}"


def test_nothing_in_the_database_lets_anybody_in(own: Org, sql: psycopg.Connection[Any]) -> None:
    email = f"stolen-{own.id[:8]}@example.org"
    person = add(own, "org_admin", email)["id"]
    with Browser(str(own.http.base_url)) as by_link, Browser(str(own.http.base_url)) as browser:
        by_link.by_link(own, person)
        assert by_link.http.post("/auth/password", json={"new": PASSWORD}).status_code == 204
        browser.by_password(email, PASSWORD)
        csrf = browser.http.headers["X-CSRF-Token"]
        feed = browser.http.post("/api/v1/calendar-feeds", json={"person": person})
        assert feed.status_code == 201, feed.text
        link = own.http.post(f"/api/v1/people/{person}/sign-in-link").json()["url"].rpartition("/")[2]
        key = own.integration().split("/")[-2]
        feed_key = feed.json()["url"].rpartition("/")[2].removesuffix(".ics")
        secrets = [PASSWORD, browser.cookie, csrf, own.token, link, key, feed_key]
        for secret in secrets:
            assert len(secret) >= 20
            for row in everything(sql):
                assert secret not in row and secret.encode().hex() not in row, row.partition(":")[0]

        found = {value for value in values(sql, person, own) if len(value) > 15}
        assert len(found) > 20
        with httpx.Client(base_url=browser.http.base_url, timeout=30) as thief:
            for value in found:
                sent = value.encode("ascii", "ignore").decode().replace("\n", " ").strip()
                for headers in ({"Authorization": f"Bearer {sent}"}, {"Cookie": f"fandesk_session={sent}"}):
                    assert thief.get("/auth/session", headers=headers).status_code == 401, value
            for value in found:
                if value.isascii() and value.replace("-", "").replace("_", "").isalnum():
                    assert thief.post(f"/auth/link/{value}").status_code in (401, 403, 404, 410), value
                    assert thief.get(f"/feeds/{value}.ics").status_code == 404, value
