"""An OpenID Connect provider as this program asks it: who is behind a sign-in by the code flow with PKCE."""

import time
from typing import Any, NamedTuple

import httpx
from authlib.integrations.httpx_client import AsyncOAuth2Client
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
        client = self._client(redirect_uri)
        async with client:
            url, _ = client.create_authorization_url(
                metadata["authorization_endpoint"],
                state=cookies.derived(secret, "state"),
                nonce=cookies.derived(secret, "nonce"),
                code_verifier=cookies.derived(secret, "verifier"),
            )
        return str(url)

    async def identity(self, redirect_uri: str, secret: str, code: str) -> Identity:
        """Who has come back with this code. Raises Forbidden, and what httpx, Authlib and joserfc do."""
        metadata, keys = await self._ask()
        async with self._client(redirect_uri) as client:
            token = await client.fetch_token(
                metadata["token_endpoint"], code=code, code_verifier=cookies.derived(secret, "verifier")
            )
        written = token.get("id_token")
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

    def _client(self, redirect_uri: str) -> Any:
        return AsyncOAuth2Client(
            self._client_id,
            self._client_secret,
            scope="openid email profile",
            redirect_uri=redirect_uri,
            code_challenge_method="S256",
            timeout=10,
        )

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
