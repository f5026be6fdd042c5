"""The registry's own token endpoint: tokens for users of the htpasswd file and for anonymous callers.

With a Basic challenge docker does not pull without a login, and without a challenge it never sends a password. Only a
Bearer challenge lets all pull and some push. A token names its user and purpose. The rules are checked at each request,
so a token does not grant what they no longer allow.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jwt

from pyregistry.auth.access import Access, Authenticator, BaseAuthenticator, Fault, Origin, Passwords, Principal, quoted
from pyregistry.auth.credentials import parse_basic
from pyregistry.auth.jwt_payloads import MAX_TOKEN_BYTES, CompressingJWT
from pyregistry.auth.keys import TOKEN_SECONDS, KeyRing
from pyregistry.auth.policy_file import CurrentPolicy
from pyregistry.auth.scopes import (
    TOKEN_PATH,
    AnonymousScope,
    bearer_challenge,
    bearer_token,
    format_scopes,
    grants,
    scope_of_claim,
)
from pyregistry.auth.verified import TokenContent, VerifiedTokens
from pyregistry.common.overriding import override
from pyregistry.oci.errors import RequestInvalid, Unauthorized
from pyregistry.threads.offload import in_reader

SERVICE = "pyregistry"
"""`service` of the challenge, and the audience of the tokens."""
_ALGORITHM = "HS256"
"""A shared secret is enough, as the registry makes and checks the tokens: see docs/decisions/0011."""
_LARGE_BYTES = 4_000
"""Bytes above which a token is decoded in a thread."""
_SLICE_SECONDS = 0.001
"""Seconds of checking scopes before the event loop runs other tasks."""

_jwt = CompressingJWT()


@dataclass(frozen=True, slots=True)
class Issued:
    """A token; `issued_at` in seconds since the epoch, `expires_in` in seconds after it."""

    token: str
    scope: str
    issued_at: int
    expires_in: int = TOKEN_SECONDS


class TokenService:
    """Issues and verifies tokens."""

    def __init__(self, passwords: Passwords, realm: str, keys: KeyRing, policy: CurrentPolicy) -> None:
        self._passwords = passwords
        self._realm = realm
        self._keys = keys
        self._policy = policy
        self._verified = VerifiedTokens()

    async def identify(self, authorization: Sequence[str], address: str) -> Principal:
        """Return the user of a Basic header, or the anonymous caller without one; raise Unauthorized."""
        if not authorization:
            return self._anonymous()
        credential = parse_basic(authorization)
        if credential is None:
            raise self._unauthorized()
        return await self.sign_in(*credential, address)

    async def sign_in(self, user: str, password: bytes, address: str) -> Principal:
        """Return the user of that name and password; raise Unauthorized, TooManyRequests."""
        well_formed = user and len(user) <= 255 and len(password) <= 1024 and b"\0" not in password
        if not well_formed:
            raise self._unauthorized()
        try:
            return await self._passwords.verify(user, password, address)
        except Unauthorized as error:
            raise self._unauthorized() from error

    async def issue(self, principal: Principal, asked: Sequence[Access]) -> Issued:
        """Return a token for those of the requested accesses that the caller has.

        Raises RequestInvalid if it would be too long for a header.
        """
        allowed = await self._allowed(principal, asked)
        now = int(time.time())
        claims = {
            "iss": SERVICE,
            "aud": SERVICE,
            "sub": principal.name or "",
            "iat": now,
            "exp": now + TOKEN_SECONDS,
            "stamp": self._stamp(principal),
        }
        return await in_reader(self._issued, claims, allowed)

    async def _allowed(self, principal: Principal, asked: Sequence[Access]) -> list[Access]:
        now = asyncio.get_running_loop().time
        allowed, pause = list[Access](), now() + _SLICE_SECONDS
        for access in asked:
            if self._policy.allows(principal, access):
                allowed.append(access)
            if now() > pause:
                await asyncio.sleep(0)
                pause = now() + _SLICE_SECONDS
        return allowed

    def _issued(self, claims: dict[str, Any], allowed: Sequence[Access]) -> Issued:
        key = self._keys.signing()
        access = [{"type": grant.type, "name": grant.name, "actions": grant.actions} for grant in grants(allowed)]
        token = _jwt.encode_claims({**claims, "access": access}, key.secret, _ALGORITHM, key.id)
        if len(token) > MAX_TOKEN_BYTES:
            raise RequestInvalid("a token for so many scopes would not fit into a header; ask for fewer at a time")
        return Issued(token, format_scopes(allowed), claims["iat"])

    async def authenticate(self, token: str) -> Principal:
        """Return the token's user; raise Unauthorized if it is not ours, expired, or its user was removed."""
        content = self._verified.get(token)
        if content is None:
            try:
                content, expires_at = await self._decode(token)
            except OSError:  # of the storage of the keys
                raise
            except Exception as error:  # any error of a parser: this is not a token
                raise Unauthorized from error
            self._verified.put(token, content, expires_at)
        if content.stamp != self._stamp(content.principal):
            raise Unauthorized
        return content.principal

    def recognize(self, token: str) -> Principal | None:
        """Return the user of a token that was verified before and is still valid."""
        content = self._verified.get(token)
        return None if content is None or content.stamp != self._stamp(content.principal) else content.principal

    def _stamp(self, principal: Principal) -> str | None:
        """Return a stamp that ends tokens of a removed user or an old password; empty for anonymous callers."""
        return "" if principal.name is None else self._passwords.stamp(principal.name)

    async def _decode(self, token: str) -> tuple[TokenContent, float]:
        key_id = jwt.get_unverified_header(token)["kid"]
        key = self._keys.known(key_id)
        if key is None:
            key = await in_reader(self._keys.find, key_id)
        if key is None:
            raise Unauthorized
        # To decode a large token takes milliseconds.
        return await in_reader(_read, token, key.secret) if len(token) > _LARGE_BYTES else _read(token, key.secret)

    def _anonymous(self) -> Principal:
        if not self._policy.lets_anonymous_in():
            raise self._unauthorized()
        return Principal()

    def _unauthorized(self) -> Unauthorized:
        return Unauthorized(headers={"WWW-Authenticate": f"Basic realm={quoted(self._realm)}"})


def _read(token: str, secret: bytes) -> tuple[TokenContent, float]:
    claims = _jwt.decode(
        token,
        secret,
        algorithms=[_ALGORITHM],
        audience=SERVICE,
        issuer=SERVICE,
        options={"require": ["exp", "sub", "access", "stamp"], "verify_iat": False},
    )
    principal = Principal(claims["sub"] or None, scope_of_claim(claims["access"]))
    return TokenContent(principal, claims["stamp"]), float(claims["exp"])


class TokenAuthenticator(BaseAuthenticator):
    """Accepts tokens and passwords; its challenge asks for tokens only if the policy lets anonymous callers in."""

    def __init__(self, tokens: TokenService, passwords: Authenticator, policy: CurrentPolicy) -> None:
        """Make the authenticator; the caller starts and closes `passwords`."""
        self._tokens = tokens
        self._passwords = passwords
        self._policy = policy

    @override
    async def authenticate(self, authorization: Sequence[str], address: str) -> Principal:
        token = bearer_token(authorization)
        if token is not None:
            return await self._tokens.authenticate(token)
        if not authorization and self._policy.lets_anonymous_in():
            return Principal(scope=AnonymousScope())
        return await self._passwords.authenticate(authorization, address)

    @override
    def recognize(self, authorization: Sequence[str], address: str) -> Principal | None:
        token = bearer_token(authorization)
        if token is not None:
            return self._tokens.recognize(token)
        if not authorization and self._policy.lets_anonymous_in():
            return Principal(scope=AnonymousScope())
        return self._passwords.recognize(authorization, address)

    @override
    def challenge(self, wanted: Sequence[Access], origin: Origin, fault: Fault | None) -> str | None:
        if not self._policy.lets_anonymous_in():
            return self._passwords.challenge(wanted, origin, fault)
        return bearer_challenge(f"{origin}{TOKEN_PATH}", SERVICE, wanted, fault)
