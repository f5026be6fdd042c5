"""How often an address may be wrong about a user, and about all users together.

An address is never stopped for what another one does, and a user never for what an address does: there is no state
that concerns a user alone, and so nobody can lock one out.
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
    """So many at once, and then so many a second."""

    burst: int
    per_second: float


USER_RATE = Rate(10, 1.0)
"""Wrong passwords for one user from one address."""
ADDRESS_RATE = Rate(100, 5.0)
"""Wrong passwords from one address: an office or a proxy is one address for all of its users."""
REFUSED_RATE = Rate(10_000, 50.0)
"""Attempts that were refused unseen, before the remembered credential of that user is refused there as well.

Without this bound the remembered credential would be a way to try passwords as fast as HTTP goes.
"""
ANSWERED_RATE = Rate(100, 10.0)
"""Refusals of one address that are answered at once: to answer a flood costs more than what it is refused."""
TRACKED = 10_000
"""Keys per table. One that is dropped would mostly have recovered: a burst of ten is forgotten after ten seconds."""


class Buckets:
    """Token buckets by key, each no more than the time at which it will be full again; the oldest are dropped."""

    def __init__(self, rate: Rate, clock: Callable[[], float]) -> None:
        self._interval = 1 / rate.per_second
        self._depth = rate.burst * self._interval
        self._clock = clock
        self._full_at = BoundedCache[Hashable, float](limit=TRACKED)

    def wait(self, key: Hashable) -> float:
        """Seconds until there is a token; 0.0: now."""
        full_at = self._full_at.get(key)
        if full_at is None:
            return 0.0
        wait = full_at + self._interval - self._depth - self._clock()
        return wait if wait > 1e-6 else 0.0  # sums of floats are not exact

    def take(self, key: Hashable) -> None:
        """Take one, whether it is there or not, but never get into debt."""
        now = self._clock()
        full_at = self._full_at.get(key)
        begin = now if full_at is None else max(now, full_at)
        self._full_at.put(key, min(begin + self._interval, now + self._depth))

    def give_back(self, key: Hashable) -> None:
        """It was not used."""
        full_at = self._full_at.get(key)
        if full_at is not None:
            self._full_at.put(key, full_at - self._interval)


class Throttle:
    """Counts what was wrong, by address and user. `address` is one of `network_of`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._by_user = Buckets(USER_RATE, clock)
        self._by_address = Buckets(ADDRESS_RATE, clock)
        self._refused = Buckets(REFUSED_RATE, clock)
        self._answered = Buckets(ANSWERED_RATE, clock)

    def wait(self, address: str, user: str) -> float:
        """Seconds until another password may be tried; 0.0: now."""
        # A user's own bucket first: whoever is stopped by it does not use up what others of the address need.
        return self._by_user.wait((address, user)) or self._by_address.wait(address)

    def charge(self, address: str, user: str) -> None:
        """A password is tried. It is counted before it is known to be wrong: many can be tried side by side."""
        self._by_user.take((address, user))
        self._by_address.take(address)

    def refund(self, address: str, user: str) -> None:
        """It was right."""
        self._by_user.give_back((address, user))
        self._by_address.give_back(address)

    def refuse(self, address: str, user: str) -> None:
        """A password was refused unseen."""
        self._refused.take((address, user))

    def is_answered_at_once(self, address: str) -> bool:
        """Count one refusal; return False if there were so many that its answer has to wait."""
        if self._answered.wait(address):
            return False
        self._answered.take(address)
        return True

    def is_besieged(self, address: str, user: str) -> bool:
        """So many were refused that even a remembered credential has to wait."""
        return self._refused.wait((address, user)) > 0.0


def whole_seconds(wait: float) -> str:
    """For `Retry-After`."""
    return str(max(1, math.ceil(wait)))


@lru_cache(maxsize=1024)
def network_of(address: str) -> str:
    """What counts as one address: of IPv6 the 64 bits that a customer gets; IPv4 in either notation."""
    try:
        parsed = IPv6Address(address)
    except ValueError:  # IPv4, or a unix socket's nothing
        return address
    return str(parsed.ipv4_mapped or IPv6Address(int(parsed) >> 64 << 64))
