"""An upload: its state is its file, and the size of the file is the offset.

Hashing runs beside writing while the bytes arrive. hashlib cannot save its state, so a running hash lives in the
worker that began it (RunningHashes), and each request leaves on disk what the hash had reached (the record). A
closing request on another worker trusts that record if the file is still exactly the one that was hashed, and reads
the file again otherwise. What decides is always the digest of all the bytes.
"""

from collections.abc import AsyncIterable, AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime
from functools import partial

from pyregistry.oci.digest import CANONICAL, Digest, Hash, new_hash
from pyregistry.oci.errors import BlobTooLarge, BlobUploadUnknown, DigestInvalid, SizeInvalid, Unavailable
from pyregistry.oci.names import RepositoryName, UploadId
from pyregistry.storage import layout, leases
from pyregistry.storage.batches import BATCH, FIRST, Room, Taking, batches, require_room, size_of
from pyregistry.storage.driver import Appender, Driver, LockedFile, PathBusy, PathNotFound, Stat
from pyregistry.storage.flowing import Flowing
from pyregistry.storage.hashing import Record, RunningHashes, hash_source, read_record, write_record
from pyregistry.storage.links import exists, link_blob
from pyregistry.storage.threads import in_thread
from pyregistry.storage.upload_directory import UploadDirectory
from pyregistry.storage.upload_file import NotAtOnce, UploadFile, require_place

BUSY_WAIT = 5.0
"""Seconds that a request waits for another one on the same upload."""
SMALL = 64 * 1024
"""Bytes that are received in one go if they are here, and that are read again rather than noted."""


class Upload:
    """One open upload of a repository."""

    def __init__(
        self, driver: Driver, hashes: RunningHashes, name: RepositoryName, upload_id: UploadId, max_size: int
    ) -> None:
        self.repository = name
        self.id = upload_id
        self._driver = driver
        self._hashes = hashes
        self._max_size = max_size
        self._file = UploadFile(driver, name, upload_id)
        self.directory = UploadDirectory(driver, hashes, name, upload_id)
        self._data = self._file.path
        self._owner = ""
        self._algorithm = CANONICAL

    def begin(self, algorithm: str, owner: str | None) -> None:
        """Open it, as a new one. Blocks.

        Nothing is synced: an upload is promised to survive a crash, not a power cut.
        """
        self._owner, self._algorithm = owner or "", algorithm
        started_at = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        if owner:  # first: an upload without this is anybody's
            write_record(self._driver, self.id, Record(algorithm, owner=owner))
        self._driver.create(self._data, b"")
        self._driver.create(layout.upload_started_at(self.repository, self.id), started_at.encode())
        if algorithm != CANONICAL and not owner:
            write_record(self._driver, self.id, Record(algorithm))

    def check_owner(self, user: str | None) -> None:
        """Raise BlobUploadUnknown if another user began it; one that nobody with a name began is anybody's. Blocks.

        The same for an upload of which bytes may be lost, see UploadDirectory.give_up.
        """
        record = self.directory.record()
        if record is not None:
            self._owner, self._algorithm = record.owner, record.algorithm
        if self._owner not in {"", user}:
            raise BlobUploadUnknown({"upload": self.id})

    def admit(self, user: str | None, size: int) -> None:
        """`check_owner`, and raise StorageFull unless there is room for `size` bytes of a body. Blocks."""
        self.check_owner(user)
        if size <= self._max_size:  # else it is refused for another reason
            require_room(self._driver, self._data, size)

    def offset(self) -> int:
        """How many bytes there are; raises BlobUploadUnknown. Blocks."""
        return self._file.offset()

    async def append(self, chunks: AsyncIterable[bytes], at: int | None = None, length: int | None = None) -> int:
        """Add the bytes of `chunks`; return the offset behind them.

        `at` is the offset at which the client thinks it stands, `length` the bytes that it announced, where it said
        so. Raises UploadRangeInvalid for a wrong `at` or while another request holds the upload, SizeInvalid for
        more or fewer bytes than announced, BlobTooLarge, BlobUploadUnknown. What arrived before an error stays, but
        after an error of the disk that may have cost some of it the upload is gone.
        """
        async with self._open(at) as appender:
            await self._receive(appender, chunks, length)
            return appender.offset

    async def commit(
        self, digest: Digest, chunks: AsyncIterable[bytes], at: int | None = None, length: int | None = None
    ) -> int:
        """Add the bytes of `chunks`, verify all, and make them the blob `digest` of the repository, durably.

        Returns the bytes of the blob. Raises as `append` does, and DigestInvalid, which ends the upload: nothing of it
        is left. A body that breaks off leaves the upload open.
        """
        async with self._open(at) as appender:
            running = await self._receive(appender, chunks, length, digest.algorithm)
            return await in_thread(self._finish, appender, digest, running)

    async def append_at_once(self, data: bytes, user: str | None, at: int | None = None) -> int:
        """`check_owner`, then `append` of a small body that is here already, in one hop to a thread."""
        try:
            return await in_thread(self._append_now, data, user, at)
        except NotAtOnce:
            await in_thread(self.admit, user, len(data))
            return await self.append(_stream(data), at)

    async def commit_at_once(self, digest: Digest, data: bytes, user: str | None, at: int | None = None) -> int:
        """`check_owner`, then `commit` of a small body that is here already, in one hop to a thread."""
        try:
            return await in_thread(self._commit_now, digest, data, user, at)
        except NotAtOnce:
            await in_thread(self.admit, user, len(data))
            return await self.commit(digest, _stream(data), at)

    def _append_now(self, data: bytes, user: str | None, at: int | None = None) -> int:
        with self._hold() as held:
            self.admit(user, len(data))  # with the lock held: who had it before may have lost bytes
            require_place(at, held.offset)
            running = self._receive_now(held, data)
            if running is not None:
                self._remember(held, running)
            return held.offset

    def _commit_now(self, digest: Digest, data: bytes, user: str | None, at: int | None = None) -> int:
        with self._hold() as held:
            self.admit(user, len(data))
            require_place(at, held.offset)
            return self._finish(held, digest, self._receive_now(held, data, digest.algorithm))

    async def cancel(self) -> None:
        """end-14: end the upload, but not under a request that is writing to it."""
        async with self._file.open(None, BUSY_WAIT):
            await in_thread(self.remove)

    async def expire(self, before_ns: int) -> bool:
        """Remove the upload if nothing was written to it since, and nobody is writing now; whether it did."""
        try:
            async with self._driver.appender(self._data, wait=0):
                return await in_thread(self._remove_if_older, before_ns)
        except PathBusy:
            return False
        except PathNotFound:  # a foreign upload without data, so that nobody is writing to it
            return await in_thread(self._remove_if_older, before_ns)

    def _remove_if_older(self, before_ns: int) -> bool:
        changed_ns = self.directory.changed_ns()
        if changed_ns is None or changed_ns >= before_ns:
            return False
        with suppress(BlobUploadUnknown):  # somebody was quicker
            self.remove()
        return True

    def remove(self) -> None:
        """End the upload with all that it holds; raises BlobUploadUnknown. Blocks."""
        self.directory.remove()

    @asynccontextmanager
    async def _open(self, at: int | None) -> AsyncIterator[Appender]:
        async with self._file.open(at, BUSY_WAIT) as appender:
            try:
                # Once more, with the lock held: who had it before may have lost bytes, and left only a note of that.
                await in_thread(self.directory.record)
                yield appender
            finally:  # whatever else went wrong: the next request must not find it
                if appender.is_lost:
                    await in_thread(self.directory.give_up, self._algorithm, self._owner)

    @contextmanager
    def _hold(self) -> Iterator[LockedFile]:
        with self._file.hold() as held:
            try:
                yield held
            finally:
                if held.is_lost:
                    self.directory.give_up(self._algorithm, self._owner)

    def _finish(self, appender: LockedFile, digest: Digest, running: Hash | None) -> int:
        if self._digest(appender, digest.algorithm, running) != digest:
            self.remove()
            raise DigestInvalid("the content received has another digest")
        appender.sync()  # before the lock that all commits share
        try:
            # What is on another file system than the blobs is copied before the lock.
            with self._driver.staged(self._data, layout.blob_data(digest)) as staged:
                self._publish(staged, digest)
        except (Unavailable, ConnectionAbortedError):
            if exists(self._driver, self._data):  # so it was not published, and the same request may come again
                appender.rewind()
            raise
        except OSError as error:
            self.directory.remove_after(error)
            raise
        return appender.offset

    def _publish(self, staged: layout.StoragePath, digest: Digest) -> None:
        link = layout.layer_link(self.repository, digest)
        with leases.commit_section(self._driver), leases.written_alone(self._driver, link):
            leases.place(self._driver, staged, digest)
            link_blob(self._driver, self.repository, digest)  # content before link; a new link is a lease
        with suppress(BlobUploadUnknown):  # an operator's `rm` was quicker; the blob is there all the same
            self.directory.remove_rest()

    async def _receive(
        self,
        appender: Appender,
        chunks: AsyncIterable[bytes],
        length: int | None,
        algorithm: str | None = None,
    ) -> Hash | None:
        """Take the body; with `algorithm`, the final digest's, the hash of all bytes if it is known."""
        begin = appender.offset
        end = self._max_size if length is None else begin + length
        if end > self._max_size:
            raise self._too_many_bytes(None)
        taking = Taking(appender, self._running_hash(appender, algorithm))
        received, whole, straight_from = begin, False, begin + FIRST
        try:
            room = Room(self._driver, self._data, begin)
            async for batch in batches(chunks):
                received += size_of(batch)
                self._check_end(end, length, received)
                if received - begin >= BATCH and room.is_due(received):  # for less, a write tells soon enough
                    await in_thread(room.require, received)
                await taking.take(batch)
                del batch  # while the next one is waited for, memory is held by what is written alone
                if received >= straight_from and isinstance(chunks, Flowing):
                    received = await taking.take_straight(chunks, partial(self._admit, end, length, room))
                    straight_from = received + BATCH
            whole = True
        finally:
            running = await taking.end()
            if running is not None and not (whole and algorithm):  # who commits needs no record
                await in_thread(self._remember, appender, running)
        if length is not None and appender.offset - begin != length:
            raise SizeInvalid(f"{length} bytes were announced, {appender.offset - begin} arrived")
        return running

    def _receive_now(self, held: LockedFile, data: bytes, algorithm: str | None = None) -> Hash | None:
        """As `_receive`, of a body that is here."""
        self._check_end(self._max_size, None, held.offset + len(data))
        running = self._running_hash(held, algorithm)
        held.write_now([memoryview(data)])  # if this fails, the hash is lost: it may know bytes that are not there
        if running is not None:
            running.update(data)
        return running

    def _admit(self, end: int, length: int | None, room: Room, size: int) -> None:
        self._check_end(end, length, size)
        room.require(size)

    def _check_end(self, end: int, length: int | None, size: int) -> None:
        if size > end:
            raise self._too_many_bytes(length)

    def _too_many_bytes(self, length: int | None) -> Exception:
        if length is None:
            return BlobTooLarge(f"a blob has at most {self._max_size} bytes here")
        return SizeInvalid(f"more than the announced {length} bytes arrived")

    def _running_hash(self, appender: LockedFile, algorithm: str | None) -> Hash | None:
        """A hash of all bytes so far, if that costs no reading; `algorithm` is the final digest's, once known."""
        if appender.offset == 0:
            return new_hash(algorithm or self._algorithm)
        return self._hashes.take(self.id, appender.opened, self._driver.epoch)

    def _remember(self, appender: LockedFile, running: Hash) -> None:
        stat = appender.stat()
        record = Record(
            running.name, stat.size, running.hexdigest(), stat.inode, stat.mtime_ns, self._driver.epoch, self._owner
        )
        self._hashes.give_back(self.id, record, running)
        if stat.size <= SMALL:  # another worker reads it again sooner than this one notes it
            return
        with suppress(OSError):  # a full disk: the hash only saves time, and the record that is there has the owner
            write_record(self._driver, self.id, record)

    def _digest(self, appender: LockedFile, algorithm: str, running: Hash | None) -> Digest:
        if running is not None and running.name == algorithm:
            return Digest.from_hash(running)
        return self._digest_of_file(algorithm, appender.stat())

    def _digest_of_file(self, algorithm: str, stat: Stat) -> Digest:
        record = read_record(self._driver, self.id)
        if (
            record is not None
            and (record.algorithm, record.epoch) == (algorithm, self._driver.epoch)
            and record.describes(stat)
        ):
            return Digest(f"{algorithm}:{record.encoded}")
        return hash_source(self._driver.source(self._data), algorithm)


async def _stream(data: bytes) -> AsyncIterator[bytes]:
    yield data
