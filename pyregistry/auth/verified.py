"""Tokens that were verified before: a client shows the same one with each request of five minutes."""

import time
from hashlib import blake2b
from typing import NamedTuple

from pyregistry.auth.access import Principal
from pyregistry.auth.scopes import TokenScope
from pyregistry.common.bounded_cache import BoundedCache

_MOST_REPOSITORIES = 50_000
"""Of all tokens together, of some 200 bytes each: a token of 64 KiB may be for thousands."""
_LEAST_WEIGHT = 50
"""Repositories as which a token counts at least, so that there are at most 1,000 tokens."""


class Shown(NamedTuple):
    """The content of a token: its caller, and the stamp of that user's password when it was made."""

    principal: Principal
    stamp: str


class VerifiedTokens:
    """By their hash, so that a dump of the memory holds none of them for long; each until it expires."""

    def __init__(self) -> None:
        self._tokens = BoundedCache[bytes, Shown](limit=_MOST_REPOSITORIES, weigh=_weight_of, clock=time.time)

    def get(self, token: str) -> Shown | None:
        """Return what the token says, if it is remembered and has not expired."""
        return self._tokens.get(_hash(token))

    def put(self, token: str, shown: Shown, expires_at: float) -> None:
        """Remember; `expires_at` in seconds since the epoch."""
        self._tokens.put(_hash(token), shown, expires_at)


def _weight_of(shown: Shown) -> int:
    scope = shown.principal.scope
    return max(_LEAST_WEIGHT, len(scope.actions) if isinstance(scope, TokenScope) else 0)


def _hash(token: str) -> bytes:
    return blake2b(token.encode(errors="surrogateescape"), digest_size=32).digest()
