"""The token endpoint inside the registry: tokens for those whose password is in the htpasswd file, and for anybody.

With a Basic challenge docker does not pull without a login, and without a challenge it never sends a password; only
a Bearer challenge lets everybody pull and some push. A token says who asked and for what; what that user may do is
decided anew at each request, so that a token gives nothing which the rules have taken away.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jwt

from pyregistry.auth.access import Access, Authenticator, BaseAuthenticator, Fault, Origin, Passwords, Principal, quoted
from pyregistry.auth.credentials import parse_basic
from pyregistry.auth.jwt_payloads import LONGEST_TOKEN, CompressingJWT
from pyregistry.auth.keys import TOKEN_SECONDS, KeyRing
from pyregistry.auth.policy_file import CurrentPolicy
from pyregistry.auth.scopes import (
    TOKEN_PATH,
    WithoutToken,
    bearer_challenge,
    bearer_token,
    format_scopes,
    grants,
    scope_of_claim,
)
from pyregistry.auth.verified import Shown, VerifiedTokens
from pyregistry.oci.errors import RequestInvalid, Unauthorized
from pyregistry.threads.offload import in_reader

SERVICE = "pyregistry"
"""`service` of the challenge, and the audience of the tokens."""
_ALGORITHM = "HS256"
"""Who checks a token is who made it, so that one secret does: see docs/decisions/0011."""
_LARGE = 4_000
"""Bytes of a token that is read in a thread."""
_SLICE_SECONDS = 0.001
"""For which the rules are asked about many scopes, until others get their turn."""

_jwt = CompressingJWT()


@dataclass(frozen=True, slots=True)
class Issued:
    """A token, with the times in seconds: `issued_at` since the epoch, `expires_in` from then on."""

    token: str
    scope: str
    issued_at: int
    expires_in: int = TOKEN_SECONDS


class TokenService:
    """Makes tokens and knows them again."""

    def __init__(self, passwords: Passwords, realm: str, keys: KeyRing, policy: CurrentPolicy) -> None:
        self._passwords = passwords
        self._realm = realm
        self._keys = keys
        self._policy = policy
        self._verified = VerifiedTokens()

    async def identify(self, authorization: Sequence[str], address: str) -> Principal:
        """Who asks for a token: the user of a Basic header, or anonymous without one; raises Unauthorized."""
        if not authorization:
            return self._anonymous()
        credential = parse_basic(authorization)
        if credential is None:
            raise self._unauthorized()
        return await self.sign_in(*credential, address)

    async def sign_in(self, user: str, password: bytes, address: str) -> Principal:
        """The user of that name and password; raises Unauthorized, TooManyRequests."""
        well_formed = user and len(user) <= 255 and len(password) <= 1024 and b"\0" not in password
        if not well_formed:
            raise self._unauthorized()
        try:
            return await self._passwords.verify(user, password, address)
        except Unauthorized as error:
            raise self._unauthorized() from error

    async def issue(self, principal: Principal, asked: Sequence[Access]) -> Issued:
        """A token for as much of what was asked for as the caller may do.

        Raises RequestInvalid where that is too much for a header, in which the token has to come back.
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
        if len(token) > LONGEST_TOKEN:
            raise RequestInvalid("a token for so many scopes would not fit into a header; ask for fewer at a time")
        return Issued(token, format_scopes(allowed), claims["iat"])

    async def authenticate(self, token: str) -> Principal:
        """Whose token this is; raises Unauthorized for one that is not ours, that expired or whose user is gone."""
        shown = self._verified.get(token)
        if shown is None:
            try:
                shown, expires_at = await self._decode(token)
            except OSError:  # of the storage that has the keys
                raise
            except Exception as error:  # whatever a parser makes of a stranger's bytes, they are no token
                raise Unauthorized from error
            self._verified.put(token, shown, expires_at)
        if shown.stamp != self._stamp(shown.principal):
            raise Unauthorized
        return shown.principal

    def recognize(self, token: str) -> Principal | None:
        """Whose token this is, if it was shown before and still counts."""
        shown = self._verified.get(token)
        return None if shown is None or shown.stamp != self._stamp(shown.principal) else shown.principal

    def _stamp(self, principal: Principal) -> str | None:
        """Return what ends the tokens of a removed user, or of an old password; empty for anonymous callers."""
        return "" if principal.name is None else self._passwords.stamp(principal.name)

    async def _decode(self, token: str) -> tuple[Shown, float]:
        key_id = jwt.get_unverified_header(token)["kid"]
        key = self._keys.known(key_id)
        if key is None:
            key = await in_reader(self._keys.find, key_id)
        if key is None:
            raise Unauthorized
        # What a large token says takes milliseconds to be read.
        return await in_reader(_read, token, key.secret) if len(token) > _LARGE else _read(token, key.secret)

    def _anonymous(self) -> Principal:
        if not self._policy.lets_anonymous_in():
            raise self._unauthorized()
        return Principal()

    def _unauthorized(self) -> Unauthorized:
        return Unauthorized(headers={"WWW-Authenticate": f"Basic realm={quoted(self._realm)}"})


def _read(token: str, secret: bytes) -> tuple[Shown, float]:
    claims = _jwt.decode(
        token,
        secret,
        algorithms=[_ALGORITHM],
        audience=SERVICE,
        issuer=SERVICE,
        options={"require": ["exp", "sub", "access", "stamp"], "verify_iat": False},
    )
    principal = Principal(claims["sub"] or None, scope_of_claim(claims["access"]))
    return Shown(principal, claims["stamp"]), float(claims["exp"])


class TokenAuthenticator(BaseAuthenticator):
    """Tokens and passwords where a policy lets anonymous callers in; passwords alone, with their challenge, if not."""

    def __init__(self, tokens: TokenService, passwords: Authenticator, policy: CurrentPolicy) -> None:
        """`passwords` has a life cycle of its own, and is started and closed by its maker."""
        self._tokens = tokens
        self._passwords = passwords
        self._policy = policy

    async def authenticate(self, authorization: Sequence[str], address: str) -> Principal:
        """See Authenticator.authenticate."""
        token = bearer_token(authorization)
        if token is not None:
            return await self._tokens.authenticate(token)
        if not authorization and self._policy.lets_anonymous_in():
            return Principal(scope=WithoutToken())
        return await self._passwords.authenticate(authorization, address)

    def recognize(self, authorization: Sequence[str], address: str) -> Principal | None:
        """See Authenticator.recognize."""
        token = bearer_token(authorization)
        if token is not None:
            return self._tokens.recognize(token)
        if not authorization and self._policy.lets_anonymous_in():
            return Principal(scope=WithoutToken())
        return self._passwords.recognize(authorization, address)

    def challenge(self, wanted: Sequence[Access], origin: Origin, fault: Fault | None) -> str | None:
        """See Authenticator.challenge."""
        if not self._policy.lets_anonymous_in():
            return self._passwords.challenge(wanted, origin, fault)
        return bearer_challenge(f"{origin}{TOKEN_PATH}", SERVICE, wanted, fault)
