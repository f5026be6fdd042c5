"""Tokens that were verified before: a client shows the same one with each request of five minutes."""

import time
from collections import OrderedDict
from hashlib import blake2b
from typing import NamedTuple

from pyregistry.auth.access import Principal
from pyregistry.auth.scopes import TokenScope

_MOST_TOKENS = 1_000
_MOST_REPOSITORIES = 50_000
"""Of all tokens together, of some 200 bytes each: a token of 64 KiB may be for thousands."""


class Shown(NamedTuple):
    """The content of a token: its caller, and the stamp of that user's password when it was made."""

    principal: Principal
    stamp: str


class VerifiedTokens:
    """By their hash, so that a dump of the memory holds none of them for long; each until it expires."""

    def __init__(self) -> None:
        self._principals: OrderedDict[bytes, tuple[Shown, float]] = OrderedDict()
        self._repositories = 0

    def get(self, token: str) -> Shown | None:
        """Return what the token says, if it is remembered and has not expired."""
        shown, expires_at = self._principals.get(_hash(token), (None, 0.0))
        return shown if time.time() < expires_at else None

    def put(self, token: str, shown: Shown, expires_at: float) -> None:
        """Remember; `expires_at` in seconds since the epoch."""
        key = _hash(token)
        self._forget(self._principals.pop(key, None))
        self._principals[key] = shown, expires_at
        self._repositories += _repositories_of(shown)
        while len(self._principals) > _MOST_TOKENS or self._repositories > _MOST_REPOSITORIES:
            self._forget(self._principals.popitem(last=False)[1])

    def _forget(self, entry: tuple[Shown, float] | None) -> None:
        if entry is not None:
            self._repositories -= _repositories_of(entry[0])


def _repositories_of(shown: Shown) -> int:
    scope = shown.principal.scope
    return len(scope.actions) if isinstance(scope, TokenScope) else 0


def _hash(token: str) -> bytes:
    return blake2b(token.encode(errors="surrogateescape"), digest_size=32).digest()
