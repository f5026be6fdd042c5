"""Bytes that come so fast that the event loop would only stand in their way."""

import asyncio
import os
import threading
import time
from abc import abstractmethod
from collections.abc import AsyncIterable, Callable, Sequence
from contextlib import AbstractContextManager
from typing import TypeVar

from pyregistry.oci.digest import Hash
from pyregistry.storage.budget import free_buffers
from pyregistry.storage.driver import Appender
from pyregistry.storage.rooms import rooms
from pyregistry.storage.threads import finish

T = TypeVar("T")
R = TypeVar("R")
Read = Callable[[memoryview], Sequence[memoryview]]
"""Reads into this memory what is there by now; where in it the body's parts are, nothing where the sender pauses.

Blocks, for a moment.
"""

SLICE = 0.02
"""Seconds after which a thread is free for other requests, however much there is to read."""
ENOUGH = 64 * 1024
"""Bytes; a sender that has not sent so many since the last look is slower than we are, and is waited for elsewhere."""
_PROCESSORS = len(os.sched_getaffinity(0))
BUFFER = 1024 * 1024
"""Bytes that a thread reads, writes and hashes at a time."""


class Flowing(AsyncIterable[bytes]):
    """Chunks which, between two of them, a thread can also read by itself."""

    @abstractmethod
    def straight(self) -> AbstractContextManager[Read | None]:
        """Until the end of the block, all that comes is read by this; None where that is not possible."""


async def pour(read: Read, appender: Appender, running: Hash | None, admit: Callable[[int], None]) -> bool:
    """Write and hash what is there, as long as there is something; whether there was at the end of the slice.

    `admit` raises for a size that the file must not grow to, before anything is written to it. It and `read` are
    called in threads, never side by side. After an OSError, `running` may know bytes that are not there.
    """
    stream = _Stream(read, appender, running, admit)
    loop = asyncio.get_running_loop()
    _streams.add(stream)
    pouring = loop.run_in_executor(rooms().flows, stream.pour)
    # Behind it in the queue of the pool: all threads could be helpers of what no thread is left for.
    helper = loop.run_in_executor(rooms().flows, stream.work) if len(_streams) < _PROCESSORS else None
    try:
        return await finish(pouring)
    finally:
        _streams.discard(stream)
        if helper is not None:
            helper.cancel()  # if no thread was free for it by now; otherwise it has ended by itself


class _Stream:
    """What one thread, or two, carry from a socket into a file and a hash.

    Who reads a part also writes and hashes it, while the cache of that processor has it; meanwhile the other thread is
    a step ahead or behind with the next part. They go hand over hand: nobody leaves a step before the next one is
    free, so that no part overtakes another.
    """

    def __init__(self, read: Read, appender: Appender, running: Hash | None, admit: Callable[[int], None]) -> None:
        self._read = read
        self._appender = appender
        self._running = running
        self._admit = admit
        self._reading, self._writing, self._hashing = threading.Lock(), threading.Lock(), threading.Lock()
        self._end = time.monotonic() + SLICE
        self._is_over = False
        self._flows = True
        self._failure: BaseException | None = None

    def pour(self) -> bool:
        """In the thread that there always is; see the function."""
        self.work()
        for step in (self._reading, self._writing, self._hashing):
            with step:  # the other thread may still be there, with the last part
                pass
        if self._failure is not None:
            raise self._failure
        return self._flows

    def work(self) -> None:
        """In any thread, until there is no more to read."""
        buffer = _take_buffer()
        while not self._is_over:
            self._carry_one(buffer)
        free_buffers.append(buffer)

    def _carry_one(self, buffer: memoryview) -> None:
        self._reading.acquire()
        part = self._attempt(self._next, buffer) or ()
        self._writing.acquire()
        self._reading.release()
        self._attempt(self._write, part)
        self._hashing.acquire()
        self._writing.release()
        self._attempt(self._hash, part)
        self._hashing.release()

    def _attempt(self, step: Callable[[T], R], given: T) -> R | None:
        if self._failure is None:
            try:
                return step(given)
            except BaseException as error:  # `pour` raises it, whichever thread met it
                self._failure, self._is_over = error, True
        return None

    def _next(self, buffer: memoryview) -> Sequence[memoryview]:
        if self._is_over:  # since this thread asked
            return ()
        part = self._read(buffer)
        self._flows = sum(map(len, part)) >= ENOUGH
        self._is_over = not self._flows or time.monotonic() >= self._end
        return part

    def _write(self, part: Sequence[memoryview]) -> None:
        if part:
            self._admit(self._appender.offset + sum(map(len, part)))
            self._appender.write_now(part)

    def _hash(self, part: Sequence[memoryview]) -> None:
        if self._running is not None:
            for piece in part:
                self._running.update(piece)


_streams: set[_Stream] = set()
"""All that flow now. Where they keep the processors busy, two threads for one are only in each other's way."""


def _take_buffer() -> memoryview:
    try:
        return free_buffers.pop()
    except IndexError:
        return memoryview(bytearray(BUFFER))
