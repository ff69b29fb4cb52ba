"""Sessions: begun by signing in, listed, ended. The cookie's secret is in the cookie and nowhere else."""

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from psycopg.rows import dict_row
from starlette.responses import Response

from api import cookies
from api.access_shapes import SessionInfo, SessionList
from api.call import caller, services
from api.directory import SESSION_WORKS, Caller, new_secret, secret_hash
from api.person_rows import may_change, people
from api.problems import NotThere
from api.services import Services
from api.shapes import PROBLEMS, shows
from api.views import Answer, time_or_null
from commands.ids import new_id

router = APIRouter(tags=["sign-in"], responses=PROBLEMS)

S = Annotated[Services, Depends(services)]
C = Annotated[Caller, Depends(caller)]

Method = Literal["password", "link", "oidc"]


async def begin(services: Services, request: Request, person: UUID, method: Method, answer: Response) -> str:
    """Sign the person in on this browser: puts the cookie into the answer. The session's secret."""
    secret = new_secret("fds")
    agent = request.headers.get("user-agent", "")[:200].replace("\x00", "")
    async with services.pool.connection() as connection:
        before = cookies.session_of(request)
        if before is not None:  # whoever was signed in here is not any more
            await connection.execute(_END, (secret_hash(before),))
        await connection.execute(_BEGIN, (new_id(), person, secret_hash(secret), method, agent))
    cookies.give(answer, secret, services.public_url)
    return secret


async def end(services: Services, secret: str) -> None:
    """The session counts no more."""
    async with services.pool.connection() as connection:
        await connection.execute(_END, (secret_hash(secret),))
    services.directory.forget()


@router.get("/auth/session", responses=shows(SessionInfo))
async def get_session(services: S, caller: C, request: Request) -> Answer:
    """Who is signed in, what they may do, and the token that changes by cookie need."""
    (row,) = await people(services, "p.id = %s", (caller.person_id,), 1)
    secret = cookies.session_of(request) if caller.session is not None else None
    shown = {
        "person": {"id": caller.person_id, "name": row["name"]},
        "role": caller.role,
        "organization": await organization_named(services, caller.organization_id),
        "powers": sorted(caller.powers),
        "csrf_token": cookies.csrf_of(secret) if secret is not None else None,
    }
    return Answer(shown, headers={"Cache-Control": "no-store"})


async def organization_named(services: Services, id: UUID) -> dict[str, Any]:
    """An organisation by id and name."""
    async with services.pool.connection() as connection:
        query = "select id, name from access.organizations where id = %s"
        row = await (await connection.execute(query, (id,))).fetchone()
    assert row is not None
    return {"id": row[0], "name": row[1]}


@router.get("/auth/sessions", responses=shows(SessionList))
async def list_sessions(services: S, caller: C) -> Answer:
    """One's own sessions, wherever they are."""
    return await _sessions(services, caller.person_id, caller.session)


@router.delete("/auth/sessions/{id}", status_code=204, response_class=Response)
async def end_session(services: S, caller: C, id: UUID) -> Response:
    """End one of one's own sessions."""
    if not await _revoke(services, "id = %s and person_id = %s", (id, caller.person_id)):
        raise NotThere("There is no such session.")
    return Response(status_code=204)


@router.get("/api/v1/people/{id}/sessions", responses=shows(SessionList))
async def sessions_of_person(services: S, caller: C, id: UUID) -> Answer:
    """Where somebody is signed in."""
    await may_change(services, caller, id)
    return await _sessions(services, id, caller.session)


@router.delete("/api/v1/people/{id}/sessions", status_code=204, response_class=Response)
async def end_sessions_of_person(services: S, caller: C, id: UUID) -> Response:
    """Sign somebody out everywhere."""
    await may_change(services, caller, id)
    await _revoke(services, "person_id = %s", (id,))
    return Response(status_code=204)


async def _sessions(services: Services, person: UUID, current: UUID | None) -> Answer:
    async with services.pool.connection() as connection, connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_LIST.encode(), (person,))
        rows = await cursor.fetchall()
    items = [
        {
            "id": row["id"],
            "method": row["method"],
            "user_agent": row["user_agent"],
            "created_at": time_or_null(row["created_at"]),
            "last_seen_at": time_or_null(row["last_seen_at"]),
            "current": row["id"] == current,
        }
        for row in rows
    ]
    return Answer({"items": items})


async def _revoke(services: Services, which: str, values: Any) -> bool:
    query = f"update access.sessions set revoked_at = now() where revoked_at is null and {which}"
    async with services.pool.connection() as connection:
        found = await connection.execute(query.encode(), values)
    services.directory.forget()
    return bool(found.rowcount)


_BEGIN = """
    insert into access.sessions (id, person_id, hash, method, user_agent) values (%s, %s, %s, %s, %s)"""
_END = "update access.sessions set revoked_at = now() where hash = %s and revoked_at is null"
_LIST = f"""
    select s.id, s.method, s.user_agent, s.created_at, s.last_seen_at from access.sessions s
     where s.person_id = %s and {SESSION_WORKS} order by s.created_at desc, s.id limit 200"""
