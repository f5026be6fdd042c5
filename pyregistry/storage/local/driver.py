"""Directories: what local leases and uploads need on top of Objects. `tests/storage/contract_local.py` tests it."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from pathlib import Path
from typing import Protocol

from pyregistry.storage.seams.layout import StoragePath
from pyregistry.storage.seams.objects import Objects, Stat


class NotDurable(OSError):
    """A file was renamed, but its directory could not be synced: a new name is taken back, also that of a `move`."""


def inode_of(stat: Stat) -> int:
    """Return the number of a file, which begins the version of each driver here."""
    number = stat.version[0]
    assert isinstance(number, int)
    return number


class LockedFile(Protocol):
    """A file that is open for appending, held exclusively across processes."""

    @property
    def opened(self) -> Stat:
        """Stat of the file when it was opened and locked."""

    @property
    def offset(self) -> int:
        """The size of the file, in bytes."""

    @property
    def is_lost(self) -> bool:
        """True after an error that may have cost bytes of the file: the kernel reports such an error only once."""

    def write_now(self, pieces: Sequence[memoryview]) -> None:
        """Append all of these; on an error what was written so far stays, unless `is_lost`. Blocks."""

    def rewind(self) -> None:
        """Drop all that was appended since it was opened. Blocks."""

    def sync(self) -> None:
        """Make all that was written durable. Blocks."""

    def stat(self) -> Stat:
        """Return the stat of the open file. Blocks."""


class Appender(LockedFile, Protocol):
    """A locked file for the event loop."""

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append all of `data`; on an error what was written so far stays, unless `is_lost`."""


class Driver(Objects, Protocol):
    """Objects in directories, with the locks, times, renames and appended files on which leases and uploads rest.

    Only the local implementations of the other two seams may use what is not in Objects.
    """

    @property
    def local(self) -> "LocalMaintenance | None":
        """Itself where it is a directory of this machine, None elsewhere."""

    @property
    def epoch(self) -> str:
        """Token that changes when unsynced bytes may have been lost: with a boot, and with a mount."""

    def create(self, path: StoragePath, data: bytes) -> None:
        """Create a file. Neither atomic nor durable: only for paths that nothing reads yet."""

    def mark(self, path: StoragePath) -> None:
        """Make an empty file, unless there is one, in a directory that is there; raise PathNotFound. Not durably."""

    def set_mtime(self, path: StoragePath, mtime_ns: int | None) -> None:
        """Give a file this time, in nanoseconds since the epoch; not durably. Raises PathNotFound.

        The file system may round it. None is now, by the clock of the file system: for that the right to write is
        enough, while any other time needs the owner.
        """

    def move(self, source: StoragePath, target: StoragePath) -> None:
        """Rename a file over `target`, durably; raises PathNotFound. To another file system it is copied.

        Raises NotDurable where the new name cannot be synced; if there was none before, the file is at `source` again.
        """

    def staged(self, source: StoragePath, target: StoragePath) -> AbstractContextManager[StoragePath]:
        """Give a path from which a `move` to `target` is no more than a rename; raise PathNotFound.

        It is `source` itself. On another file system it is a synced copy, removed at the end of the block.
        """

    def discard(self, path: StoragePath) -> None:
        """Move a file or a directory to the trash in one step; raises PathNotFound. Not durable; frees no space."""

    def sync(self) -> None:
        """Make all writes and removals so far durable: expensive, so once for many."""

    def empty_trash(self) -> None:
        """Free what was discarded, also by a process that died."""

    def prune(self, path: StoragePath) -> bool:
        """Remove the directories at and below `path` that hold no file; return True if `path` itself is gone."""

    def appender(
        self, path: StoragePath, *, wait: float, create: bool = False
    ) -> AbstractAsyncContextManager[Appender]:
        """Open a file for appending.

        Waits `wait` seconds for another holder, then raises PathBusy. Raises PathNotFound, also when the file was
        replaced or removed while waiting. With `create`, missing directories and the file are made.
        """

    def open_locked(self, path: StoragePath) -> AbstractContextManager[LockedFile]:
        """Open a file for appending as `appender` does, but blocking, and without waiting for another holder."""

    def private_directory_of(self, path: StoragePath) -> StoragePath:
        """Return the one of `private_directories` that is on the file system of `path`."""

    def lock(self, name: str, *, exclusive: bool, wait: bool = True) -> AbstractContextManager[None]:
        """Hold the lock of that name, across processes, until the block ends or the process dies.

        Blocks, or without `wait` raises PathBusy.
        """


class LocalMaintenance(Driver, Protocol):
    """A directory of this machine, for what only that has: a path, permissions, volumes, file systems."""

    root: Path
    """The directory, without symbolic links on the way."""

    @property
    def lock_waiters(self) -> int:
        """Number of callers in this process that wait for a lock."""

    def probe(self) -> None:
        """Write, sync, rename and remove a file, so that an unusable directory is found at the start.

        Raises OSError: no right to write, a read-only file system, or one without locks (flock).
        """
