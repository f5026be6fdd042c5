"""Sources: the bytes of an object, for a client, a hash or a check. Callers ask what a source offers, not its type.

The kernel sends a file of this machine. Bytes in memory are sent as they are, and everything else as a stream. Only an
object store knows a URL from which a client may fetch the bytes itself.
"""

import errno
import os
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Protocol

from pyregistry.threads.offload import in_reader
from pyregistry.threads.upload_budget import uploads

BLOCK_BYTES = 1024 * 1024
"""Bytes in a block."""
_FORGET_BYTES = 8 * BLOCK_BYTES
"""Bytes after which `blocks` drops them from the page cache."""

ContentId = int | str
"""Opaque, compared for equality only: it changes with each write, but not with a touch."""


class PathNotFound(Exception):
    """The path does not exist, or no longer exists."""


class OpenSource(Protocol):
    """Bytes that stay readable until `close`, even if their object is replaced or removed meanwhile.

    `blocks` and `close` block; `stream` is for the event loop.
    """

    @property
    def size(self) -> int:
        """Size in bytes."""

    @property
    def content_id(self) -> ContentId:
        """Content id of the open bytes, which may be newer than the source: see Stat.content_id."""

    @property
    def file(self) -> BinaryIO | None:
        """A file of this machine, for the kernel to send, if there is one."""

    @property
    def content(self) -> bytes | None:
        """All bytes if they are in memory anyway, otherwise None."""

    def blocks(self, *, once: bool = False) -> Iterator[bytes]:
        """Yield all bytes from the beginning; may be called again; raises OSError.

        With `once` they do not stay in the page cache, and a second call reads from the storage again.
        """

    def stream(self, begin: int, end: int) -> AsyncGenerator[bytes, None]:
        """Yield the bytes from `begin` to `end`; raises OSError, also if there are fewer."""

    def close(self) -> None:
        """Close it."""


class Source(Protocol):
    """Ways in which a client may get the bytes of an object."""

    @property
    def size(self) -> int:
        """Size in bytes."""

    def redirect(self) -> str | None:
        """Return a temporary URL for the client to GET the bytes; None: they are sent from here. Never blocks."""

    def open(self) -> OpenSource:
        """Open for reading; raises PathNotFound, OSError. Blocks."""


@contextmanager
def opened(source: Source) -> Iterator[OpenSource]:
    """Keep a source open until the block ends; raises PathNotFound, OSError. Blocks."""
    with closing(source.open()) as reading:
        yield reading


class OpenFile:
    """Open file of this machine, an OpenSource."""

    content = None

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.file = file
        self.size = size

    @property
    def content_id(self) -> ContentId:
        """The inode number."""
        return os.fstat(self.file.fileno()).st_ino

    def blocks(self, *, once: bool = False) -> Iterator[bytes]:
        """Yield all bytes; with `once` drop them from the page cache."""
        handle = self.file.fileno()
        if once:
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_SEQUENTIAL)
        offset = forgotten = 0
        while block := os.pread(handle, BLOCK_BYTES, offset):
            offset += len(block)
            yield block
            if once and offset - forgotten >= _FORGET_BYTES:
                os.posix_fadvise(handle, forgotten, offset - forgotten, os.POSIX_FADV_DONTNEED)
                forgotten = offset
        if once:
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)  # so that a second call reads from the disk

    async def stream(self, begin: int, end: int) -> AsyncGenerator[bytes, None]:
        """Yield the bytes from `begin` to `end`, for TLS, where the kernel cannot send the file."""
        handle = self.file.fileno()
        while begin < end:
            block = await in_reader(os.pread, handle, min(end - begin, uploads.block_size(BLOCK_BYTES)), begin)
            if not block:
                raise OSError("the file is shorter than it was")
            begin += len(block)
            yield block

    def close(self) -> None:
        """Close the file."""
        self.file.close()


@dataclass(frozen=True, slots=True)
class LocalFile:
    """Source of a file of this machine."""

    path: Path
    size: int

    def redirect(self) -> None:
        """Return None: there is no URL."""

    def open(self) -> OpenSource:
        """Open the file; raises PathNotFound, OSError. Blocks."""
        try:
            return OpenFile(self.path.open("rb"), self.size)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):  # the last: a symbolic link since then
                raise
            raise PathNotFound from error


@dataclass(frozen=True, slots=True)
class Bytes:
    """Bytes in memory: a Source, and an OpenSource that is always open."""

    content: bytes
    content_id: ContentId = 0
    file: None = field(default=None, init=False)

    @property
    def size(self) -> int:
        """Size in bytes."""
        return len(self.content)

    def redirect(self) -> None:
        """Return None: there is no URL."""

    def open(self) -> OpenSource:
        """Return itself."""
        return self

    def blocks(self, *, once: bool = False) -> Iterator[bytes]:
        """Yield all bytes as one block."""
        yield self.content

    async def stream(self, begin: int, end: int) -> AsyncGenerator[bytes, None]:
        """Yield the bytes from `begin` to `end` as one block."""
        yield self.content[begin:end]

    def close(self) -> None:
        """Do nothing."""


def _sent_from_here() -> None:
    """Return None: there is no URL."""


@dataclass(frozen=True, slots=True)
class Remote:
    """Bytes of another machine: a Source and an OpenSource. Each read is a request of its own.

    Reads ask for `content_id`, so that they fail rather than mix two objects.
    """

    size: int
    content_id: ContentId
    read_range: Callable[[int, int], Iterator[bytes]]
    """Reads from one offset to another; blocks. Raises OSError."""
    stream_range: Callable[[int, int], AsyncGenerator[bytes, None]]
    """The same for the event loop."""
    redirect: Callable[[], str | None] = _sent_from_here
    """As Source.redirect; by default there is no URL."""
    file: None = field(default=None, init=False)
    content: None = field(default=None, init=False)

    def open(self) -> OpenSource:
        """Return itself: nothing is requested yet."""
        return self

    def blocks(self, *, once: bool = False) -> Iterator[bytes]:
        """Request all bytes; raise OSError if it gets more or fewer."""
        return _whole(self.read_range(0, self.size), self.size)

    def stream(self, begin: int, end: int) -> AsyncGenerator[bytes, None]:
        """Request the bytes from `begin` to `end`; raise OSError if it gets more or fewer."""
        return _whole_stream(self.stream_range(begin, end), end - begin)

    def close(self) -> None:
        """Do nothing."""


def _whole(blocks: Iterator[bytes], size: int) -> Iterator[bytes]:
    """Raise OSError for more or fewer than `size` bytes: a broken connection must not look like the end."""
    left = size
    with _failing_as_a_disk():
        for block in blocks:
            left -= len(block)
            yield block
    _require_none(left, size)


async def _whole_stream(blocks: AsyncGenerator[bytes, None], size: int) -> AsyncGenerator[bytes, None]:
    """Do the same on the event loop."""
    left = size
    with _failing_as_a_disk():
        async with aclosing(blocks):  # also if the client disconnects before the end
            async for block in blocks:
                left -= len(block)
                yield block
    _require_none(left, size)


@contextmanager
def _failing_as_a_disk() -> Iterator[None]:
    """Raise EIO for errors that could be taken for a client that disconnected, or for a missing object."""
    try:
        yield
    except (ConnectionError, PathNotFound) as error:
        raise OSError(errno.EIO, f"the storage broke off: {error}") from error


def _require_none(left: int, size: int) -> None:
    if left:
        raise OSError(errno.EIO, f"the storage sent {size - left} of {size} bytes")
