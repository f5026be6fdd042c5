"""Uploads as objects: each piece is one, named after its offset, and the commit joins them.

For a storage that cannot append to an object: memory, a bucket. No file is locked. A piece is written only if its name
is free. So of two writers at the same offset one is refused, also across processes.
"""

import asyncio
import re
import threading
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime
from functools import partial

from pyregistry.common.overriding import override
from pyregistry.oci.digest import CANONICAL, Digest, Hash, new_hash
from pyregistry.oci.errors import BlobUploadUnknown, DigestInvalid, Unavailable, UploadRangeInvalid
from pyregistry.oci.names import RepositoryName, UploadId
from pyregistry.storage.seams import layout, uploads
from pyregistry.storage.seams.coordinator import Coordinator, Unit
from pyregistry.storage.seams.links import exists
from pyregistry.storage.seams.objects import AlreadyThere, Objects, PathNotFound
from pyregistry.storage.seams.uploads import (
    DirectReader,
    Upload,
    Uploads,
    UploadState,
    WouldBlock,
    busy,
)
from pyregistry.storage.uploads.batches import Receiving, SpaceCheck, require_space, write_and_hash
from pyregistry.storage.uploads.hash_checkpoints import HashCheckpoint, RunningHashes, write_checkpoint
from pyregistry.storage.uploads.stored import StoredUpload
from pyregistry.threads.offload import in_thread

_PIECE = re.compile(r"[0-9a-f]{12}", re.ASCII)
"""Name of a piece: the offset of its first byte, so that the order of the names is that of the bytes."""
_POLL_SECONDS = 0.02
"""Pause between two tries while another request of this process is writing."""


class PieceUploads(Uploads):
    """Uploads of any storage."""

    def __init__(self, objects: Objects, max_size: int, coordinator: Coordinator) -> None:
        """`max_size` is that of a blob, in bytes."""
        self.objects = objects
        self.coordinator = coordinator
        self.max_size = max_size
        self.hashes = RunningHashes()
        self._busy: set[UploadId] = set()
        self._mutex = threading.Lock()

    @override
    def begin(self, name: RepositoryName, upload_id: UploadId, algorithm: str, owner: str | None, size: int) -> Upload:
        require_space(self.objects, layout.repository(name), size)
        started_at = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        if owner or algorithm != CANONICAL:  # first: without an owner any user may continue the upload
            write_checkpoint(self.objects, upload_id, HashCheckpoint(algorithm, owner=owner or ""))
        self.objects.write(layout.upload_started_at(name, upload_id), started_at.encode(), durable=False)
        return PieceUpload(self, name, upload_id, algorithm)

    @override
    def open(self, name: RepositoryName, upload_id: UploadId) -> Upload:
        return PieceUpload(self, name, upload_id)

    @override
    def list(self, name: RepositoryName) -> Iterator[Upload]:
        for child in self.objects.children(layout.uploads(name)):
            with suppress(BlobUploadUnknown):  # not ours
                yield self.open(name, UploadId(child))

    def try_lock(self, upload_id: UploadId) -> bool:
        """Reserve the upload for one request until `unlock`; return False if another one of this process has it."""
        with self._mutex:
            if upload_id in self._busy:
                return False
            self._busy.add(upload_id)
            return True

    def unlock(self, upload_id: UploadId) -> None:
        """Let the next request write to it."""
        with self._mutex:
            self._busy.discard(upload_id)


class PieceUpload(StoredUpload):
    """An upload as pieces."""

    def __init__(
        self, uploads: PieceUploads, name: RepositoryName, upload_id: UploadId, algorithm: str = CANONICAL
    ) -> None:
        super().__init__(uploads.objects, uploads.max_size, name, upload_id, algorithm)
        self._uploads = uploads

    # Questions

    @override
    def offset(self) -> int:
        state = self.state()
        # A piece may have been written while another process removed the upload.
        if state is None or (state.size and not exists(self._objects, self._piece(0))):
            raise self._unknown()
        return state.size

    @override
    def state(self) -> UploadState | None:
        names = list(self._objects.children(self._path))
        if not names:
            return None
        pieces = [name for name in names if _PIECE.fullmatch(name)]
        last = pieces[-1] if pieces else names[-1]
        try:
            stat = self._objects.stat(layout.child(self._path, last))
        except PathNotFound:  # committed, or removed, meanwhile
            return None
        return UploadState(int(last, 16) + stat.size if pieces else 0, stat.modified_ns)

    def _piece(self, offset: int) -> layout.StoragePath:
        return layout.child(self._path, f"{offset:012x}")

    # Receiving

    @override
    async def append(
        self,
        chunks: AsyncIterable[bytes],
        at: int | None = None,
        length: int | None = None,
        direct: DirectReader | None = None,
    ) -> int:
        async with self._locked():
            sink = await in_thread(self._end)
            await self._receiving(sink, at, length, None).take(chunks, direct)
            return sink.offset

    @override
    async def commit(
        self,
        digest: Digest,
        chunks: AsyncIterable[bytes],
        at: int | None = None,
        length: int | None = None,
        direct: DirectReader | None = None,
    ) -> int:
        async with self._locked():
            sink = await in_thread(self._end)
            body = self._receiving(sink, at, length, digest.algorithm)
            running = await body.take(chunks, direct, commits=True)
            await in_thread(self._finish, digest, sink.offset, body.bounds.begin, running)
            return sink.offset

    @override
    def _append_now(self, data: bytes, user: str | None, at: int | None) -> int:
        with self._locked_now():
            self.admit(user, len(data))
            sink = self._end()
            running = self._receive_now(sink, data, at, None)
            if running is not None:
                self._leave_hash(sink, running)
            return sink.offset

    @override
    def _commit_now(self, digest: Digest, data: bytes, user: str | None, at: int | None) -> int:
        with self._locked_now():
            self.admit(user, len(data))
            sink = self._end()
            begin = sink.offset
            running = self._receive_now(sink, data, at, digest.algorithm)
            self._finish(digest, sink.offset, begin, running)
            return sink.offset

    def _receiving(self, sink: "PieceSink", at: int | None, length: int | None, algorithm: str | None) -> Receiving:
        bounds = self._bounds(sink.offset, at, length)
        space = SpaceCheck(self._objects, self._path, sink.offset)
        return Receiving(sink, bounds, space, self._running_hash(sink, algorithm), partial(self._leave_hash, sink))

    def _receive_now(self, sink: "PieceSink", data: bytes, at: int | None, algorithm: str | None) -> Hash | None:
        self._bounds(sink.offset, at, None).check(sink.offset + len(data))
        running = self._running_hash(sink, algorithm)
        write_and_hash(sink, [data], running)
        return running

    def _running_hash(self, sink: "PieceSink", algorithm: str | None) -> Hash | None:
        if sink.offset == 0:
            return new_hash(algorithm or self._algorithm)
        return self._uploads.hashes.pop(self._id, sink.offset)

    def _leave_hash(self, sink: "PieceSink", running: Hash) -> None:
        self._uploads.hashes.put(self._id, sink.offset, running)

    def _end(self) -> "PieceSink":
        return PieceSink(self.offset(), self._write_piece)

    def _write_piece(self, offset: int, data: bytes) -> None:
        try:
            self._objects.write(self._piece(offset), data, durable=False, if_absent=True)
        except AlreadyThere as error:
            raise busy() from error

    @contextmanager
    def _locked_now(self) -> Iterator[None]:
        """Be the only request of this process that writes; raise WouldBlock if another one does."""
        if not self._uploads.try_lock(self._id):
            raise WouldBlock
        try:
            yield
        finally:
            self._uploads.unlock(self._id)

    @asynccontextmanager
    async def _locked(self, wait: float | None = None) -> AsyncIterator[None]:
        """Be the only request of this process that writes; raise UploadRangeInvalid if another one does not end."""
        deadline = time.monotonic() + (uploads.BUSY_WAIT_SECONDS if wait is None else wait)
        while not self._uploads.try_lock(self._id):
            if time.monotonic() >= deadline:
                raise busy()
            await asyncio.sleep(_POLL_SECONDS)
        try:
            yield
        finally:
            self._uploads.unlock(self._id)

    # The end

    def _finish(self, digest: Digest, offset: int, begin: int, running: Hash | None) -> None:
        content = self._joined(offset)
        found = None
        if running is not None and running.name == digest.algorithm:
            found = Digest.from_hash(running)
        if (found or Digest.of(content, digest.algorithm)) != digest:
            self.remove()
            raise DigestInvalid("the content received has another digest")
        try:
            self._publish(digest, content)
        except (Unavailable, ConnectionAbortedError):
            self._take_back(begin, offset)
            raise
        with suppress(BlobUploadUnknown):  # another process removed it; the blob is published anyway
            self.remove()

    def _joined(self, size: int) -> bytes:
        """Return the first `size` bytes; later bytes are those of another process."""
        pieces, offset = [], 0
        with suppress(PathNotFound):
            while offset < size and (piece := self._objects.read(self._piece(offset))):
                pieces.append(piece)
                offset += len(piece)
        if offset != size:  # a piece is gone: another process removed the upload
            raise self._unknown()
        return b"".join(pieces)

    def _publish(self, digest: Digest, content: bytes) -> None:
        unit = Unit(self._name, digest)
        self._uploads.coordinator.run(lambda section: section.publish(unit, content))

    def _take_back(self, begin: int, end: int) -> None:
        """Remove the pieces from `begin` to `end`. Another process acknowledged the bytes after `end`."""
        self._uploads.hashes.evict(self._id)
        names = [name for name in self._objects.children(self._path) if _PIECE.fullmatch(name)]
        self._objects.delete_many(layout.child(self._path, name) for name in names if begin <= int(name, 16) < end)

    @override
    async def cancel(self) -> None:
        async with self._locked():
            await in_thread(self.remove)

    @override
    async def expire(self, before_ns: int) -> bool:
        try:
            async with self._locked(wait=0):
                return await in_thread(self._remove_if_older, before_ns)
        except UploadRangeInvalid:
            return False

    def _remove_if_older(self, before_ns: int) -> bool:
        state = self.state()
        if state is None or state.changed_ns >= before_ns:
            return False
        with suppress(BlobUploadUnknown):  # another process removed it first
            self.remove()
        return True

    @override
    def remove(self) -> None:
        self._uploads.hashes.evict(self._id)
        with suppress(PathNotFound):
            self._objects.delete(layout.upload_record(self._id), durable=False)
        try:
            self._objects.delete(self._path, durable=False)
        except PathNotFound as error:
            raise self._unknown() from error


class PieceSink:
    """A sink that makes a piece of each write."""

    def __init__(self, offset: int, write: Callable[[int, bytes], None]) -> None:
        self.offset = offset
        self._write = write

    def write_now(self, pieces: Sequence[memoryview]) -> None:
        """Write a piece, unless it is empty. Blocks."""
        data = b"".join(pieces)
        if data:  # a piece without bytes would have the name of the next one
            self._write(self.offset, data)
            self.offset += len(data)

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        """Write a piece."""
        await in_thread(self.write_now, [memoryview(data)])
