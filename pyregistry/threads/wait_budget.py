"""The time that a request's work may wait for locks, and the reasons to stop earlier.

The collector and the command line wait without a bound, a request for LOCK_SECONDS, in the pool for writes.
A reader never waits: it raises MustWait, and is called again as a writer.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from pyregistry.oci.errors import Unavailable

LOCK_SECONDS = 10.0
"""Seconds that a request waits for all its storage locks together before its response is a 503."""
LEAST_SECONDS = 1.0
"""Seconds of these that remain at least, after a long wait for a thread."""
CHECK_SECONDS = 0.2
"""Seconds between two checks that the client of a waiting request is still connected."""
RETRY = {"Retry-After": "10"}

IsGone = Callable[[], bool]
"""Returns True once a request no longer needs a response. Called from any thread."""


class MustWait(Exception):
    """A reader needs a lock: its work belongs to the pool for writes."""


@dataclass(slots=True)
class WaitBudget:
    """The bound of one call: `seconds` left for waiting. Time of its own work does not count."""

    seconds: float
    is_gone: IsGone
    is_abandoned: bool = False
    _deadline: float = 0.0

    def spend(self, seconds: float) -> None:
        """Count seconds before the call as waiting: for a thread, since all may wait for the same lock."""
        self.seconds = max(self.seconds - seconds, min(self.seconds, LEAST_SECONDS))

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Count the time until the end of the block as waiting."""
        begin = time.monotonic()
        self._deadline = begin + self.seconds
        try:
            yield
        finally:
            self.seconds -= time.monotonic() - begin

    def left(self) -> float:
        """Return the seconds until the next check; raise Unavailable, or ConnectionAbortedError without a client."""
        if self.is_abandoned or self.is_gone():
            raise ConnectionAbortedError("the client is gone")
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise Unavailable("another process holds a lock of the storage for too long", headers=RETRY)
        return min(left, CHECK_SECONDS)


IS_GONE: ContextVar[IsGone | None] = ContextVar("is_gone", default=None)
"""The check of the current request; None outside of one."""
_BUDGET: ContextVar[WaitBudget | None] = ContextVar("wait_budget", default=None)
_READS_ONLY: ContextVar[bool] = ContextVar("reads_only", default=False)


def wait_budget() -> WaitBudget | None:
    """Return the bound of the current call, None without one; raise MustWait in a reader."""
    if _READS_ONLY.get():
        raise MustWait
    return _BUDGET.get()


def begin_wait_budget() -> WaitBudget | None:
    """Bound the waits for locks in the current context, if it is a request's."""
    is_gone = IS_GONE.get()
    if is_gone is None:
        return None
    begun = WaitBudget(LOCK_SECONDS, is_gone)
    _BUDGET.set(begun)
    return begun


def limit_waits(seconds: float) -> None:
    """Bound the waits for locks in the current context to `seconds`."""
    _BUDGET.set(WaitBudget(seconds, lambda: False))


def read_only() -> None:
    """Forbid locks in the current context."""
    _READS_ONLY.set(True)
