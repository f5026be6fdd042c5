"""Uploads in a local directory: the state of an upload is its file, and the size of the file is the offset.

Bytes are hashed while they arrive. hashlib cannot save its state, so a running hash lives in the worker that began it
(RunningHashes). Each request also leaves a checkpoint of the hash on disk. A closing request on another worker trusts
it if the file is still exactly the one that was hashed. Otherwise it reads the file again. The digest of all bytes
decides in any case.
"""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    ExitStack,
    asynccontextmanager,
    contextmanager,
    suppress,
)
from datetime import UTC, datetime
from functools import partial

from pyregistry.common.overriding import override
from pyregistry.oci.digest import CANONICAL, Digest, Hash, new_hash
from pyregistry.oci.errors import BlobUploadUnknown, DigestInvalid, Unavailable
from pyregistry.oci.names import RepositoryName, UploadId
from pyregistry.storage.local.coordinator import LocalCoordinator
from pyregistry.storage.local.driver import Appender, Driver, LockedFile, NotDurable, inode_of
from pyregistry.storage.seams import layout, uploads
from pyregistry.storage.seams.coordinator import Coordinator, Staged, Unit
from pyregistry.storage.seams.hashing import hash_source
from pyregistry.storage.seams.links import exists
from pyregistry.storage.seams.objects import PathBusy, PathNotFound
from pyregistry.storage.seams.uploads import (
    SMALL_BYTES,
    DirectReader,
    Upload,
    Uploads,
    UploadState,
    WouldBlock,
    busy,
)
from pyregistry.storage.uploads.batches import Receiving, SpaceCheck, require_space, write_and_hash
from pyregistry.storage.uploads.hash_checkpoints import HashCheckpoint, RunningHashes, read_checkpoint, write_checkpoint
from pyregistry.storage.uploads.stored import StoredUpload
from pyregistry.threads.offload import in_thread

_RETRIES, _PAUSE_SECONDS = 15, 0.02
"""Retries, and seconds between them, before an upload without data counts as one of another registry."""


class LocalUploads(Uploads):
    """Uploads of a directory."""

    def __init__(self, driver: Driver, max_size: int, coordinator: Coordinator | None = None) -> None:
        """`max_size` is that of a blob, in bytes. The default coordinator is that of the driver."""
        self.driver = driver
        self.coordinator = coordinator or LocalCoordinator(driver)
        self.max_size = max_size
        self.hashes = RunningHashes()
        self.lost: set[UploadId] = set()
        """Uploads of which bytes may be lost and that could not be removed, for the life of the worker."""

    @override
    def begin(self, name: RepositoryName, upload_id: UploadId, algorithm: str, owner: str | None, size: int) -> Upload:
        # Nothing is synced: an upload survives a crash, not a power cut.
        driver = self.driver
        require_space(driver, layout.repository(name), size)
        started_at = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        if owner:  # first: without an owner any user may continue the upload
            write_checkpoint(driver, upload_id, HashCheckpoint(algorithm, owner=owner))
        driver.create(layout.upload_data(name, upload_id), b"")
        driver.create(layout.upload_started_at(name, upload_id), started_at.encode())
        if algorithm != CANONICAL and not owner:
            write_checkpoint(driver, upload_id, HashCheckpoint(algorithm))
        return LocalUpload(self, name, upload_id, algorithm, owner or "")

    @override
    def open(self, name: RepositoryName, upload_id: UploadId) -> Upload:
        return LocalUpload(self, name, upload_id)

    @override
    def list(self, name: RepositoryName) -> Iterator[Upload]:
        for child in self.driver.children(layout.uploads(name)):
            with suppress(BlobUploadUnknown):  # not ours
                yield self.open(name, UploadId(child))


class LocalUpload(StoredUpload):
    """An upload as a file."""

    def __init__(
        self,
        uploads: LocalUploads,
        name: RepositoryName,
        upload_id: UploadId,
        algorithm: str = CANONICAL,
        owner: str = "",
    ) -> None:
        super().__init__(uploads.driver, uploads.max_size, name, upload_id, algorithm)
        self._owner = owner
        self._uploads = uploads
        self._driver = uploads.driver
        self._data = layout.upload_data(name, upload_id)
        self._started_at = layout.upload_started_at(name, upload_id)

    # Questions

    @override
    def offset(self) -> int:
        try:
            return self._driver.stat(self._data).size
        except PathNotFound:
            pass
        try:  # the CNCF registry may leave an upload without a data file
            self._driver.stat(self._started_at)
        except PathNotFound as error:
            raise self._unknown() from error
        return 0

    @override
    def state(self) -> UploadState | None:
        # A crash at the beginning or the end of an upload may leave only its directory.
        changed_ns = self._times(self._data, self._started_at) or self._times(self._path)
        if not changed_ns:
            return None
        size = 0
        with suppress(PathNotFound):
            size = self._driver.stat(self._data).size
        return UploadState(size, max(changed_ns))

    def _times(self, *paths: layout.StoragePath) -> list[int]:
        times = []
        for path in paths:
            with suppress(PathNotFound):
                times.append(self._driver.stat(path).modified_ns)
        return times

    @override
    def _checkpoint(self) -> HashCheckpoint | None:
        """Return the checkpoint if there is one; raise BlobUploadUnknown if bytes of the upload may be lost."""
        checkpoint = read_checkpoint(self._driver, self._id)
        if (checkpoint is not None and checkpoint.lost) or self._id in self._uploads.lost:
            raise self._unknown()
        return checkpoint

    # Receiving

    @override
    async def append(
        self,
        chunks: AsyncIterable[bytes],
        at: int | None = None,
        length: int | None = None,
        direct: DirectReader | None = None,
    ) -> int:
        async with self._open() as appender:
            await self._receiving(appender, at, length, None).take(chunks, direct)
            return appender.offset

    @override
    async def commit(
        self,
        digest: Digest,
        chunks: AsyncIterable[bytes],
        at: int | None = None,
        length: int | None = None,
        direct: DirectReader | None = None,
    ) -> int:
        async with self._open() as appender:
            body = self._receiving(appender, at, length, digest.algorithm)
            running = await body.take(chunks, direct, commits=True)
            await in_thread(self._finish, appender, digest, running)
            return appender.offset

    @override
    def _append_now(self, data: bytes, user: str | None, at: int | None) -> int:
        with self._try_open() as file:
            self.admit(user, len(data))  # with the lock held: the request before may have lost bytes
            self._receive_now(file, data, at)
            return file.offset

    @override
    def _commit_now(self, digest: Digest, data: bytes, user: str | None, at: int | None) -> int:
        with self._try_open() as file:
            self.admit(user, len(data))
            self._finish(file, digest, self._receive_now(file, data, at, digest.algorithm))
            return file.offset

    def _receiving(self, file: Appender, at: int | None, length: int | None, algorithm: str | None) -> Receiving:
        """Prepare to receive a body that is still arriving; `_receive_now` is for one that has arrived."""
        bounds = self._bounds(file.offset, at, length)
        space = SpaceCheck(self._driver, self._data, bounds.begin)
        leave = partial(self._leave_checkpoint, file)
        return Receiving(file, bounds, space, self._running_hash(file, algorithm), leave)

    def _receive_now(self, file: LockedFile, data: bytes, at: int | None, algorithm: str | None = None) -> Hash | None:
        """Write a body that has arrived. Blocks."""
        bounds = self._bounds(file.offset, at, None)
        bounds.check(bounds.begin + len(data))
        running = self._running_hash(file, algorithm)
        write_and_hash(file, [data], running)  # if this fails, the hash is dropped
        if running is not None and not algorithm:  # a commit needs no checkpoint
            self._leave_checkpoint(file, running)
        return running

    def _running_hash(self, file: LockedFile, algorithm: str | None) -> Hash | None:
        """Return a hash of all bytes so far, if that costs no reading. `algorithm` is that of the final digest."""
        if file.offset == 0:
            return new_hash(algorithm or self._algorithm)
        return self._uploads.hashes.pop(self._id, (file.opened, self._driver.epoch))

    def _leave_checkpoint(self, file: LockedFile, running: Hash) -> None:
        stat, epoch = file.stat(), self._driver.epoch
        self._uploads.hashes.put(self._id, (stat, epoch), running)
        if stat.size <= SMALL_BYTES:  # reading it again is quicker than writing a checkpoint
            return
        checkpoint = HashCheckpoint(
            running.name, stat.size, running.hexdigest(), inode_of(stat), stat.modified_ns, epoch, self._owner
        )
        with suppress(OSError):  # a full disk: the hash only saves time, and the owner is in the checkpoint on disk
            write_checkpoint(self._driver, self._id, checkpoint)

    # The file

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[Appender]:
        """Open and lock the file: wait for another request, and create the file of an upload of another registry."""
        with self._errors():
            async with AsyncExitStack() as stack:
                try:
                    appender = await stack.enter_async_context(self._appender())
                except PathNotFound:
                    await self._require_foreign()
                    appender = await stack.enter_async_context(self._appender(create=True))
                try:
                    # Again, with the lock held: the request before may have lost bytes and only noted that.
                    await in_thread(self._checkpoint)
                    yield appender
                finally:  # on any error: the next request must not find it
                    if appender.is_lost:
                        await in_thread(self._give_up)

    @contextmanager
    def _try_open(self) -> Iterator[LockedFile]:
        """Open and lock the file without waiting; raises WouldBlock, BlobUploadUnknown if it is removed meanwhile."""
        with self._errors(), ExitStack() as stack:
            try:
                file = stack.enter_context(self._driver.open_locked(self._data))
            except (PathBusy, PathNotFound) as error:
                raise WouldBlock from error
            try:
                yield file
            finally:
                if file.is_lost:
                    self._give_up()

    def _appender(self, *, create: bool = False) -> AbstractAsyncContextManager[Appender]:
        return self._driver.appender(self._data, wait=uploads.BUSY_WAIT_SECONDS, create=create)

    async def _require_foreign(self) -> None:
        """Raise BlobUploadUnknown unless it has no data file yet: the CNCF registry leaves such uploads.

        While another request commits an upload, it looks the same for a moment.
        """
        for _ in range(_RETRIES):
            await in_thread(self.offset)
            await asyncio.sleep(_PAUSE_SECONDS)
        await in_thread(self.offset)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except PathNotFound as error:
            raise self._unknown() from error
        except PathBusy as error:
            raise busy() from error

    # The end

    def _finish(self, file: LockedFile, digest: Digest, running: Hash | None) -> None:
        if self._digest(file, digest.algorithm, running) != digest:
            self.remove()
            raise DigestInvalid("the content received has another digest")
        file.sync()  # before the lock that all commits share
        try:
            # An upload on another file system than the blobs is copied before the lock.
            with self._driver.staged(self._data, layout.blob_data(digest)) as staged:
                self._publish(staged, digest)
        except (Unavailable, ConnectionAbortedError):
            if exists(self._driver, self._data):  # so it was not published, and the client may retry
                file.rewind()
            raise
        except OSError as error:
            self._remove_after(error)
            raise

    def _publish(self, staged: layout.StoragePath, digest: Digest) -> None:
        unit = Unit(self._name, digest)
        self._uploads.coordinator.run(lambda section: section.publish(unit, Staged(staged)))
        with suppress(BlobUploadUnknown):  # an operator's `rm` was quicker; the blob is published anyway
            self._remove_rest()

    def _digest(self, file: LockedFile, algorithm: str, running: Hash | None) -> Digest:
        if running is not None and running.name == algorithm:
            return Digest.from_hash(running)
        checkpoint, stat = read_checkpoint(self._driver, self._id), file.stat()
        if (
            checkpoint is not None
            and checkpoint.algorithm == algorithm
            and checkpoint.describes(stat.size, inode_of(stat), stat.modified_ns, self._driver.epoch)
        ):
            return Digest(f"{algorithm}:{checkpoint.encoded}")
        return hash_source(self._driver.source(self._data), algorithm)

    @override
    async def cancel(self) -> None:
        async with self._open():
            await in_thread(self.remove)

    @override
    async def expire(self, before_ns: int) -> bool:
        try:
            async with self._driver.appender(self._data, wait=0):
                return await in_thread(self._remove_if_older, before_ns)
        except PathBusy:
            return False
        except PathNotFound:  # a foreign upload without data, so that no request writes to it
            return await in_thread(self._remove_if_older, before_ns)

    def _remove_if_older(self, before_ns: int) -> bool:
        state = self.state()
        if state is None or state.changed_ns >= before_ns:
            return False
        with suppress(BlobUploadUnknown):  # another process removed it first
            self.remove()
        return True

    @override
    def remove(self) -> None:
        self._forget()
        try:
            self._driver.delete(self._path, durable=False)
        except PathNotFound as error:
            raise self._unknown() from error

    def _remove_rest(self) -> None:
        """End an upload whose data has become a blob; raise BlobUploadUnknown if another process removed it."""
        # Only known files are left: two calls, where `remove` needs ten.
        self._forget()
        with suppress(PathNotFound):
            self._driver.delete(self._started_at, durable=False)
        if not self._driver.prune(self._path):  # the CNCF registry's hash states, or a copied file, are left
            self.remove()

    def _remove_after(self, error: OSError) -> None:
        """End an upload whose commit failed after its data was moved, or was moved and moved back.

        After any other error it stays open, so that the client may retry.
        """
        if isinstance(error, NotDurable) or not exists(self._driver, self._data):
            with suppress(OSError, BlobUploadUnknown):
                self.remove()

    def _give_up(self) -> None:
        """End an upload that may have lost bytes, so that no process, now or later, takes it for complete.

        The kernel reports lost bytes once. The next sync of the file succeeds, and a read returns what only memory
        holds. If the upload cannot be removed, its checkpoint says that it is lost. If that fails too, this process
        remembers it. Such a file system must be mounted again, which drops what only memory holds.
        """
        try:
            self.remove()
        except BlobUploadUnknown:
            return
        except OSError:
            self._uploads.lost.add(self._id)
            with suppress(OSError):
                # Not durably: a power cut also takes the bytes that only memory held.
                lost = HashCheckpoint(self._algorithm, owner=self._owner, lost=True)
                write_checkpoint(self._driver, self._id, lost)

    def _forget(self) -> None:
        self._uploads.hashes.evict(self._id)
        # Not durably: a power cut may bring the upload back, but no client continues it.
        with suppress(PathNotFound):
            self._driver.delete(layout.upload_record(self._id), durable=False)
