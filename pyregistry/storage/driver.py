"""Bytes at paths: what a storage backend must do. `tests/storage/contract.py` holds every driver to it."""

import errno
from collections.abc import Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

from pyregistry.storage import layout
from pyregistry.storage.layout import StoragePath


class PathNotFound(Exception):
    """Nothing is at this path, or no longer."""


class PathBusy(Exception):
    """Another request holds the file."""


class NotDurable(OSError):
    """A file was renamed, and its directory could not be synced: a new name is taken back, also that of a `move`."""


class Stat(NamedTuple):
    """The object at a path; a directory is not a file, nor is a symbolic link that leads to none.

    `size` in bytes; `mtime_ns` in nanoseconds since the epoch; `inode` changes when a file is replaced. Of a symbolic
    link to a file `size` is the file's, and time and inode are the link's own: those a touch and a push change.
    """

    size: int
    mtime_ns: int
    inode: int
    is_file: bool
    leads_to: tuple[int, int, int] | None = None
    """Device, inode and time of the file that a symbolic link leads to; None for what is no such link."""

    @property
    def file_inode(self) -> int:
        """The inode of the file that is read, at the end of a symbolic link."""
        return self.inode if self.leads_to is None else self.leads_to[1]

    @property
    def times(self) -> tuple[int, ...]:
        """The time of what is there and, for a symbolic link, that of its file, in nanoseconds since the epoch."""
        return (self.mtime_ns,) if self.leads_to is None else (self.mtime_ns, self.leads_to[2])


@dataclass(frozen=True, slots=True)
class LocalFile:
    """Bytes in a file of this machine, for the kernel to send."""

    path: Path
    size: int

    def open(self) -> BinaryIO:
        """Open for reading; raises PathNotFound. Blocks: call it off the event loop."""
        try:
            return self.path.open("rb")
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):  # the last: a symbolic link since then
                raise
            raise PathNotFound from error


@dataclass(frozen=True, slots=True)
class Bytes:
    """Bytes in memory."""

    content: bytes

    @property
    def size(self) -> int:
        """In bytes."""
        return len(self.content)


Source = LocalFile | Bytes
"""How a client may get the bytes of a path."""


class LockedFile(Protocol):
    """A file that is open for appending, held exclusively across processes."""

    @property
    def opened(self) -> Stat:
        """The file as it was when it was opened and locked."""

    @property
    def offset(self) -> int:
        """The size of the file, in bytes."""

    @property
    def is_lost(self) -> bool:
        """True after an error that may have cost bytes of the file: the kernel reports such an error only once."""

    def write_now(self, pieces: Sequence[memoryview]) -> None:
        """Append all of these; on an error what was written so far stays, unless `is_lost`. Blocks."""

    def rewind(self) -> None:
        """Take back all that was appended since it was opened. Blocks."""

    def sync(self) -> None:
        """Return when all that was written survives a power cut. Blocks."""

    def stat(self) -> Stat:
        """Of the open file. Blocks."""


class Appender(LockedFile, Protocol):
    """For whoever is on the event loop, and awaits the bytes."""

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append all of `data`; on an error what was written so far stays, unless `is_lost`."""


class Driver(Protocol):
    """Storage at paths below one root. Blocking, but for an appender's writes; safe for use from several threads.

    An I/O error other than "not there" is raised as the OSError that it is.
    """

    @property
    def epoch(self) -> str:
        """Changes when bytes that were written but not synced may have been lost: with a boot, and with a mount."""

    def read(self, path: StoragePath, limit: int | None = None) -> bytes:
        """The whole file, or its first `limit` bytes; raises PathNotFound. Symbolic links are followed."""

    def write(self, path: StoragePath, data: bytes, *, durable: bool = True, private: bool = False) -> None:
        """Replace the file with `data`: nobody ever sees a part of it, and if it is `private`, no other user any.

        When this returns, the file and every directory made for it survive a power cut, unless `durable` is False.
        """

    def create(self, path: StoragePath, data: bytes) -> None:
        """Make a file that is not there, and that nobody looks for yet: neither durably nor in one step."""

    def mark(self, path: StoragePath) -> None:
        """Make an empty file, unless there is one, in a directory that is there; raise PathNotFound. Not durably."""

    def make_directory(self, path: StoragePath, *, durable: bool = True) -> None:
        """Make a directory and those above it, where missing."""

    def stat(self, path: StoragePath) -> Stat:
        """Look at a path; raises PathNotFound. A symbolic link that leads nowhere is there, and is no file."""

    def set_mtime(self, path: StoragePath, mtime_ns: int | None) -> None:
        """Give a file this time, in nanoseconds since the epoch; not durably. Raises PathNotFound.

        The file system may round it. None is now, by the clock of the file system: for that the right to write is
        enough, while any other time needs the owner.
        """

    def children(self, path: StoragePath, after: str | None = None, *, strict: bool = False) -> Iterator[str]:
        """The names in a directory in byte order, those behind `after`; nothing where there is no directory.

        Symbolic links are left out: they could lead outside the root. With `strict` one of them is an OSError: who must
        see all that a path can lead to cannot go on.
        """

    def symbolic_links(self, path: StoragePath) -> list[str]:
        """The names that `children` leaves out."""

    def scan(self, path: StoragePath, leaf: str, *, strict: bool = False) -> Iterator[tuple[str, Stat | None]]:
        """The names in a directory as `children` gives them, each with the stat of what is called `leaf` in it."""

    def move(self, source: StoragePath, target: StoragePath) -> None:
        """Rename a file over `target`, durably; raises PathNotFound. To another file system it is copied.

        Raises NotDurable where the new name cannot be synced; if there was none before, the file is at `source` again.
        """

    def staged(self, source: StoragePath, target: StoragePath) -> AbstractContextManager[StoragePath]:
        """Give a path from which a `move` to `target` is no more than a rename; raise PathNotFound.

        It is `source` itself or, where that is on another file system, a synced copy, removed at the end of the block.
        """

    def delete(self, path: StoragePath, *, durable: bool = True) -> None:
        """Remove a file, or a directory with everything below, at once; raises PathNotFound.

        When this returns, it stays removed after a power cut, unless `durable` is False.
        """

    def discard(self, path: StoragePath) -> None:
        """Remove a file or a directory in one step, neither durably nor freeing its bytes; raises PathNotFound."""

    def sync(self) -> None:
        """Return when all that was written and removed so far survives a power cut: expensive, so once for many."""

    def empty_trash(self) -> None:
        """Free what was discarded, also by a process that died."""

    def prune(self, path: StoragePath) -> bool:
        """Remove the directories at and below `path` that hold no file; whether `path` itself is gone."""

    def appender(
        self, path: StoragePath, *, wait: float, create: bool = False
    ) -> AbstractAsyncContextManager[Appender]:
        """Open a file for appending.

        Waits `wait` seconds for another holder, then raises PathBusy. Raises PathNotFound, also when the file was
        replaced or removed while waiting. With `create`, missing directories and the file are made.
        """

    def held(self, path: StoragePath) -> AbstractContextManager[LockedFile]:
        """Open a file for appending as `appender` does, but blocking, and without waiting for another holder."""

    def source(self, path: StoragePath) -> Source:
        """How to send the bytes of a file; raises PathNotFound."""

    def room(self, path: StoragePath = layout.REPOSITORIES) -> int:
        """Bytes that an upload at `path` may still take; a reserve is left, so that a full disk can be tidied up."""

    def places(self) -> Sequence[StoragePath]:
        """Return the directories of our own, one on each file system; that of the root comes first."""

    def place_of(self, path: StoragePath) -> StoragePath:
        """Return the one on the file system of `path`."""

    def lock(self, name: str, *, exclusive: bool, wait: bool = True) -> AbstractContextManager[None]:
        """Hold the lock of that name, across processes, until the block ends or the process dies.

        Blocks, or without `wait` raises PathBusy.
        """
