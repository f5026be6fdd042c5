"""Fast uploads: threads read the socket, write and hash, without the event loop."""

import asyncio
import os
import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from pyregistry.oci.digest import Hash
from pyregistry.storage.seams.uploads import Read
from pyregistry.threads.offload import finish
from pyregistry.threads.pools import pools
from pyregistry.threads.upload_budget import free_buffers

T = TypeVar("T")
R = TypeVar("R")
SLICE_SECONDS = 0.02
"""Longest time that a thread works for one upload before it is free for other requests."""
ENOUGH_BYTES = 64 * 1024
"""Least bytes of a read; the event loop waits for a sender that has sent fewer since the read before."""
_PROCESSORS = len(os.sched_getaffinity(0))
BUFFER_BYTES = 1024 * 1024
"""Bytes that a thread reads, writes and hashes at a time."""


class Sink(Protocol):
    """The end of an upload, to which one request writes."""

    @property
    def offset(self) -> int:
        """Size of the upload, in bytes."""

    def write_now(self, pieces: Sequence[memoryview]) -> None:
        """Append all of these; after an error the bytes written so far stay. Blocks."""


async def copy_direct(read: Read, sink: Sink, running: Hash | None, admit: Callable[[int], None]) -> bool:
    """Read, write and hash as long as bytes arrive, for one slice; return False if the sender paused.

    `admit` raises for a size that the file must not grow to, before the write. It and `read` are called in threads,
    never concurrently. After an OSError, `running` may include bytes that are missing.
    """
    stream = _Pipeline(read, sink, running, admit)
    loop = asyncio.get_running_loop()
    _pipelines.add(stream)
    copying = loop.run_in_executor(pools().flows, stream.copy)
    # After it in the queue of the pool: else helpers could take all threads, and leave none for those they help.
    helper = loop.run_in_executor(pools().flows, stream.work) if len(_pipelines) < _PROCESSORS else None
    try:
        return await finish(copying)
    finally:
        _pipelines.discard(stream)
        if helper is not None:
            helper.cancel()  # if no thread was free for it; otherwise it has ended by itself


class _Pipeline:
    """A read-write-hash pipeline from a socket into a file, run by one or two threads.

    A thread that reads a part also writes and hashes it, while the cache of that processor has it. The other thread is
    then a step away with the next part. A thread leaves a step only when the next one is free, so that no part
    overtakes another.
    """

    def __init__(self, read: Read, sink: Sink, running: Hash | None, admit: Callable[[int], None]) -> None:
        self._read = read
        self._sink = sink
        self._running = running
        self._admit = admit
        self._reading, self._writing, self._hashing = threading.Lock(), threading.Lock(), threading.Lock()
        self._end = time.monotonic() + SLICE_SECONDS
        self._is_over = False
        self._flows = True
        self._failure: BaseException | None = None

    def copy(self) -> bool:
        """Run in the first thread; see `copy_direct`."""
        self.work()
        for step in (self._reading, self._writing, self._hashing):
            with step:  # the other thread may still be in it, with the last part
                pass
        if self._failure is not None:
            raise self._failure
        return self._flows

    def work(self) -> None:
        """Run in any thread, until there is no more to read."""
        buffer = _take_buffer()
        while not self._is_over:
            self._carry_one(buffer)
        free_buffers.append(buffer)

    def _carry_one(self, buffer: memoryview) -> None:
        self._reading.acquire()
        part = self._attempt(self._next, buffer) or ()
        self._writing.acquire()
        self._reading.release()
        written = self._attempt(self._write, part) or ()
        self._hashing.acquire()
        self._writing.release()
        # Also if the other thread has failed meanwhile: the hash is that of the bytes in the file.
        self._attempt(self._hash, written, in_any_case=True)
        self._hashing.release()

    def _attempt(self, step: Callable[[T], R], given: T, *, in_any_case: bool = False) -> R | None:
        if in_any_case or self._failure is None:
            try:
                return step(given)
            except BaseException as error:  # of any thread; `copy` raises it
                self._failure, self._is_over = self._failure or error, True
        return None

    def _next(self, buffer: memoryview) -> Sequence[memoryview]:
        if self._is_over:  # since this thread asked
            return ()
        part = self._read(buffer)
        self._flows = sum(map(len, part)) >= ENOUGH_BYTES
        self._is_over = not self._flows or time.monotonic() >= self._end
        return part

    def _write(self, part: Sequence[memoryview]) -> Sequence[memoryview]:
        if part:
            self._admit(self._sink.offset + sum(map(len, part)))
            self._sink.write_now(part)
        return part

    def _hash(self, part: Sequence[memoryview]) -> None:
        if self._running is not None:
            for piece in part:
                self._running.update(piece)


_pipelines: set[_Pipeline] = set()
"""Active direct reads. While they keep all processors busy, a second thread for one of them only costs time."""


def _take_buffer() -> memoryview:
    try:
        return free_buffers.pop()
    except IndexError:
        return memoryview(bytearray(BUFFER_BYTES))
