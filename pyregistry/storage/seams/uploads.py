"""The seam of uploads: what takes the bytes of a blob, request by request, and makes the blob of them.

An implementation says where the bytes lie meanwhile: `local_uploads` appends to a file, `piece_uploads` writes objects.
`tests/storage/test_uploads_contract.py` holds each of them to what is promised here.
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
"""Largest body that is taken in one hop to a thread, and largest upload that is read again at its commit."""
BUSY_WAIT_SECONDS = 5.0
"""Longest wait of a request for another one on the same upload."""

Read = Callable[[memoryview], Sequence[memoryview]]
"""Fill the buffer with the bytes that are available; return the slices that are body, none if the sender pauses.

Blocks for some milliseconds.
"""
DirectReader = Callable[[], AbstractContextManager[Read | None]]
"""Reads the body past the event loop until the end of the block; gives None where that is not possible."""


class WouldBlock(Exception):
    """A body that has arrived cannot be taken in one hop: another request is writing, or the upload is not ready."""


class UploadState(NamedTuple):
    """An upload as it was a moment ago."""

    size: int
    """In bytes."""
    changed_ns: int
    """Time of the last byte, in nanoseconds since the epoch."""


class Upload(Protocol):
    """One upload of a repository, by its id; whether it is open shows at its first use.

    Bytes of two requests are never mixed, also through two servers: one of them waits for up to BUSY_WAIT_SECONDS or
    raises UploadRangeInvalid, from which every client can resume. An OSError is an error of the storage. Bytes that
    arrived before an error stay, unless the storage may have lost some: then the upload is gone.
    """

    @property
    @abstractmethod
    def repository(self) -> RepositoryName:
        """Repository in which it was begun."""

    @property
    @abstractmethod
    def id(self) -> UploadId:
        """Its id."""

    @abstractmethod
    def check_owner(self, user: str | None) -> None:
        """Raise BlobUploadUnknown if another user began it, or if its bytes may be lost. Blocks.

        An upload that was begun without a user name is open to all.
        """

    @abstractmethod
    def admit(self, user: str | None, size: int) -> None:
        """Do as `check_owner`, and raise StorageFull without room for a body of `size` bytes. Blocks."""

    @abstractmethod
    def offset(self) -> int:
        """Return the bytes that it holds; raise BlobUploadUnknown. Blocks."""

    @abstractmethod
    def state(self) -> UploadState | None:
        """Return its size and age; None if it is not open. Blocks."""

    @abstractmethod
    def available_bytes(self) -> int:
        """Return the bytes that it may still take. Blocks."""

    @abstractmethod
    async def append(
        self,
        chunks: AsyncIterable[bytes],
        at: int | None = None,
        length: int | None = None,
        direct: DirectReader | None = None,
    ) -> int:
        """Add the bytes of `chunks`; return the offset behind them.

        `at` is the offset that the client claims, `length` the bytes that it announced; None: it did not say. An empty
        chunk is a pause of the client. An implementation that can use `direct` may read with it between two chunks.

        Raises UploadRangeInvalid for a wrong `at`, SizeInvalid for more or fewer bytes than announced, BlobTooLarge,
        BlobUploadUnknown, StorageFull, OSError, and what `chunks` raises.
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
        """Do as `append`, verify all bytes, and make them the blob `digest` of the repository; return its size.

        When this returns, the blob survives a power cut.

        Raises as `append`, and DigestInvalid, which ends the upload. A body that breaks off leaves it open. After
        Unavailable the bytes of this body are taken back, so that the same request may come again.
        """

    async def append_at_once(self, data: bytes, user: str | None, at: int | None = None) -> int:
        """Do as `admit` and `append`, for a body of at most SMALL_BYTES that has arrived.

        An implementation overrides this where it has a shorter way.
        """
        await in_thread(self.admit, user, len(data))
        return await self.append(_stream(data), at)

    async def commit_at_once(self, digest: Digest, data: bytes, user: str | None, at: int | None = None) -> int:
        """Do as `admit` and `commit`, for a body of at most SMALL_BYTES that has arrived."""
        await in_thread(self.admit, user, len(data))
        return await self.commit(digest, _stream(data), at)

    @abstractmethod
    async def cancel(self) -> None:
        """End it and drop its bytes, but not under a request that writes to it. Raises as `append`."""

    @abstractmethod
    async def expire(self, before_ns: int) -> bool:
        """End it unless a byte came since then, in nanoseconds since the epoch; return True if it was ended.

        Does not wait: an upload to which a request writes stays.
        """

    @abstractmethod
    def remove(self) -> None:
        """End it at once, for a request that alone knows of it; raise BlobUploadUnknown. Blocks."""


class Uploads(Protocol):
    """The open uploads of all repositories. Blocking; safe for use from several threads."""

    def begin(self, name: RepositoryName, upload_id: UploadId, algorithm: str, owner: str | None, size: int) -> Upload:
        """Open a new upload, of that user if there is one; raise StorageFull without room for `size` bytes.

        `algorithm` is that of the digest which the client announced. A crash of this process does not lose it.
        """

    def open(self, name: RepositoryName, upload_id: UploadId) -> Upload:
        """Return the upload of that id; it does not look whether it is open."""

    def list(self, name: RepositoryName) -> Iterator[Upload]:
        """Yield the uploads of a repository, in the order of their ids."""


class Bounds:
    """Bytes that an upload may have while one body arrives. All sizes are those of the upload, in bytes."""

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
        raise UploadRangeInvalid(f"this upload stands at byte {offset}, the request at {at}")


def busy() -> UploadRangeInvalid:
    """Return the refusal of a request that another one on the same upload stands in the way of."""
    return UploadRangeInvalid("another request is writing to this upload")


def no_room() -> StorageFull:
    """Return the refusal of bytes that the storage has no room for."""
    return StorageFull("the storage has no room for this")


async def _stream(data: bytes) -> AsyncIterator[bytes]:
    yield data
