"""Signing in by an OpenID Connect provider: code flow with PKCE. It lets in who is known here, and makes nobody.

state, nonce and PKCE's verifier follow from one secret in a cookie: nothing of a sign-in under way is in the
database, and any process can finish it.
"""

import logging
from contextlib import suppress
from typing import Annotated, Any
from uuid import UUID

import httpx
from authlib.common.errors import AuthlibBaseError
from fastapi import APIRouter, Depends, Query, Request
from joserfc.errors import JoseError
from psycopg import Cursor
from starlette.responses import RedirectResponse, Response

from api import cookies, sessions
from api.call import services
from api.changes import asking, change
from api.directory import Caller, new_secret
from api.oidc_provider import Identity, Provider
from api.problems import Forbidden, NotThere
from api.services import Services
from api.shapes import PROBLEMS
from domain.access import identify, powers
from domain.errors import Overloaded

log = logging.getLogger(__name__)
router = APIRouter(prefix="/auth", tags=["sign-in"], responses=PROBLEMS)

S = Annotated[Services, Depends(services)]
Word = Annotated[str | None, Query(max_length=4000)]

COOKIE = "fandesk_oidc"
WITHIN_S = 600


@router.get("/oidc", status_code=303, response_class=Response)
async def begin_oidc(services: S) -> Response:
    """Go and sign in at the provider."""
    provider = _provider(services)
    secret = new_secret("fdo")
    try:
        address = await provider.address(_redirect_uri(services), secret)
    except (httpx.HTTPError, ValueError, KeyError) as problem:
        log.warning("the OpenID Connect provider cannot be asked: %s", problem)
        raise Overloaded("The provider that would sign you in does not answer.", retry_after_s=10) from None
    answer = RedirectResponse(address, 303)
    cookies.give(answer, secret, services.public_url, COOKIE, WITHIN_S)
    return answer


@router.get("/oidc/callback", status_code=303, response_class=Response)
async def finish_oidc(
    services: S, request: Request, code: Word = None, state: Word = None, error: Word = None
) -> Response:
    """Back from the provider: 303 and the cookie of a session for who is known here, else 403."""
    provider = _provider(services)
    secret = cookies.cookie(request, COOKIE)
    if secret is None or state is None or not cookies.same(state, cookies.derived(secret, "state")):
        raise Forbidden("This sign-in was not begun in this browser, or too long ago: begin again.")
    if code is None:
        log.info("the OpenID Connect provider refused: %s", (error or "")[:100])
        raise Forbidden("The provider did not sign you in.")
    try:
        identity = await provider.identity(_redirect_uri(services), secret, code)
    except httpx.HTTPError as problem:
        log.warning("the OpenID Connect provider cannot be asked: %s", problem)
        raise Overloaded("The provider that would sign you in does not answer.", retry_after_s=10) from None
    except (AuthlibBaseError, JoseError, ValueError, KeyError) as problem:
        log.warning("an OpenID Connect sign-in was refused: %s", problem)
        raise Forbidden("The provider's answer does not hold.") from None
    person = await _known(services, identity)
    if person is None and identity.email is not None:
        await _link(services, identity)
        person = await _known(services, identity)
    if person is None:
        raise Forbidden("Nobody here has this e-mail address: an admin adds people.")
    answer = RedirectResponse("/", 303)
    await sessions.begin(services, request, person, "oidc", answer)
    cookies.take(answer, services.public_url, COOKIE)
    return answer


async def _known(services: Services, identity: Identity) -> UUID | None:
    """Whom the provider has signed in before."""
    async with services.pool.connection() as connection:
        row = await (await connection.execute(_KNOWN, identity._asdict())).fetchone()
    return row[0] if row else None


class _NotLinked(Exception):
    """Another request was first, or nobody has the address any more."""


async def _link(services: Services, identity: Identity) -> None:
    """Whoever has the e-mail address is that one at the provider from now on, if there is anybody."""
    async with services.pool.connection() as connection:
        row = await (await connection.execute(_BY_EMAIL, identity._asdict())).fetchone()
    if row is None:
        return
    organization, person, role = row
    who = Caller(organization, person, role, powers(role, None), organization)
    ask = asking(who)

    def write(cursor: Cursor[Any]) -> None:
        if cursor.execute(_LINK, {**identity._asdict(), "person": person}).rowcount == 0:
            raise _NotLinked

    with suppress(_NotLinked):
        await change(services, who, lambda _: identify(ask, person), write)


def _provider(services: Services) -> Provider:
    if services.oidc is None:
        raise NotThere("No OpenID Connect provider is set up: see FANDESK_OIDC_ISSUER.")
    return services.oidc


def _redirect_uri(services: Services) -> str:
    return f"{services.public_url}/auth/oidc/callback"


_KNOWN = """
    update access.identities i set seen_at = now() from access.people p
     where i.issuer = %(issuer)s and i.subject = %(subject)s and p.id = i.person_id and p.disabled_at is null
    returning i.person_id"""
_BY_EMAIL = """
    select organization_id, id, role from access.people
     where lower(email) = lower(%(email)s) and disabled_at is null"""
_LINK = """
    insert into access.identities (issuer, subject, person_id)
    select %(issuer)s, %(subject)s, id from access.people
     where id = %(person)s and lower(email) = lower(%(email)s) and disabled_at is null
    on conflict (issuer, subject) do nothing"""
