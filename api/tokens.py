"""API tokens: made, listed, revoked. A token's secret is in the answer that made it and nowhere else."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from psycopg import Cursor
from psycopg.rows import dict_row
from starlette.responses import Response

from api.access_shapes import NewToken, TokenBody, TokenPage
from api.call import caller, services
from api.changes import asking, change
from api.directory import Caller, new_secret, secret_hash
from api.person_rows import may_change
from api.problems import NotThere
from api.refused import forbidden
from api.services import Services
from api.shapes import PROBLEMS, shows
from api.views import Answer, from_cursor, time_or_null, to_cursor
from commands.ids import new_id
from domain.access import Scope, issue, revoke
from domain.errors import InvalidField
from domain.words import rfc3339

router = APIRouter(prefix="/api/v1/tokens", tags=["tokens"], responses=PROBLEMS)

S = Annotated[Services, Depends(services)]
C = Annotated[Caller, Depends(caller)]

DEFAULT_SCOPES: Final[tuple[Scope, ...]] = ("read", "respond")


@router.get("", responses=shows(TokenPage))
async def list_tokens(
    services: S,
    caller: C,
    cursor: Annotated[str | None, Query(max_length=1000)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> Answer:
    """The tokens that work: one's own; admins see all of the organisation's."""
    after = from_cursor("tokens", cursor, (datetime, UUID))
    everybody = "manage" in caller.powers
    rows = await _rows(
        services,
        "t.organization_id = %s"
        + ("" if everybody else " and t.person_id = %s")
        + (" and (t.created_at, t.id) > (%s, %s)" if after else ""),
        (caller.organization_id, *(() if everybody else (caller.person_id,)), *(after or ())),
        limit + 1,
    )
    page = rows[:limit]
    place = [page[-1]["created_at"], page[-1]["id"]] if len(rows) > limit else None
    return Answer({"items": [_view(row) for row in page], "next_cursor": to_cursor("tokens", place)})


@router.post("", status_code=201, responses=shows(NewToken, 201))
async def create_token(services: S, caller: C, body: TokenBody) -> Answer:
    """Make a token: 201, and `token` is shown this once. It may do what its scopes say, and never more than its
    person may. Where none are named, scopes are read and respond, as far as the asker has them. What a token makes
    ends no later than the token itself. `person`: for somebody else, by admins."""
    for_whom = await _owner(services, caller, body.person)
    scopes = _scopes(caller, body.scopes)
    expires_at = await _expiry(services, caller, body.expires_at)
    id, secret = new_id(), new_secret("fdt")
    organization = for_whom.organization_id
    row = (id, organization, for_whom.person_id, body.name, secret_hash(secret), list(scopes), expires_at)

    def write(cursor: Cursor[Any]) -> None:
        cursor.execute(_INSERT, row)

    ask = replace(asking(for_whom), actor=asking(caller).actor)
    await change(services, for_whom, lambda _: issue(ask, id, for_whom.person_id, scopes, expires_at), write)
    (made,) = await _rows(services, "t.id = %s", (id,), 1)
    return Answer({**_view(made), "token": secret}, 201, {"Cache-Control": "no-store"})


@router.delete("/{id}", status_code=204, response_class=Response, responses={204: {"description": "Revoked"}})
async def revoke_token(services: S, caller: C, id: UUID) -> Response:
    """It works no more: at once here, within a second elsewhere."""
    rows = await _rows(services, "t.id = %s", (id,), 1)
    row = rows[0] if rows else None
    own = row is not None and row["person_id"] == caller.person_id
    managed = row is not None and row["organization_id"] == caller.organization_id and "manage" in caller.powers
    if row is None or not (own or managed):
        raise NotThere("There is no such token.")
    if not own:
        await may_change(services, caller, row["person_id"])
    where = caller._replace(organization_id=row["organization_id"])
    ask = asking(where)

    def write(cursor: Cursor[Any]) -> None:
        cursor.execute("update access.tokens set revoked_at = now() where id = %s and revoked_at is null", (id,))

    await change(services, where, lambda _: revoke(ask, id, row["person_id"]), write)
    return Response(status_code=204)


def _scopes(caller: Caller, named: Sequence[Scope] | None) -> tuple[Scope, ...]:
    """Those named, or the default as far as it goes. Raises InvalidField."""
    if named is not None:
        if not set(named) <= caller.powers:
            raise InvalidField("scopes", "Nobody gives away what they may not do themselves.")
        return tuple(dict.fromkeys(named))
    scopes = tuple(scope for scope in DEFAULT_SCOPES if scope in caller.powers)
    if not scopes:
        raise InvalidField("scopes", "Name some: you have neither read nor respond, which would be given.")
    return scopes


async def _expiry(services: Services, caller: Caller, named: datetime | None) -> datetime | None:
    """When the new token ends: as named, else with the token that asks. Raises InvalidField."""
    if named is not None and named <= datetime.now(UTC):
        raise InvalidField("expires_at", "Must be in the future.")
    if caller.token is None:
        return named
    async with services.pool.connection() as connection:
        row = await (await connection.execute(_ENDS, (caller.token,))).fetchone()
    at_most: datetime | None = row[0] if row else None
    if named is not None and at_most is not None and named > at_most:
        raise InvalidField("expires_at", f"Must be no later than the asking token ends: {rfc3339(at_most)}.")
    return named or at_most


async def _owner(services: Services, caller: Caller, person: UUID | None) -> Caller:
    """Whose the token is to be, in that one's own organisation. Raises Forbidden, NotThere."""
    if person is None or person == caller.person_id:
        return caller._replace(organization_id=caller.home)
    if "manage" not in caller.powers:
        raise await forbidden(services, caller, "Tokens for others are made by admins.")
    row = await may_change(services, caller, person)
    if row["disabled_at"] is not None:
        raise InvalidField("person", "Has no access any more.")
    return caller._replace(person_id=person)


async def _rows(services: Services, which: str, values: Any, limit: int) -> list[dict[str, Any]]:
    async with services.pool.connection() as connection, connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_ROWS.format(which=which).encode(), (*values, limit))
        rows: list[dict[str, Any]] = await cursor.fetchall()
    return rows


def _view(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": row["id"],
        "name": row["name"],
        "person": {"id": row["person_id"], "name": row["person_name"]},
        "scopes": row["scopes"],
        "created_at": time_or_null(row["created_at"]),
        "expires_at": time_or_null(row["expires_at"]),
        "last_used_at": time_or_null(row["last_used_at"]),
    }


_ROWS = """
    select t.id, t.organization_id, t.person_id, t.name, t.scopes, t.created_at, t.expires_at, t.last_used_at,
           p.name as person_name
      from access.tokens t join access.people p on p.id = t.person_id
     where t.revoked_at is null and (t.expires_at is null or t.expires_at > now()) and {which}
     order by t.created_at, t.id limit %s"""
_ENDS = "select expires_at from access.tokens where id = %s"
_INSERT = """
    insert into access.tokens (id, organization_id, person_id, name, hash, scopes, expires_at)
    values (%s, %s, %s, %s, %s, %s, %s) on conflict (id) do nothing"""
