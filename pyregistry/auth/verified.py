"""Tokens that were verified before: a client shows the same one with each request of five minutes."""

import time
from collections import OrderedDict
from hashlib import blake2b

from pyregistry.auth.access import Principal

_REMEMBERED = 1_000


class VerifiedTokens:
    """By their hash, so that a dump of the memory holds none of them for long; each until it expires."""

    def __init__(self) -> None:
        self._principals: OrderedDict[bytes, tuple[Principal, float]] = OrderedDict()

    def get(self, token: str) -> Principal | None:
        """The caller whose token this is, if it is remembered and has not expired."""
        principal, expires_at = self._principals.get(_hash(token), (None, 0.0))
        return principal if time.time() < expires_at else None

    def put(self, token: str, principal: Principal, expires_at: float) -> None:
        """Remember; `expires_at` in seconds since the epoch."""
        self._principals[_hash(token)] = principal, expires_at
        while len(self._principals) > _REMEMBERED:
            self._principals.popitem(last=False)


def _hash(token: str) -> bytes:
    return blake2b(token.encode(errors="surrogateescape"), digest_size=32).digest()
