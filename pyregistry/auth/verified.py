"""Tokens that were verified before: a client shows the same one with each request of five minutes."""

import time
from collections import OrderedDict
from hashlib import blake2b
from typing import NamedTuple

from pyregistry.auth.access import Principal

_REMEMBERED = 1_000


class Shown(NamedTuple):
    """The content of a token: its caller, and the stamp of that user's password when it was made."""

    principal: Principal
    stamp: str


class VerifiedTokens:
    """By their hash, so that a dump of the memory holds none of them for long; each until it expires."""

    def __init__(self) -> None:
        self._principals: OrderedDict[bytes, tuple[Shown, float]] = OrderedDict()

    def get(self, token: str) -> Shown | None:
        """Return what the token says, if it is remembered and has not expired."""
        shown, expires_at = self._principals.get(_hash(token), (None, 0.0))
        return shown if time.time() < expires_at else None

    def put(self, token: str, shown: Shown, expires_at: float) -> None:
        """Remember; `expires_at` in seconds since the epoch."""
        self._principals[_hash(token)] = shown, expires_at
        while len(self._principals) > _REMEMBERED:
            self._principals.popitem(last=False)


def _hash(token: str) -> bytes:
    return blake2b(token.encode(errors="surrogateescape"), digest_size=32).digest()
