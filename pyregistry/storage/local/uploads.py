"""Uploads in a local directory: the state of an upload is its file, and the size of the file is the offset.

Hashing runs beside writing while the bytes arrive. hashlib cannot save its state, so a running hash lives in the
worker that began it (RunningHashes), and each request leaves a checkpoint of the hash on disk. A closing request on
another worker trusts that checkpoint if the file is still exactly the one that was hashed, and reads the file again
otherwise. The digest of all the bytes decides in any case.
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
    Bounds,
    DirectReader,
    Upload,
    UploadState,
    WouldBlock,
    busy,
    check_offset,
)
from pyregistry.storage.uploads.batches import Receiving, SpaceCheck, require_room, write_and_hash
from pyregistry.storage.uploads.hash_checkpoints import HashCheckpoint, RunningHashes, read_checkpoint, write_checkpoint
from pyregistry.threads.offload import in_thread

_RETRIES, _PAUSE_SECONDS = 15, 0.02
"""Looks for an upload without data, and the seconds between them, before it is taken for one of another registry."""


class LocalUploads:
    """See Uploads."""

    def __init__(self, driver: Driver, max_size: int, coordinator: Coordinator | None = None) -> None:
        """`max_size` is that of a blob, in bytes. Without `coordinator` it is the driver's."""
        self.driver = driver
        self.coordinator = coordinator or LocalCoordinator(driver)
        self.max_size = max_size
        self.hashes = RunningHashes()
        self.lost: set[UploadId] = set()
        """Uploads of which bytes may be lost and that could not be removed, for the life of the worker."""

    def begin(self, name: RepositoryName, upload_id: UploadId, algorithm: str, owner: str | None, size: int) -> Upload:
        """See Uploads.begin.

        Nothing is synced: an upload is promised to survive a crash, not a power cut.
        """
        driver = self.driver
        require_room(driver, layout.repository(name), size)
        started_at = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        if owner:  # first: without an owner any user may go on with the upload
            write_checkpoint(driver, upload_id, HashCheckpoint(algorithm, owner=owner))
        driver.create(layout.upload_data(name, upload_id), b"")
        driver.create(layout.upload_started_at(name, upload_id), started_at.encode())
        if algorithm != CANONICAL and not owner:
            write_checkpoint(driver, upload_id, HashCheckpoint(algorithm))
        return LocalUpload(self, name, upload_id, algorithm, owner or "")

    def open(self, name: RepositoryName, upload_id: UploadId) -> Upload:
        """See Uploads.open."""
        return LocalUpload(self, name, upload_id)

    def list(self, name: RepositoryName) -> Iterator[Upload]:
        """See Uploads.list."""
        for child in self.driver.children(layout.uploads(name)):
            with suppress(BlobUploadUnknown):  # not ours
                yield self.open(name, UploadId(child))


class LocalUpload(Upload):
    """See Upload."""

    def __init__(
        self,
        uploads: LocalUploads,
        name: RepositoryName,
        upload_id: UploadId,
        algorithm: str = CANONICAL,
        owner: str = "",
    ) -> None:
        self._name = name
        self._id = upload_id
        self._uploads = uploads
        self._driver = uploads.driver
        self._algorithm = algorithm
        self._owner = owner
        self._path = layout.upload(name, upload_id)
        self._data = layout.upload_data(name, upload_id)
        self._started_at = layout.upload_started_at(name, upload_id)

    @property
    def repository(self) -> RepositoryName:
        """See Upload.repository."""
        return self._name

    @property
    def id(self) -> UploadId:
        """See Upload.id."""
        return self._id

    # Questions

    def check_owner(self, user: str | None) -> None:
        """See Upload.check_owner."""
        checkpoint = self._checkpoint()
        if checkpoint is not None:
            self._owner, self._algorithm = checkpoint.owner, checkpoint.algorithm
        if self._owner not in {"", user}:
            raise self._unknown()

    def admit(self, user: str | None, size: int) -> None:
        """See Upload.admit."""
        self.check_owner(user)
        if size <= self._uploads.max_size:  # else it is refused for another reason
            require_room(self._driver, self._data, size)

    def offset(self) -> int:
        """See Upload.offset."""
        try:
            return self._driver.stat(self._data).size
        except PathNotFound:
            pass
        try:  # the CNCF registry may leave an upload without a data file
            self._driver.stat(self._started_at)
        except PathNotFound as error:
            raise self._unknown() from error
        return 0

    def state(self) -> UploadState | None:
        """See Upload.state."""
        # Of one that was cut off at its beginning or its end, the directory may be all that is there.
        changed_ns = self._times(self._data, self._started_at) or self._times(self._path)
        if not changed_ns:
            return None
        size = 0
        with suppress(PathNotFound):
            size = self._driver.stat(self._data).size
        return UploadState(size, max(changed_ns))

    def available_bytes(self) -> int:
        """See Upload.available_bytes."""
        return self._driver.room(self._path)

    def _times(self, *paths: layout.StoragePath) -> list[int]:
        times = []
        for path in paths:
            with suppress(PathNotFound):
                times.append(self._driver.stat(path).modified_ns)
        return times

    def _checkpoint(self) -> HashCheckpoint | None:
        """Return the checkpoint, None if there is none; raise BlobUploadUnknown if bytes of the upload may be lost."""
        checkpoint = read_checkpoint(self._driver, self._id)
        if (checkpoint is not None and checkpoint.lost) or self._id in self._uploads.lost:
            raise self._unknown()
        return checkpoint

    def _unknown(self) -> BlobUploadUnknown:
        return BlobUploadUnknown({"upload": self._id})

    # Receiving

    async def append(
        self,
        chunks: AsyncIterable[bytes],
        at: int | None = None,
        length: int | None = None,
        direct: DirectReader | None = None,
    ) -> int:
        """See Upload.append."""
        async with self._open() as appender:
            await self._receiving(appender, at, length, None).take(chunks, direct)
            return appender.offset

    async def commit(
        self,
        digest: Digest,
        chunks: AsyncIterable[bytes],
        at: int | None = None,
        length: int | None = None,
        direct: DirectReader | None = None,
    ) -> int:
        """See Upload.commit."""
        async with self._open() as appender:
            body = self._receiving(appender, at, length, digest.algorithm)
            running = await body.take(chunks, direct, commits=True)
            await in_thread(self._finish, appender, digest, running)
            return appender.offset

    async def append_at_once(self, data: bytes, user: str | None, at: int | None = None) -> int:
        """See Upload.append_at_once: one hop to a thread."""
        try:
            return await in_thread(self._append_now, data, user, at)
        except WouldBlock:
            return await super().append_at_once(data, user, at)

    async def commit_at_once(self, digest: Digest, data: bytes, user: str | None, at: int | None = None) -> int:
        """See Upload.commit_at_once: one hop to a thread."""
        try:
            return await in_thread(self._commit_now, digest, data, user, at)
        except WouldBlock:
            return await super().commit_at_once(digest, data, user, at)

    def _append_now(self, data: bytes, user: str | None, at: int | None = None) -> int:
        with self._hold() as file:
            self.admit(user, len(data))  # with the lock held: who had it before may have lost bytes
            self._receive_now(file, data, at)
            return file.offset

    def _commit_now(self, digest: Digest, data: bytes, user: str | None, at: int | None = None) -> int:
        with self._hold() as file:
            self.admit(user, len(data))
            self._finish(file, digest, self._receive_now(file, data, at, digest.algorithm))
            return file.offset

    def _receiving(self, file: Appender, at: int | None, length: int | None, algorithm: str | None) -> Receiving:
        """Return how to take a body that arrives; `_receive_now` differs from that in how it waits."""
        bounds = self._bounds(file, at, length)
        space = SpaceCheck(self._driver, self._data, bounds.begin)
        leave = partial(self._leave_checkpoint, file)
        return Receiving(file, bounds, space, self._running_hash(file, algorithm), leave)

    def _receive_now(self, file: LockedFile, data: bytes, at: int | None, algorithm: str | None = None) -> Hash | None:
        """Take a body that has arrived: see `_receiving`. Blocks."""
        bounds = self._bounds(file, at, None)
        bounds.check(bounds.begin + len(data))
        running = self._running_hash(file, algorithm)
        write_and_hash(file, [data], running)  # if this fails, the hash is dropped
        if running is not None and not algorithm:  # a commit needs no checkpoint
            self._leave_checkpoint(file, running)
        return running

    def _bounds(self, file: LockedFile, at: int | None, length: int | None) -> Bounds:
        check_offset(at, file.offset)
        return Bounds(file.offset, length, self._uploads.max_size)

    def _running_hash(self, file: LockedFile, algorithm: str | None) -> Hash | None:
        """Return a hash of all bytes so far, if that costs no reading. `algorithm` is that of the final digest."""
        if file.offset == 0:
            return new_hash(algorithm or self._algorithm)
        return self._uploads.hashes.pop(self._id, (file.opened, self._driver.epoch))

    def _leave_checkpoint(self, file: LockedFile, running: Hash) -> None:
        stat, epoch = file.stat(), self._driver.epoch
        self._uploads.hashes.put(self._id, (stat, epoch), running)
        if stat.size <= SMALL_BYTES:  # another worker reads it again sooner than this one writes a checkpoint
            return
        checkpoint = HashCheckpoint(
            running.name, stat.size, running.hexdigest(), inode_of(stat), stat.modified_ns, epoch, self._owner
        )
        with suppress(OSError):  # a full disk: the hash only saves time, and the checkpoint that is there has the owner
            write_checkpoint(self._driver, self._id, checkpoint)

    # The file

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[Appender]:
        """Open and lock the file; wait for another request, and make the file of an upload of another registry."""
        with self._errors():
            async with AsyncExitStack() as stack:
                try:
                    appender = await stack.enter_async_context(self._appender())
                except PathNotFound:
                    await self._require_foreign()
                    appender = await stack.enter_async_context(self._appender(create=True))
                try:
                    # Again, with the lock held: the request before may have lost bytes and left only a note of that.
                    await in_thread(self._checkpoint)
                    yield appender
                finally:  # whatever else went wrong: the next request must not find it
                    if appender.is_lost:
                        await in_thread(self._give_up)

    @contextmanager
    def _hold(self) -> Iterator[LockedFile]:
        """Open and lock the file without waiting; raises WouldBlock, BlobUploadUnknown if it is removed meanwhile."""
        with self._errors(), ExitStack() as stack:
            try:
                file = stack.enter_context(self._driver.held(self._data))
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
        """Raise BlobUploadUnknown unless it is an upload that has no data file yet, as the CNCF registry leaves them.

        One whose data was just moved to their place, by another request that commits it, looks the same for a moment.
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
            # What is on another file system than the blobs is copied before the lock.
            with self._driver.staged(self._data, layout.blob_data(digest)) as staged:
                self._publish(staged, digest)
        except (Unavailable, ConnectionAbortedError):
            if exists(self._driver, self._data):  # so it was not published, and the same request may come again
                file.rewind()
            raise
        except OSError as error:
            self._remove_after(error)
            raise

    def _publish(self, staged: layout.StoragePath, digest: Digest) -> None:
        unit = Unit(self._name, digest)
        self._uploads.coordinator.run(lambda section: section.publish(unit, Staged(staged)))
        with suppress(BlobUploadUnknown):  # an operator's `rm` was quicker; the blob is there all the same
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

    async def cancel(self) -> None:
        """See Upload.cancel."""
        async with self._open():
            await in_thread(self.remove)

    async def expire(self, before_ns: int) -> bool:
        """See Upload.expire."""
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

    def remove(self) -> None:
        """See Upload.remove."""
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
        if not self._driver.prune(self._path):  # with the CNCF registry's hash states, or with a copied file
            self.remove()

    def _remove_after(self, error: OSError) -> None:
        """End an upload whose commit failed after its data was moved, or was moved and came back.

        Any other error leaves it open: the same request may come again.
        """
        if isinstance(error, NotDurable) or not exists(self._driver, self._data):
            with suppress(OSError, BlobUploadUnknown):
                self.remove()

    def _give_up(self) -> None:
        """End an upload of which bytes may be lost, so that no process and no later start takes it for whole.

        The kernel reports lost bytes once. The next sync of the file succeeds, and reading it shows what only memory
        holds. Where the upload cannot be removed, its checkpoint says that it is lost. Without that this process
        remembers; a file system that takes neither must be mounted again, which drops what only memory holds.
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
        # Not durably: an upload that a power cut brings back is one that no client goes on with.
        with suppress(PathNotFound):
            self._driver.delete(layout.upload_record(self._id), durable=False)
