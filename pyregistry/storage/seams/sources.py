"""Sources: the bytes of an object, for a client, a hash or a check. Each use asks what a source offers, not what it is.

A file of this machine is sent by the kernel, bytes in memory as they are, and everything else as a stream; only an
object store knows a URL at which a client may fetch the bytes itself.
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
"""Bytes that `blocks` reads at once."""
_FORGET_BYTES = 8 * BLOCK_BYTES
"""Bytes after which the system is told that they will not be read again."""

ContentId = int | str
"""Opaque, compared for equality only: the same as long as the bytes are those of one write, whoever touches them."""


class PathNotFound(Exception):
    """Nothing is at this path, or no longer."""


class OpenSource(Protocol):
    """Bytes that stay readable until `close`, though their object is replaced or removed meanwhile.

    `blocks` and `close` block; `stream` is for the event loop.
    """

    @property
    def size(self) -> int:
        """In bytes."""

    @property
    def content_id(self) -> ContentId:
        """Of what is open, which may be newer than the source: see Stat.content_id."""

    @property
    def file(self) -> BinaryIO | None:
        """A file of this machine, for the kernel to send; None where there is none."""

    @property
    def content(self) -> bytes | None:
        """All bytes, where they are in memory anyway; None elsewhere."""

    def blocks(self, *, once: bool = False) -> Iterator[bytes]:
        """Yield all bytes from the beginning, as often as it is called; raises OSError.

        With `once` they take no memory from what is read more often, and a second call asks the storage again.
        """

    def stream(self, begin: int, end: int) -> AsyncGenerator[bytes, None]:
        """Yield the bytes from `begin` up to `end`; raises OSError, also where there are fewer."""

    def close(self) -> None:
        """Give up what it takes to read."""


class Source(Protocol):
    """Ways in which a client may get the bytes of an object."""

    @property
    def size(self) -> int:
        """In bytes."""

    def redirect(self) -> str | None:
        """Return a URL at which a client may GET the bytes for a while; None: they are sent from here. Never blocks."""

    def open(self) -> OpenSource:
        """Open for reading; raises PathNotFound, OSError. Blocks."""


@contextmanager
def opened(source: Source) -> Iterator[OpenSource]:
    """Keep a source open until the block ends; raises PathNotFound, OSError. Blocks."""
    with closing(source.open()) as reading:
        yield reading


class OpenFile:
    """A file of this machine. See OpenSource."""

    content = None

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.file = file
        self.size = size

    @property
    def content_id(self) -> ContentId:
        """See OpenSource."""
        return os.fstat(self.file.fileno()).st_ino

    def blocks(self, *, once: bool = False) -> Iterator[bytes]:
        """See OpenSource."""
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
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)  # so that a second reading comes from the disk

    async def stream(self, begin: int, end: int) -> AsyncGenerator[bytes, None]:
        """See OpenSource. For what the kernel cannot send: over TLS."""
        handle = self.file.fileno()
        while begin < end:
            block = await in_reader(os.pread, handle, min(end - begin, uploads.block_size(BLOCK_BYTES)), begin)
            if not block:
                raise OSError("the file is shorter than it was")
            begin += len(block)
            yield block

    def close(self) -> None:
        """See OpenSource."""
        self.file.close()


@dataclass(frozen=True, slots=True)
class LocalFile:
    """Bytes in a file of this machine. See Source."""

    path: Path
    size: int

    def redirect(self) -> None:
        """See Source."""

    def open(self) -> OpenSource:
        """See Source."""
        try:
            return OpenFile(self.path.open("rb"), self.size)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):  # the last: a symbolic link since then
                raise
            raise PathNotFound from error


@dataclass(frozen=True, slots=True)
class Bytes:
    """Bytes in memory. See Source and OpenSource: they are always open."""

    content: bytes
    content_id: ContentId = 0
    file: None = field(default=None, init=False)

    @property
    def size(self) -> int:
        """In bytes."""
        return len(self.content)

    def redirect(self) -> None:
        """See Source."""

    def open(self) -> OpenSource:
        """See Source."""
        return self

    def blocks(self, *, once: bool = False) -> Iterator[bytes]:
        """See OpenSource."""
        yield self.content

    async def stream(self, begin: int, end: int) -> AsyncGenerator[bytes, None]:
        """See OpenSource."""
        yield self.content[begin:end]

    def close(self) -> None:
        """See OpenSource."""


def _sent_from_here() -> None:
    """Give no URL."""


@dataclass(frozen=True, slots=True)
class Remote:
    """Bytes of another machine. See Source and OpenSource: each reading is a request of its own.

    The readings ask for `content_id`, so that they fail rather than mix two objects.
    """

    size: int
    content_id: ContentId
    read_range: Callable[[int, int], Iterator[bytes]]
    """Reads from an offset up to another one; blocks. Raises OSError."""
    stream_range: Callable[[int, int], AsyncGenerator[bytes, None]]
    """The same for the event loop."""
    redirect: Callable[[], str | None] = _sent_from_here
    """See Source.redirect; by default all bytes are sent from here."""
    file: None = field(default=None, init=False)
    content: None = field(default=None, init=False)

    def open(self) -> OpenSource:
        """See Source."""
        return self

    def blocks(self, *, once: bool = False) -> Iterator[bytes]:
        """See OpenSource."""
        return _whole(self.read_range(0, self.size), self.size)

    def stream(self, begin: int, end: int) -> AsyncGenerator[bytes, None]:
        """See OpenSource."""
        return _whole_stream(self.stream_range(begin, end), end - begin)

    def close(self) -> None:
        """See OpenSource."""


def _whole(blocks: Iterator[bytes], size: int) -> Iterator[bytes]:
    """Raise OSError where other than `size` bytes come: a connection that broke off must not look like an end."""
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
        async with aclosing(blocks):  # also where the client is gone before the end
            async for block in blocks:
                left -= len(block)
                yield block
    _require_none(left, size)


@contextmanager
def _failing_as_a_disk() -> Iterator[None]:
    """Raise EIO for what could be taken for a client that is gone, or for an object that never was."""
    try:
        yield
    except (ConnectionError, PathNotFound) as error:
        raise OSError(errno.EIO, f"the storage broke off: {error}") from error


def _require_none(left: int, size: int) -> None:
    if left:
        raise OSError(errno.EIO, f"the storage sent {size - left} of {size} bytes")
