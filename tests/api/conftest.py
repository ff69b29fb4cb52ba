"""Organisations of their own for the tests over HTTP, in one running product, whose log stays clean."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from apitools import Org, Poster

from api.directory import secret_hash
from fandesk.first_start import add_token


@pytest.fixture(scope="session")
def sql(product: Any) -> Iterator[psycopg.Connection[Any]]:
    """The running product's database, with its own rights."""
    with psycopg.connect(product.cli("dsn").stdout.strip(), autocommit=True) as connection:
        yield connection


@pytest.fixture(scope="session")
def new_org(product: Any, sql: psycopg.Connection[Any]) -> Iterator[Callable[..., Org]]:
    """Makes organisations, as the first start does."""
    with ExitStack() as stack:

        def make(admin: str = "Ada Admin") -> Org:
            id = uuid4()
            sql.execute("insert into access.organizations (id, name) values (%s, %s)", (id, f"Org {id}"))
            token = add_token(sql, id, admin, "org_admin")
            (person,) = sql.execute("select person_id from access.tokens where hash = %s", (secret_hash(token),))
            org = Org(str(id), str(person[0]), token, product.url, httpx.Client())
            org.http = stack.enter_context(org.client())
            return org

        yield make


@pytest.fixture(scope="module")
def org(new_org: Callable[..., Org]) -> Org:
    """This module's organisation."""
    return new_org()


@pytest.fixture(scope="module")
def other(new_org: Callable[..., Org]) -> Org:
    """Another organisation."""
    return new_org("Eve Else")


@pytest.fixture
def own(new_org: Callable[..., Org]) -> Org:
    """This test's organisation: what it counts is all there is."""
    return new_org()


@pytest.fixture
def post(product: Any) -> Iterator[Poster]:
    """Posts alerts."""
    poster = Poster(product.url)
    yield poster
    poster.close()


@pytest.fixture(scope="module", autouse=True)
def quiet_log(product: Any) -> Iterator[None]:
    """Whatever was sent, the product had no accident: its log shows no traceback."""
    before = len(product.log.read_text("utf-8", "replace"))
    yield
    log = product.log.read_text("utf-8", "replace")[before:]
    assert "Traceback" not in log, log[log.index("Traceback") :][-4000:]
