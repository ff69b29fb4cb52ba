"""An OpenID Connect provider as this program asks it: who is behind a sign-in by the code flow with PKCE."""

import time
from typing import Any, NamedTuple
from urllib.parse import quote

import httpx
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from api import cookies
from api.problems import Forbidden

ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
"""Signatures alone: with HS256 the client's secret, with none nobody would vouch for a token."""

ASKED_AGAIN_AFTER_S = 3600.0


class Identity(NamedTuple):
    """Who somebody is at the provider. email: None where it is not verified there."""

    issuer: str
    subject: str
    email: str | None


class Provider:
    """The provider, by its issuer address. What it says of itself is asked for when it is first needed."""

    def __init__(self, issuer: str, client_id: str, client_secret: str) -> None:
        self.issuer = issuer
        self._client_id = client_id
        self._client_secret = client_secret
        self._known: tuple[float, dict[str, Any], dict[str, Any]] | None = None

    async def address(self, redirect_uri: str, secret: str) -> str:
        """Where the browser goes to sign in."""
        metadata, _ = await self._ask()
        return str(
            prepare_grant_uri(
                metadata["authorization_endpoint"],
                self._client_id,
                "code",
                redirect_uri=redirect_uri,
                scope="openid email profile",
                state=cookies.derived(secret, "state"),
                nonce=cookies.derived(secret, "nonce"),
                code_challenge=create_s256_code_challenge(cookies.derived(secret, "verifier")),
                code_challenge_method="S256",
            )
        )

    async def identity(self, redirect_uri: str, secret: str, code: str) -> Identity:
        """Who has come back with this code. Raises Forbidden, and what httpx, Authlib and joserfc do."""
        metadata, keys = await self._ask()
        written = await self._exchange(metadata, redirect_uri, code, cookies.derived(secret, "verifier"))
        if not isinstance(written, str):
            raise Forbidden("The provider sent no ID token.")
        try:
            found = jwt.decode(written, KeySet.import_key_set(keys), algorithms=ALGORITHMS)  # type: ignore[arg-type]
        except (JoseError, ValueError):  # perhaps it has new keys
            _, keys = await self._ask(anew=True)
            found = jwt.decode(written, KeySet.import_key_set(keys), algorithms=ALGORITHMS)  # type: ignore[arg-type]
        claims = CodeIDToken(
            found.claims,
            found.header,
            {"iss": {"essential": True, "value": metadata["issuer"]}, "nonce": {"essential": True},
             "aud": {"essential": True, "value": self._client_id}},
            {"nonce": cookies.derived(secret, "nonce"), "client_id": self._client_id},
        )  # fmt: skip
        claims.validate(leeway=60)
        email = claims.get("email") if claims.get("email_verified") is True else None
        return Identity(self.issuer, str(claims["sub"]), email if isinstance(email, str) else None)

    async def _exchange(self, metadata: dict[str, Any], redirect_uri: str, code: str, verifier: str) -> Any:
        """The ID token for the code. Raises httpx.HTTPError, ValueError, Forbidden."""
        sent = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": verifier,
        }
        methods = metadata.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        basic: httpx.Auth | None = None
        if "client_secret_basic" in methods:
            basic = httpx.BasicAuth(quote(self._client_id, safe=""), quote(self._client_secret, safe=""))
        else:
            sent |= {"client_id": self._client_id, "client_secret": self._client_secret}
        async with httpx.AsyncClient(timeout=10) as client:
            answer = await client.post(
                metadata["token_endpoint"], data=sent, auth=basic or httpx.USE_CLIENT_DEFAULT
            )
        if answer.status_code in (400, 401, 403):
            raise Forbidden("The provider does not know this sign-in.")
        return answer.raise_for_status().json().get("id_token")

    async def _ask(self, *, anew: bool = False) -> tuple[dict[str, Any], dict[str, Any]]:
        now = time.monotonic()
        if anew or self._known is None or now - self._known[0] > ASKED_AGAIN_AFTER_S:
            async with httpx.AsyncClient(timeout=10) as client:
                where = f"{self.issuer.rstrip('/')}/.well-known/openid-configuration"
                metadata = (await client.get(where)).raise_for_status().json()
                if metadata["issuer"].rstrip("/") != self.issuer.rstrip("/"):
                    raise ValueError(f"the provider calls itself {metadata['issuer']}")
                keys = (await client.get(metadata["jwks_uri"])).raise_for_status().json()
            self._known = (now, metadata, keys)
        return self._known[1], self._known[2]
