"""Bytes that come so fast that the event loop would only stand in their way."""

import asyncio
import threading
import time
from abc import abstractmethod
from collections import deque
from collections.abc import AsyncIterable, Callable, Sequence
from contextlib import AbstractContextManager

from pyregistry.oci.digest import Hash
from pyregistry.storage.driver import Appender
from pyregistry.storage.threads import finish

Read = Callable[[], Sequence[memoryview]]
"""What is there by now, valid until the next call but one; nothing where the sender pauses. Blocks, for a moment."""

SLICE = 0.01
"""Seconds after which a thread is free for other requests, however much there is to read."""
ENOUGH = 64 * 1024
"""Bytes; a sender that has not sent so many since the last look is slower than we are, and is waited for elsewhere."""


class Flowing(AsyncIterable[bytes]):
    """Chunks which, between two of them, a thread can also read by itself."""

    @abstractmethod
    def straight(self) -> AbstractContextManager[Read | None]:
        """Until the end of the block, all that comes is read by this; None where that is not possible."""


async def pour(read: Read, appender: Appender, running: Hash | None, admit: Callable[[int], None]) -> bool:
    """Write and hash what is there, as long as there is something; whether there was at the end of the slice.

    `admit` raises for a size that the file must not grow to, before anything is written to it. It and `read` are
    called in a thread. After an OSError, `running` may know bytes that are not there.
    """
    hashing = _Hashing(running)
    loop = asyncio.get_running_loop()
    pouring = loop.run_in_executor(None, _pour, read, appender, hashing, admit)
    # Behind it in the queue of the pool: all threads could be helpers of what no thread is left for.
    helper = loop.run_in_executor(None, hashing.help) if running is not None else None
    try:
        return await finish(pouring)
    finally:
        if helper is not None:
            helper.cancel()  # if no thread was free for it by now; otherwise it has ended by itself


def _pour(read: Read, appender: Appender, hashing: "_Hashing", admit: Callable[[int], None]) -> bool:
    end = time.monotonic() + SLICE
    try:
        while pieces := read():
            size = sum(map(len, pieces))
            admit(appender.offset + size)
            hashing.add(pieces)
            appender.write_now(pieces)
            if size < ENOUGH:
                return False
            if time.monotonic() >= end:
                return True
            hashing.settle(1)
        return False
    finally:
        hashing.end()


class _Hashing:
    """Hashes beside the thread that writes; where no other thread is free for it, that one does it itself."""

    def __init__(self, running: Hash | None) -> None:
        self._running = running
        self._waiting: deque[Sequence[memoryview]] = deque()
        self._turn = threading.Lock()
        """Held by whoever takes from the queue, until that is hashed: in its order."""
        self._added = threading.Semaphore(0)
        self._ended = False

    def add(self, pieces: Sequence[memoryview]) -> None:
        """Hash this as soon as possible."""
        if self._running is not None:
            self._waiting.append(pieces)
            self._added.release()

    def settle(self, most: int) -> None:
        """Return when at most so many of what was added are not yet hashed."""
        with self._turn:
            while len(self._waiting) > most:
                self._hash_next()

    def end(self) -> None:
        """Return when all is hashed."""
        self.settle(0)
        self._ended = True
        self._added.release()

    def help(self) -> None:
        """In another thread, until the end."""
        while True:
            self._added.acquire()
            if self._ended:
                return
            with self._turn:
                if self._waiting:
                    self._hash_next()

    def _hash_next(self) -> None:
        assert self._running is not None
        for piece in self._waiting.popleft():
            self._running.update(piece)
