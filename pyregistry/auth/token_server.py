"""`auth.token`: verifies tokens of an external server, as the CNCF registry does.

The header of a token names its key: a certificate chain (`x5c`) to one of our roots, or the id of a key (`kid`). A
root's key has two ids: libtrust's, which token servers for registry 2 use, and the thumbprint (RFC 7638) of registry 3.
A key of the JWKS has the id given there.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jwt
import msgspec

from pyregistry.auth.access import Access, BaseAuthenticator, Fault, Origin, Principal
from pyregistry.auth.scopes import bearer_challenge, bearer_token, scope_of_claim
from pyregistry.auth.trusted_keys import KeyFiles, KeysInvalid, TrustedKeys, algorithms_of
from pyregistry.auth.verified import TokenContent, VerifiedTokens
from pyregistry.common.overriding import override
from pyregistry.common.reloaded_files import ReloadedFiles, Use
from pyregistry.oci.errors import Unauthorized

LEEWAY_SECONDS = 60
"""Seconds by which the token server's clock may differ, as in the CNCF registry."""
AUTO_REDIRECT_PATH = "/auth/token"


@dataclass(frozen=True, slots=True)
class TokenServer:
    """Settings of the token server. Without `algorithms` each key's own are accepted."""

    realm: str
    service: str
    issuer: str
    root_cert_bundle: Path | None = None
    jwks: Path | None = None
    algorithms: frozenset[str] = frozenset()
    auto_redirect_path: str | None = None


class _Trust(NamedTuple):
    """Keys, and the tokens that they verified: new keys start with an empty cache."""

    keys: TrustedKeys
    verified: VerifiedTokens


def _follow(files: KeyFiles) -> ReloadedFiles[_Trust]:
    """Load the keys. Blocks. Raises KeysInvalid."""
    use = Use(
        "keys of auth.token",
        files.read,
        lambda contents: _Trust(files.keys(contents), VerifiedTokens()),
        lambda trust: {"keys": len(trust.keys)},
        invalid=KeysInvalid,
        unusable="keys of auth.token not usable, the last valid ones stay active",
        restored="keys of auth.token usable again",
    )
    return ReloadedFiles(files.paths, use)


class TokenServerAuthenticator(BaseAuthenticator):
    """Accepts only tokens of one server."""

    def __init__(self, server: TokenServer) -> None:
        """Load the keys. Blocks. Raises KeysInvalid."""
        self._server = server
        self._trust = _follow(KeyFiles(server.root_cert_bundle, server.jwks))

    @override
    def start(self) -> None:
        self._trust.start()

    @override
    def close(self) -> None:
        self._trust.close()

    @override
    async def authenticate(self, authorization: Sequence[str], address: str) -> Principal:
        token = bearer_token(authorization)
        if not token:
            raise Unauthorized
        trust = self._trust.value
        known = trust.verified.get(token)
        if known is not None:
            return known.principal
        loop = asyncio.get_running_loop()
        try:  # a chain of certificates takes milliseconds
            principal, expires_at = await loop.run_in_executor(None, self._decode, token, trust.keys)
        except Exception as error:  # any error of a parser: this is not a token
            raise Unauthorized from error
        trust.verified.put(token, TokenContent(principal, ""), expires_at)
        return principal

    @override
    def recognize(self, authorization: Sequence[str], address: str) -> Principal | None:
        token = bearer_token(authorization)
        known = self._trust.value.verified.get(token) if token else None
        return None if known is None else known.principal

    @override
    def challenge(self, wanted: Sequence[Access], origin: Origin, fault: Fault | None) -> str | None:
        server = self._server
        realm = server.realm
        if server.auto_redirect_path is not None:
            # If the scheme is unknown, https as in the CNCF registry: a proxy in front probably speaks TLS.
            realm = f"{origin.scheme or 'https'}://{origin.host}{server.auto_redirect_path}"
        return bearer_challenge(realm, server.service, wanted, fault)

    def _decode(self, token: str, keys: TrustedKeys) -> tuple[Principal, float]:
        header: Mapping[str, Any] = jwt.get_unverified_header(token)
        key = keys.find(header)
        algorithms = algorithms_of(key)
        if self._server.algorithms:
            algorithms &= self._server.algorithms
        claims = jwt.decode(
            token,
            key,
            # Only those of the key's kind: otherwise an HMAC with the text of a public key would pass.
            algorithms=sorted(algorithms),
            audience=self._server.service,
            issuer=self._server.issuer,
            leeway=LEEWAY_SECONDS,
            options={"require": ["exp"], "verify_iat": False, "verify_sub": False},  # which refuses null
        )
        user = msgspec.convert(claims.get("sub"), type=str | None)
        return Principal(user or None, scope_of_claim(claims.get("access"))), claims["exp"] + LEEWAY_SECONDS
