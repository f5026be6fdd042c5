"""The patience of a request: how long its work may wait for a lock, and who stops waiting earlier.

A lock is waited for in two cases only: without a bound where no request asks (the collector, the command line), and
for LOCK_SECONDS in the room for writes. A reader never waits: it raises MustWait, and is called again as a writer.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from pyregistry.oci.errors import Unavailable

LOCK_SECONDS = 10.0
"""Seconds that a request waits for the locks of the storage, all of them together, before it is answered 503."""
LEAST_SECONDS = 1.0
"""Seconds that are left of these to a call which waited for a thread for so long."""
LOOK_SECONDS = 0.2
"""Seconds between two looks whether the client of a waiting request is still there."""
RETRY = {"Retry-After": "10"}

IsGone = Callable[[], bool]
"""True as soon as a request needs no answer any more. Called from any thread."""


class MustWait(Exception):
    """A reader met work that takes a lock: it belongs to the room for writes."""


@dataclass(slots=True)
class Patience:
    """The bound of one call: `seconds` that are left for waiting. Work that takes long by itself uses up none."""

    seconds: float
    is_gone: IsGone
    is_abandoned: bool = False
    _deadline: float = 0.0

    def spend(self, seconds: float) -> None:
        """Count seconds before the call began as waiting: for a thread, all of which may wait for the same lock."""
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
        """Seconds to wait until the next look; raise Unavailable, or ConnectionAbortedError without a client."""
        if self.is_abandoned or self.is_gone():
            raise ConnectionAbortedError("the client is gone")
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise Unavailable("another process holds a lock of the storage for too long", headers=RETRY)
        return min(left, LOOK_SECONDS)


IS_GONE: ContextVar[IsGone | None] = ContextVar("is_gone", default=None)
"""Of the request that is being answered; None outside of one."""
_PATIENCE: ContextVar[Patience | None] = ContextVar("patience", default=None)
_READS_ONLY: ContextVar[bool] = ContextVar("reads_only", default=False)


def patience() -> Patience | None:
    """Return the bound of the current call, None where there is no bound; raise MustWait in a reader."""
    if _READS_ONLY.get():
        raise MustWait
    return _PATIENCE.get()


def begin_patience() -> Patience | None:
    """Bound the locks of the current context from now on, if it is that of a request."""
    is_gone = IS_GONE.get()
    if is_gone is None:
        return None
    begun = Patience(LOCK_SECONDS, is_gone)
    _PATIENCE.set(begun)
    return begun


def begin_patience_of(seconds: float) -> None:
    """Bound the locks of the current context by a time of the caller's, in seconds."""
    _PATIENCE.set(Patience(seconds, lambda: False))


def read_only() -> None:
    """Let the current context take no lock."""
    _READS_ONLY.set(True)
