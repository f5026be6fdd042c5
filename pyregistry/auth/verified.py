"""A cache of verified tokens: a client sends the same one with each request for five minutes."""

import time
from hashlib import blake2b
from typing import NamedTuple

from pyregistry.auth.access import Principal
from pyregistry.auth.scopes import TokenScope
from pyregistry.common.bounded_cache import BoundedCache

_MOST_REPOSITORIES = 50_000
"""Limit for all tokens together, at some 200 bytes each: a token of 64 KiB may have thousands of them."""
_LEAST_WEIGHT = 50
"""Repositories for which a token counts at least, so that there are at most 1,000 tokens."""


class TokenContent(NamedTuple):
    """The content of a token: its caller, and the stamp of that user's password when it was made."""

    principal: Principal
    stamp: str


class VerifiedTokens:
    """Tokens by their hash, so that a memory dump does not reveal them; each is kept until it expires."""

    def __init__(self) -> None:
        self._tokens = BoundedCache[bytes, TokenContent](limit=_MOST_REPOSITORIES, weigh=_weight_of, clock=time.time)

    def get(self, token: str) -> TokenContent | None:
        """Return the content of the token if it is cached and not expired."""
        return self._tokens.get(_hash(token))

    def put(self, token: str, content: TokenContent, expires_at: float) -> None:
        """Store a token; `expires_at` in seconds since the epoch."""
        self._tokens.put(_hash(token), content, expires_at)


def _weight_of(content: TokenContent) -> int:
    scope = content.principal.scope
    return max(_LEAST_WEIGHT, len(scope.actions) if isinstance(scope, TokenScope) else 0)


def _hash(token: str) -> bytes:
    return blake2b(token.encode(errors="surrogateescape"), digest_size=32).digest()
