"""Limits wrong passwords by address and user, and by address.

An address is never limited because of another one. There is no limit by user alone, so an attacker cannot lock out a
user.
"""

import math
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv6Address

from pyregistry.common.bounded_cache import BoundedCache


@dataclass(frozen=True, slots=True)
class Rate:
    """A token bucket: so many at once, then so many per second."""

    burst: int
    per_second: float


USER_RATE = Rate(10, 1.0)
"""Wrong passwords for one user from one address."""
ADDRESS_RATE = Rate(100, 5.0)
"""Wrong passwords from one address: an office or a proxy is one address for all of its users."""
REFUSED_RATE = Rate(10_000, 50.0)
"""Attempts rejected unchecked, from one address for one user, until the cached credential is rejected there as well.

Without this limit the cache would let passwords be tried at the speed of HTTP.
"""
ANSWERED_RATE = Rate(100, 10.0)
"""Rejections of one address that are sent without delay: to answer a flood costs more than the rejection."""
TRACKED = 10_000
"""Keys per table. An evicted one would mostly be full again: a burst of ten recovers in ten seconds."""


class Buckets:
    """Token buckets by key, each stored as the time at which it is full again; the oldest are evicted."""

    def __init__(self, rate: Rate, clock: Callable[[], float]) -> None:
        self._interval = 1 / rate.per_second
        self._depth = rate.burst * self._interval
        self._clock = clock
        self._full_at = BoundedCache[Hashable, float](limit=TRACKED)

    def wait(self, key: Hashable) -> float:
        """Return the seconds until a token is available; 0.0: now."""
        full_at = self._full_at.get(key)
        if full_at is None:
            return 0.0
        wait = full_at + self._interval - self._depth - self._clock()
        return wait if wait > 1e-6 else 0.0  # sums of floats are not exact

    def take(self, key: Hashable) -> None:
        """Take a token if there is one; the bucket never gets into debt."""
        now = self._clock()
        full_at = self._full_at.get(key)
        begin = now if full_at is None else max(now, full_at)
        self._full_at.put(key, min(begin + self._interval, now + self._depth))

    def refund(self, key: Hashable) -> None:
        """Return a token that was not used."""
        full_at = self._full_at.get(key)
        if full_at is not None:
            self._full_at.put(key, full_at - self._interval)


class Throttle:
    """Counts wrong passwords by address and user. `address` is a result of `network_of`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._by_user = Buckets(USER_RATE, clock)
        self._by_address = Buckets(ADDRESS_RATE, clock)
        self._refused = Buckets(REFUSED_RATE, clock)
        self._answered = Buckets(ANSWERED_RATE, clock)

    def wait(self, address: str, user: str) -> float:
        """Return the seconds until another password may be tried; 0.0: now."""
        # The user's bucket first: if it is empty, the attempt does not use up the address's, which others need.
        return self._by_user.wait((address, user)) or self._by_address.wait(address)

    def charge(self, address: str, user: str) -> None:
        """Count an attempt. It counts before the password is known to be wrong, as many can run in parallel."""
        self._by_user.take((address, user))
        self._by_address.take(address)

    def refund(self, address: str, user: str) -> None:
        """Undo `charge` for a right password."""
        self._by_user.refund((address, user))
        self._by_address.refund(address)

    def refuse(self, address: str, user: str) -> None:
        """Count a password that was rejected unchecked."""
        self._refused.take((address, user))

    def is_answered_at_once(self, address: str) -> bool:
        """Count a rejection; return False if there were so many that its response must be delayed."""
        if self._answered.wait(address):
            return False
        self._answered.take(address)
        return True

    def is_locked_out(self, address: str, user: str) -> bool:
        """Return True after so many rejections that even a cached credential must wait."""
        return self._refused.wait((address, user)) > 0.0


def whole_seconds(wait: float) -> str:
    """Return the value of `Retry-After`."""
    return str(max(1, math.ceil(wait)))


@lru_cache(maxsize=1024)
def network_of(address: str) -> str:
    """Return the network that counts as one address: for IPv6 the 64 bits of a customer; IPv4 in either notation."""
    try:
        parsed = IPv6Address(address)
    except ValueError:  # IPv4, or empty for a unix socket
        return address
    return str(parsed.ipv4_mapped or IPv6Address(int(parsed) >> 64 << 64))
