"""The protocol of uploads: they receive the bytes of a blob, request by request, and commit them as the blob.

Implementations differ in where the bytes are meanwhile: `local/uploads` appends to a file, `uploads/pieces` writes
objects. `tests/storage/test_uploads_contract.py` tests each of them.
"""

from abc import abstractmethod
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

from pyregistry.oci.digest import Digest
from pyregistry.oci.errors import BlobTooLarge, SizeInvalid, StorageFull, UploadRangeInvalid
from pyregistry.oci.names import RepositoryName, UploadId
from pyregistry.threads.offload import in_thread

SMALL_BYTES = 64 * 1024
"""Largest body that one thread call takes, and largest upload that is re-read at its commit."""
BUSY_WAIT_SECONDS = 5.0
"""Longest wait of a request for another one on the same upload."""

Read = Callable[[memoryview], Sequence[memoryview]]
"""Fill the buffer with the bytes that are available; return the slices that are body, none if the sender pauses.

Blocks for some milliseconds.
"""
DirectReader = Callable[[], AbstractContextManager[Read | None]]
"""Reads the body without the event loop until the end of the block; gives None if that is not possible."""


class WouldBlock(Exception):
    """One thread call cannot take the body: another request is writing, or the upload is not ready."""


class UploadState(NamedTuple):
    """Recent state of an upload."""

    size: int
    """Size in bytes."""
    changed_ns: int
    """Time of the last byte, in nanoseconds since the epoch."""


class Upload(Protocol):
    """One upload of a repository, by its id; its first use shows whether it is open.

    Bytes of two requests are never mixed, even through two servers: one of them waits for up to BUSY_WAIT_SECONDS or
    raises UploadRangeInvalid. Every client can resume from that. An OSError is an error of the storage. Bytes that
    arrived before an error stay, unless the storage may have lost some: then the upload is removed.
    """

    @property
    @abstractmethod
    def repository(self) -> RepositoryName:
        """Repository in which it was begun."""

    @property
    @abstractmethod
    def id(self) -> UploadId:
        """Id of the upload."""

    @abstractmethod
    def check_owner(self, user: str | None) -> None:
        """Raise BlobUploadUnknown if another user began it, or if its bytes may be lost. Blocks.

        An upload that was begun without a user name is open to all.
        """

    @abstractmethod
    def admit(self, user: str | None, size: int) -> None:
        """Do as `check_owner`, and raise StorageFull without free space for a body of `size` bytes. Blocks."""

    @abstractmethod
    def offset(self) -> int:
        """Return the number of bytes received; raise BlobUploadUnknown. Blocks."""

    @abstractmethod
    def state(self) -> UploadState | None:
        """Return its size and last change; None if it is not open. Blocks."""

    @abstractmethod
    def available_bytes(self) -> int:
        """Return the number of bytes that it may still receive. Blocks."""

    @abstractmethod
    async def append(
        self,
        chunks: AsyncIterable[bytes],
        at: int | None = None,
        length: int | None = None,
        direct: DirectReader | None = None,
    ) -> int:
        """Add the bytes of `chunks`; return the new offset.

        `at` is the offset that the client claims, `length` the size that it announced; None: it did not say. An empty
        chunk is a pause of the client. An implementation may read with `direct` between two chunks.

        Raises UploadRangeInvalid for a wrong `at`, SizeInvalid for more or fewer bytes than announced. Raises also
        BlobTooLarge, BlobUploadUnknown, StorageFull, OSError, and errors of `chunks`.
        """

    @abstractmethod
    async def commit(
        self,
        digest: Digest,
        chunks: AsyncIterable[bytes],
        at: int | None = None,
        length: int | None = None,
        direct: DirectReader | None = None,
    ) -> int:
        """Do as `append`, verify all bytes, and publish them as the blob `digest` of the repository; return its size.

        When this returns, the blob survives a power cut.

        Raises as `append`, and DigestInvalid, which ends the upload. An incomplete body leaves it open. After
        Unavailable the bytes of this body are dropped, so that the client may retry.
        """

    async def append_at_once(self, data: bytes, user: str | None, at: int | None = None) -> int:
        """Do as `admit` and `append`, for a body of at most SMALL_BYTES that has arrived.

        An implementation may override this with a cheaper way.
        """
        await in_thread(self.admit, user, len(data))
        return await self.append(_stream(data), at)

    async def commit_at_once(self, digest: Digest, data: bytes, user: str | None, at: int | None = None) -> int:
        """Do as `admit` and `commit`, for a body of at most SMALL_BYTES that has arrived."""
        await in_thread(self.admit, user, len(data))
        return await self.commit(digest, _stream(data), at)

    @abstractmethod
    async def cancel(self) -> None:
        """End it and drop its bytes, but not while a request writes to it. Raises as `append`."""

    @abstractmethod
    async def expire(self, before_ns: int) -> bool:
        """End it if no byte arrived since `before_ns`, nanoseconds since the epoch; return True if it was ended.

        Does not wait: an upload that a request writes to stays.
        """

    @abstractmethod
    def remove(self) -> None:
        """End it at once, for the only request that knows of it; raise BlobUploadUnknown. Blocks."""


class Uploads(Protocol):
    """Open uploads of all repositories. Blocking; safe for use from several threads."""

    def begin(self, name: RepositoryName, upload_id: UploadId, algorithm: str, owner: str | None, size: int) -> Upload:
        """Open a new upload, owned by that user if there is one; raise StorageFull without space for `size` bytes.

        `algorithm` is that of the digest which the client announced. The upload survives a crash of this process.
        """

    def open(self, name: RepositoryName, upload_id: UploadId) -> Upload:
        """Return the upload of that id, open or not."""

    def list(self, name: RepositoryName) -> Iterator[Upload]:
        """Yield the uploads of a repository, in the order of their ids."""


class Bounds:
    """Limits of an upload's size while one body arrives. All sizes are those of the upload, in bytes."""

    def __init__(self, begin: int, length: int | None, max_size: int) -> None:
        """Raise BlobTooLarge if more than `max_size` bytes are announced."""
        self.begin = begin
        self._length = length
        self._max_size = max_size
        if length is not None and begin + length > max_size:
            raise self._too_large()
        self._end = max_size if length is None else begin + length

    def check(self, size: int) -> None:
        """Raise SizeInvalid for more bytes than announced, BlobTooLarge for more than a blob may have."""
        if size > self._end:
            if self._length is None:
                raise self._too_large()
            raise SizeInvalid(f"more than the announced {self._length} bytes arrived")

    def require_length(self, size: int) -> None:
        """Raise SizeInvalid for fewer bytes than announced."""
        if self._length is not None and size - self.begin != self._length:
            raise SizeInvalid(f"{self._length} bytes were announced, {size - self.begin} arrived")

    def _too_large(self) -> BlobTooLarge:
        return BlobTooLarge(f"a blob has at most {self._max_size} bytes here")


def check_offset(at: int | None, offset: int) -> None:
    """Raise UploadRangeInvalid where the client claims another offset; None: it did not say."""
    if at is not None and at != offset:
        raise UploadRangeInvalid(f"this upload continues at byte {offset}, the request begins at {at}")


def busy() -> UploadRangeInvalid:
    """Return the error for a request while another one writes to the same upload."""
    return UploadRangeInvalid("another request is writing to this upload")


def storage_full() -> StorageFull:
    """Return the error for bytes that do not fit into the storage."""
    return StorageFull("the storage has not enough free space for this")


async def _stream(data: bytes) -> AsyncIterator[bytes]:
    yield data
