"""Bounds the bytes in memory that wait for clients to send or read them, in total for each worker.

Above the bound the largest stalled request is evicted; if none stalls, the largest of all.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from pyregistry.oci.errors import Unavailable
from pyregistry.threads.upload_budget import BUDGET_BYTES, uploads
from pyregistry.threads.wait_budget import RETRY

FREE_BYTES = 16 * 1024
"""Bytes that each request may hold without being counted: most manifests are smaller."""
_STEP_BYTES = 16 * 1024
"""Bytes a second, below which a client stalls: a few bytes now and then are not progress."""
_STALL_SECONDS = 1.0


class Holding:
    """Bytes that one request holds."""

    def __init__(self, holdings: "Holdings") -> None:
        self._holdings = holdings
        self.size = 0
        self.moved_at = asyncio.get_running_loop().time()
        """Time of the loop at which the client last completed _STEP_BYTES."""
        self._moved_size = 0
        self._eviction: asyncio.Timeout | None = None

    @property
    def counted(self) -> int:
        """Bytes that count against the bound."""
        return self.size if self.size > FREE_BYTES else 0

    @property
    def is_evictable(self) -> bool:
        """True while the request waits for its client."""
        return self._eviction is not None

    def add(self, size: int) -> None:
        """Hold `size` more bytes; raise Unavailable above the bound if no other request can be evicted."""
        before = self.counted
        self.size += size
        if self.size - self._moved_size >= _STEP_BYTES:
            self._moved_size, self.moved_at = self.size, asyncio.get_running_loop().time()
        self._holdings.grow(self, self.counted - before)

    def evictable(self) -> asyncio.Timeout:
        """Return a context that raises TimeoutError when the request is evicted."""
        self._eviction = asyncio.timeout(None)
        return self._eviction

    def pin(self) -> None:
        """Prevent the eviction: all bytes have arrived."""
        self._eviction = None

    def evict(self) -> None:
        """End the wait for the client."""
        if self._eviction is not None:
            self._eviction.reschedule(asyncio.get_running_loop().time())
            self._eviction = None


class Holdings:
    """Counts the bytes of all such requests of a worker. Belongs to the event loop."""

    def __init__(self, refusal: str, max_bytes: int = BUDGET_BYTES) -> None:
        """Allow `max_bytes`; `refusal` is the detail of a 503."""
        self._refusal, self._max_bytes = refusal, max_bytes
        self._all: set[Holding] = set()
        self._total = 0

    @contextmanager
    def hold(self) -> Iterator[Holding]:
        """Count the bytes of one request until the block ends."""
        holding = Holding(self)
        self._all.add(holding)
        try:
            yield holding
        finally:
            self._release(holding)

    def grow(self, holding: Holding, size: int) -> None:
        """Count `size` more bytes of this request, and evict others; raise Unavailable if it must end itself."""
        if holding not in self._all:  # it was evicted, and has not noticed yet
            raise self.refusal()
        self._total += size
        while self._total > self._max_bytes:
            largest = self._largest(holding)
            self._release(largest)
            if largest is holding:
                raise self.refusal()
            largest.evict()

    def refusal(self) -> Unavailable:
        """Return the 503 of an evicted request."""
        return Unavailable(self._refusal, headers=RETRY)

    def _largest(self, growing: Holding) -> Holding:
        stalled_before = asyncio.get_running_loop().time() - _STALL_SECONDS
        candidates = [each for each in self._all if each is growing or (each.is_evictable and each.counted)]
        return max(candidates, key=lambda each: (each.moved_at < stalled_before, each.size))

    def _release(self, holding: Holding) -> None:
        if holding in self._all:
            self._all.discard(holding)
            self._total -= holding.counted
            uploads.freed(holding.counted)
