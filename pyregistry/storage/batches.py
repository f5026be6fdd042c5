"""How the bytes of a request become writes: gathered into batches, each written and hashed while the next arrives."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Sequence

from pyregistry.oci.digest import Hash
from pyregistry.oci.errors import StorageFull
from pyregistry.storage.budget import uploads
from pyregistry.storage.driver import Appender, Driver
from pyregistry.storage.flowing import Flowing, pour
from pyregistry.storage.layout import StoragePath
from pyregistry.storage.threads import finish, in_thread

BATCH = 1024 * 1024
"""Bytes gathered before a write and a hash: a thread hop for each chunk of the network costs half the speed."""
FIRST = 128 * 1024
"""The same for the first: behind it comes the way past the event loop, which needs no such memory for each upload."""
_SMALL = 32 * 1024
"""Bytes that are hashed on the event loop: in less time than it takes to hand them to a thread."""
_CHECK_ROOM = 64 * 1024 * 1024
"""Bytes received between two looks at the free space, at most: it is looked at again before half of it is used."""


class Taking:
    """Writes and hashes one batch while the next one arrives; in memory are two, and what the connection holds."""

    def __init__(self, appender: Appender, running: Hash | None) -> None:
        self._appender = appender
        self._running = running
        self._last: asyncio.Task[None] | None = None

    async def take(self, batch: Sequence[bytes]) -> None:
        """Begin with this batch as soon as the one before is done; raises what that one met."""
        if self._last is not None:
            await self._last
        self._last = asyncio.create_task(self._write_and_hash(batch))

    async def take_straight(self, chunks: Flowing, admit: Callable[[int], None]) -> int:
        """Take what comes without a pause past the event loop; the size of the file then. For `admit` see `pour`."""
        if self._last is not None:
            await self._last
        with chunks.straight() as read:
            flows = True
            while read is not None and flows:
                hashing, self._running = self._running, None  # as below
                flows = await pour(read, self._appender, hashing, admit)
                self._running = hashing
        return self._appender.offset

    async def end(self) -> Hash | None:
        """Wait for the last batch; the hash of all bytes, None if it is not known. Raises what the batch met."""
        if self._last is not None:
            await finish(self._last)
        return self._running

    async def _write_and_hash(self, batch: Sequence[bytes]) -> None:
        hashing, self._running = self._running, None  # while a write may fail, it may know bytes that are not there
        if size_of(batch) <= _SMALL:
            small = b"".join(batch)
            await self._appender.write(small)
            if hashing is not None:
                hashing.update(small)
        else:
            await in_thread(self._write_then_hash, batch, hashing)
        self._running = hashing

    def _write_then_hash(self, batch: Sequence[bytes], hashing: Hash | None) -> None:
        # In one thread: two would take the interpreter from each other, and the event loop, for every call.
        self._appender.write_now([memoryview(part) for part in batch])
        if hashing is not None:
            for part in batch:
                hashing.update(part)


class Room:
    """Looks now and then whether the storage has room for what is still to come."""

    def __init__(self, driver: Driver, path: StoragePath, begin: int) -> None:
        self._driver = driver
        self._path = path
        self._next = begin

    def is_due(self, size: int) -> bool:
        """Whether it is time, with a file that is about to have `size` bytes."""
        return size >= self._next

    def require(self, size: int) -> None:
        """Raise StorageFull, if it is time. Blocks."""
        if self.is_due(size):
            room = require_room(self._driver, self._path, BATCH)
            self._next = size + min(_CHECK_ROOM, max(room // 2, BATCH))


def require_room(driver: Driver, path: StoragePath, size: int) -> int:
    """Return the bytes that there is room for at `path` besides the reserve; raise StorageFull for fewer than `size`.

    Blocks.
    """
    room = driver.room(path)
    if room < size:
        raise StorageFull("the storage has no room for this")
    return room


def size_of(batch: Sequence[bytes]) -> int:
    """In bytes."""
    return sum(map(len, batch))


async def batches(chunks: AsyncIterable[bytes]) -> AsyncIterator[Sequence[bytes]]:
    """Gather chunks into batches of about BATCH bytes, the first of FIRST, or of less where many uploads flow.

    What came before an error is passed on, and what came before an empty chunk, which stands for a pause.
    """
    parts: list[bytes] = []
    size, most = 0, FIRST
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
            is_pause, part = not part, b""  # nothing is kept while the next one is waited for
        if size and (failure is not None or is_pause or size >= uploads.batch_size(most)):
            yielded, parts, size, most = parts, [], 0, BATCH
            yield yielded
            del yielded
    if not isinstance(failure, StopAsyncIteration):
        raise failure
