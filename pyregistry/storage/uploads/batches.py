"""Writes the bytes of a request: gathered into batches, each written and hashed while the next arrives."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from pyregistry.oci.digest import Hash
from pyregistry.storage.seams.layout import StoragePath
from pyregistry.storage.seams.objects import Objects
from pyregistry.storage.seams.uploads import Bounds, DirectReader, storage_full
from pyregistry.storage.uploads.direct_read import Sink, copy_direct
from pyregistry.threads.offload import finish, in_thread
from pyregistry.threads.upload_budget import uploads

BATCH_BYTES = 1024 * 1024
"""Bytes gathered before a write and a hash: a thread call for each network chunk costs half the speed."""
FIRST_BATCH_BYTES = 128 * 1024
"""The same for the first batch: a direct reader takes over after it, which needs no such memory for each upload."""
_ON_LOOP_BYTES = 32 * 1024
"""Largest batch that is hashed on the event loop: quicker than handing it to a thread."""
_CHECK_SPACE_BYTES = 64 * 1024 * 1024
"""Most bytes between two checks of the free space; the next check comes before half of it is used."""


class AsyncSink(Sink, Protocol):
    """A sink for the event loop."""

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append all of `data`."""


class BatchWriter:
    """Writes and hashes one batch while the next one arrives. Holds two batches and the connection's buffer."""

    def __init__(self, sink: AsyncSink, running: Hash | None) -> None:
        self._sink = sink
        self._running = running
        self._last: asyncio.Task[None] | None = None

    async def write(self, batch: Sequence[bytes]) -> None:
        """Begin to write this batch when the one before is done; raise its error."""
        if self._last is not None:
            await self._last
        self._last = asyncio.create_task(self._write_and_hash(batch))

    async def write_direct(self, direct: DirectReader, admit: Callable[[int], None]) -> int:
        """Write without the event loop what arrives without a pause; return the size of the file then.

        For `admit` see `copy_direct`.
        """
        if self._last is not None:
            await self._last
        with direct() as read:
            flows = True
            while read is not None and flows:
                hashing, self._running = self._running, None  # as below
                flows = await copy_direct(read, self._sink, hashing, admit)
                self._running = hashing
        return self._sink.offset

    async def end(self) -> Hash | None:
        """Wait for the last batch; return the hash of all bytes if it is known. Raises the batch's error."""
        if self._last is not None:
            await finish(self._last)
        return self._running

    async def _write_and_hash(self, batch: Sequence[bytes]) -> None:
        hashing, self._running = self._running, None  # if the write fails, it may include bytes that are missing
        if size_of(batch) <= _ON_LOOP_BYTES:
            small = b"".join(batch)
            await self._sink.write(small)
            if hashing is not None:
                hashing.update(small)
        else:
            await in_thread(write_and_hash, self._sink, batch, hashing)
        self._running = hashing


def write_and_hash(sink: Sink, batch: Sequence[bytes], running: Hash | None) -> None:
    """Append a batch. After an error `running` may include bytes that are missing. Blocks."""
    # In one thread: two would compete with each other and with the event loop for the interpreter lock.
    sink.write_now([memoryview(part) for part in batch])
    if running is not None:
        for part in batch:
            running.update(part)


class SpaceCheck:
    """Checks from time to time that the storage has free space for the rest of a body."""

    def __init__(self, objects: Objects, path: StoragePath, begin: int) -> None:
        self._objects = objects
        self._path = path
        self._next = begin

    def is_due(self, size: int) -> bool:
        """Return True if it is time for a check, for a file that is about to have `size` bytes."""
        return size >= self._next

    def require(self, size: int) -> None:
        """Raise StorageFull without free space for a batch, if a check is due. Blocks."""
        if self.is_due(size):
            available = require_space(self._objects, self._path, BATCH_BYTES)
            self._next = size + min(_CHECK_SPACE_BYTES, max(available // 2, BATCH_BYTES))


@dataclass(frozen=True, slots=True)
class Receiving:
    """A body that is being received into an upload; no other request writes to that."""

    sink: AsyncSink
    bounds: Bounds
    space: SpaceCheck
    running: Hash | None
    """Hash of the bytes before the body, if it is known."""
    leave: Callable[[Hash], None]
    """Stores the hash for the next request. Blocks."""

    async def take(
        self, chunks: AsyncIterable[bytes], direct: DirectReader | None, *, commits: bool = False
    ) -> Hash | None:
        """Write the body; return the hash of all bytes if it is known. A commit stores it only if the body breaks off.

        Raises as Upload.append does.
        """
        writer, bounds = BatchWriter(self.sink, self.running), self.bounds
        received, whole, direct_from = bounds.begin, False, bounds.begin + FIRST_BATCH_BYTES
        try:
            async for batch in batches(chunks):
                received += size_of(batch)
                bounds.check(received)
                # Before that, a write is soon enough.
                if received - bounds.begin >= BATCH_BYTES and self.space.is_due(received):
                    await in_thread(self.space.require, received)
                await writer.write(batch)
                del batch  # while it waits for the next one, only the batch that is written takes memory
                if direct is not None and received >= direct_from:
                    received = await writer.write_direct(direct, self._admit)
                    direct_from = received + BATCH_BYTES
            whole = True
        finally:
            running = await writer.end()
            if running is not None and not (whole and commits):
                await in_thread(self.leave, running)
        bounds.require_length(self.sink.offset)
        return running

    def _admit(self, size: int) -> None:
        self.bounds.check(size)
        self.space.require(size)


def require_space(objects: Objects, path: StoragePath, size: int) -> int:
    """Return the free bytes at `path` above the reserve; raise StorageFull for fewer than `size`. Blocks."""
    available = objects.available_bytes(path)
    if available < size:
        raise storage_full()
    return available


def size_of(batch: Sequence[bytes]) -> int:
    """Return the size in bytes."""
    return sum(map(len, batch))


async def batches(chunks: AsyncIterable[bytes]) -> AsyncIterator[Sequence[bytes]]:
    """Gather chunks into batches of about BATCH_BYTES, the first of FIRST_BATCH_BYTES; less if many uploads run.

    Bytes before an error, or before an empty chunk, which means a pause, are passed on.
    """
    parts: list[bytes] = []
    size, most = 0, FIRST_BATCH_BYTES
    failure: Exception | None = None
    iterator = aiter(chunks)
    while failure is None:
        is_pause = False
        try:
            part = await anext(iterator)
        except Exception as error:  # raised again below, after the bytes that came before it
            failure = error
        else:
            parts.append(part)
            size += len(part)
            is_pause, part = not part, b""  # keeps no memory while it waits for the next one
        if size and (failure is not None or is_pause or size >= uploads.batch_size(most)):
            yielded, parts, size, most = parts, [], 0, BATCH_BYTES
            yield yielded
            del yielded
    if not isinstance(failure, StopAsyncIteration):
        raise failure
