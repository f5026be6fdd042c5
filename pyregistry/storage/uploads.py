"""An upload: its state is its file, and the size of the file is the offset.

Hashing runs beside writing while the bytes arrive. hashlib cannot save its state, so a running hash lives in the
worker that began it (RunningHashes), and each request leaves on disk what the hash had reached (the record). A
closing request on another worker trusts that record if the file is still exactly the one that was hashed, and reads
the file again otherwise. What decides is always the digest of all the bytes.
"""

from collections.abc import AsyncIterable, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime
from functools import partial

import msgspec

from pyregistry.oci.digest import ALGORITHMS, CANONICAL, Digest, Hash, new_hash
from pyregistry.oci.errors import (
    BlobTooLarge,
    BlobUploadUnknown,
    DigestInvalid,
    SizeInvalid,
    StorageFull,
    UploadRangeInvalid,
)
from pyregistry.oci.names import RepositoryName, UploadId
from pyregistry.storage import layout, leases
from pyregistry.storage.batches import BATCH, Taking, batches
from pyregistry.storage.driver import Appender, Driver, PathBusy, PathNotFound, Stat
from pyregistry.storage.flowing import Flowing
from pyregistry.storage.hashing import Record, RunningHashes, hash_source
from pyregistry.storage.links import link_blob
from pyregistry.storage.threads import in_thread

BUSY_WAIT = 5.0
"""Seconds that a request waits for another one on the same upload."""
_CHECK_ROOM = 64 * 1024 * 1024
"""Bytes received between two looks at the free space."""


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
        self._data = layout.upload_data(name, upload_id)
        self._owner = ""
        self._algorithm = CANONICAL

    def begin(self, algorithm: str, owner: str | None) -> None:
        """Open it, as a new one. Blocks.

        Nothing is synced: an upload is promised to survive a crash, not a power cut.
        """
        self._owner, self._algorithm = owner or "", algorithm
        started_at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        if owner:  # first: an upload without this is anybody's
            self._write_record(Record(algorithm, owner=owner))
        self._driver.write(self._data, b"", durable=False)
        self._driver.write(layout.upload_started_at(self.repository, self.id), started_at.encode(), durable=False)
        if algorithm != CANONICAL and not owner:
            self._write_record(Record(algorithm))

    def check_owner(self, user: str | None) -> None:
        """Raise BlobUploadUnknown if another user began it; one that nobody with a name began is anybody's. Blocks."""
        record = self._read_record()
        if record is not None:
            self._owner, self._algorithm = record.owner, record.algorithm
        if self._owner not in {"", user}:
            raise BlobUploadUnknown({"upload": self.id})

    def offset(self) -> int:
        """How many bytes there are; raises BlobUploadUnknown. Blocks."""
        try:
            return self._driver.stat(self._data).size
        except PathNotFound:
            pass
        try:  # the CNCF registry may leave an upload without a data file
            self._driver.stat(layout.upload_started_at(self.repository, self.id))
        except PathNotFound as error:
            raise BlobUploadUnknown({"upload": self.id}) from error
        return 0

    async def append(self, chunks: AsyncIterable[bytes], at: int | None = None, length: int | None = None) -> int:
        """Add the bytes of `chunks`; return the offset behind them.

        `at` is the offset at which the client thinks it stands, `length` the bytes that it announced, where it said
        so. Raises UploadRangeInvalid for a wrong `at` or while another request holds the upload, SizeInvalid for
        more or fewer bytes than announced, BlobTooLarge, BlobUploadUnknown. What arrived before an error stays.
        """
        async with self._open(at) as appender:
            await self._receive(appender, chunks, length)
            return appender.offset

    async def commit(
        self, digest: Digest, chunks: AsyncIterable[bytes], at: int | None = None, length: int | None = None
    ) -> None:
        """Add the bytes of `chunks`, verify all, and make them the blob `digest` of the repository, durably.

        Raises as `append` does, and DigestInvalid, which ends the upload: nothing of it is left. A body that breaks
        off leaves the upload open.
        """
        async with self._open(at) as appender:
            running = await self._receive(appender, chunks, length, digest.algorithm)
            await in_thread(self._finish, appender, digest, running)

    async def cancel(self) -> None:
        """end-14: end the upload, but not under a request that is writing to it."""
        async with self._open(None):
            await in_thread(self.remove)

    def is_older(self, before_ns: int) -> bool:
        """True if nothing was written since, in nanoseconds since the epoch; False if it does not exist. Blocks."""
        times = []
        for path in (self._data, layout.upload_started_at(self.repository, self.id)):
            with suppress(PathNotFound):
                times.append(self._driver.stat(path).mtime_ns)
        return bool(times) and max(times) < before_ns

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
        if not self.is_older(before_ns):
            return False
        with suppress(BlobUploadUnknown):  # somebody was quicker
            self.remove()
        return True

    def remove(self) -> None:
        """End the upload with all that it holds; raises BlobUploadUnknown. Blocks."""
        self._hashes.drop(self.id)
        # Not durably: what a power cut brings back is an upload that nobody goes on with.
        with suppress(PathNotFound):
            self._driver.delete(layout.upload_record(self.id), durable=False)
        try:
            self._driver.delete(layout.upload(self.repository, self.id), durable=False)
        except PathNotFound as error:
            raise BlobUploadUnknown({"upload": self.id}) from error

    def _finish(self, appender: Appender, digest: Digest, running: Hash | None) -> None:
        if self._digest(appender, digest.algorithm, running) != digest:
            self.remove()
            raise DigestInvalid("the content received has another digest")
        appender.sync()  # before the lock that all commits share
        self._publish(digest)

    def _publish(self, digest: Digest) -> None:
        with leases.commit_section(self._driver):
            leases.place(self._driver, self._data, digest)
            link_blob(self._driver, self.repository, digest)  # content before link; a new link is a lease
        with suppress(BlobUploadUnknown):  # an operator's `rm` was quicker; the blob is there all the same
            self.remove()

    @asynccontextmanager
    async def _open(self, at: int | None) -> AsyncIterator[Appender]:
        try:
            async with self._appender() as appender:
                if at is not None and at != appender.offset:
                    raise UploadRangeInvalid(f"this upload stands at byte {appender.offset}, the request at {at}")
                yield appender
        except PathNotFound as error:
            raise BlobUploadUnknown({"upload": self.id}) from error
        except PathBusy as error:
            raise UploadRangeInvalid("another request is writing to this upload") from error

    @asynccontextmanager
    async def _appender(self) -> AsyncIterator[Appender]:
        async with AsyncExitStack() as stack:
            try:
                appender = await stack.enter_async_context(self._driver.appender(self._data, wait=BUSY_WAIT))
            except PathNotFound:
                await in_thread(self.offset)  # raises, unless it is a foreign upload that has no data file yet
                creating = self._driver.appender(self._data, wait=BUSY_WAIT, create=True)
                appender = await stack.enter_async_context(creating)
            yield appender

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
        received, whole = begin, False
        try:
            checked_at = begin - _CHECK_ROOM
            async for batch in batches(chunks):
                self._check_end(end, length, received + len(batch))
                if len(batch) >= BATCH and received - checked_at >= _CHECK_ROOM:  # for less, a write tells soon enough
                    await in_thread(self._require_room, len(batch))
                    checked_at = received
                received += len(batch)
                await taking.take(batch)
                if len(batch) >= BATCH and isinstance(chunks, Flowing):
                    received = await taking.take_straight(chunks, partial(self._admit, end, length))
            whole = True
        finally:
            running = await taking.end()
            if running is not None and not (whole and algorithm):  # who commits needs no record
                await in_thread(self._remember, appender, running)
        if length is not None and appender.offset - begin != length:
            raise SizeInvalid(f"{length} bytes were announced, {appender.offset - begin} arrived")
        return running

    def _admit(self, end: int, length: int | None, size: int) -> None:
        self._check_end(end, length, size)
        self._require_room(BATCH)

    def _check_end(self, end: int, length: int | None, size: int) -> None:
        if size > end:
            raise self._too_many_bytes(length)

    def _require_room(self, size: int) -> None:
        if self._driver.room() < size:
            raise StorageFull("the storage has no room for this upload")

    def _too_many_bytes(self, length: int | None) -> Exception:
        if length is None:
            return BlobTooLarge(f"a blob has at most {self._max_size} bytes here")
        return SizeInvalid(f"more than the announced {length} bytes arrived")

    def _running_hash(self, appender: Appender, algorithm: str | None) -> Hash | None:
        """A hash of all bytes so far, if that costs no reading; `algorithm` is the final digest's, once known."""
        if appender.offset == 0:
            return new_hash(algorithm or self._algorithm)
        return self._hashes.take(self.id, appender.opened)

    def _remember(self, appender: Appender, running: Hash) -> None:
        stat = appender.stat()
        record = Record(
            running.name, stat.size, running.hexdigest(), stat.inode, stat.mtime_ns, self._driver.epoch, self._owner
        )
        self._hashes.give_back(self.id, record, running)
        with suppress(OSError):  # a full disk: the hash only saves time, and the record that is there has the owner
            self._write_record(record)

    def _write_record(self, record: Record) -> None:
        self._driver.write(layout.upload_record(self.id), msgspec.json.encode(record), durable=False)

    def _read_record(self) -> Record | None:
        try:
            record = msgspec.json.decode(self._driver.read(layout.upload_record(self.id)), type=Record)
        except (PathNotFound, msgspec.DecodeError, UnicodeDecodeError):  # the last two: torn by a power cut
            return None
        return record if record.algorithm in ALGORITHMS else None

    def _digest(self, appender: Appender, algorithm: str, running: Hash | None) -> Digest:
        if running is not None and running.name == algorithm:
            return Digest.from_hash(running)
        return self._digest_of_file(algorithm, appender.stat())

    def _digest_of_file(self, algorithm: str, stat: Stat) -> Digest:
        record = self._read_record()
        if (
            record is not None
            and (record.algorithm, record.epoch) == (algorithm, self._driver.epoch)
            and record.describes(stat)
        ):
            return Digest(f"{algorithm}:{record.encoded}")
        return hash_source(self._driver.source(self._data), algorithm)
