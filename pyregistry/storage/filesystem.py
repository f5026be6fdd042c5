"""Driver on a local directory: atomic, durable, locked.

What is published is never written in place: a new file is made in `.pyregistry/tmp`, synced, and renamed. The root
and `.pyregistry` are on one file system, so a rename never copies.
"""

import asyncio
import contextlib
import errno
import fcntl
import os
import shutil
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from io import FileIO
from pathlib import Path

import aiofiles.threadpool
from aiofiles.threadpool.binary import AsyncFileIO

from pyregistry.storage import layout
from pyregistry.storage.driver import LocalFile, PathBusy, PathNotFound, Source, Stat
from pyregistry.storage.layout import StoragePath
from pyregistry.storage.listings import Listings
from pyregistry.storage.syscalls import (
    absent_is_not_found,
    boot_id,
    is_absent,
    sync_directory,
    to_stat,
    write_all,
)
from pyregistry.storage.threads import finish, in_thread

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW
_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
_ATTEMPTS = 16
"""How often a write makes its directories again while somebody removes them."""
_POLL = 0.02
"""Seconds between two tries for a lock that another request holds: flock has no asynchronous form."""
_KNOWN_DIRECTORIES = 10_000
_RESERVE = 1024**3
"""Bytes that uploads leave free, or a fiftieth of the file system if that is less."""


class FilesystemDriver:
    """Storage below `root`, an existing directory."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve(strict=True)
        self._prefix = f"{self.root}/"
        self._listings = Listings()
        self.epoch = boot_id()
        self._synced: dict[Path, None] = {}  # directories whose entry in their parent this process has synced

    def probe(self) -> None:
        """Write, sync, rename and remove a file, so that a directory which cannot be used is found at the start.

        Raises OSError: no right to write, a read-only file system, or `.pyregistry` on another one.
        """
        path = layout.child(layout.TRASH, f"probe-{uuid.uuid4().hex}")
        self.write(path, b"")
        self.delete(path)

    def read(self, path: StoragePath, limit: int | None = None) -> bytes:
        """See Driver.read."""
        with absent_is_not_found(), open(self.root / path, "rb", opener=_open_to_read) as file:
            return file.read(-1 if limit is None else limit)

    def write(self, path: StoragePath, data: bytes, *, durable: bool = True) -> None:
        """See Driver.write."""
        temporary = self._temporary()
        try:
            with os.fdopen(self._create(temporary), "wb", buffering=0) as file:
                write_all(file.fileno(), data)
                if durable:
                    os.fsync(file.fileno())
            self._rename(temporary, self.root / path, durable=durable)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    def make_directory(self, path: StoragePath, *, durable: bool = True) -> None:
        """See Driver.make_directory."""
        self._make_directory(self.root / path, durable=durable)

    def stat(self, path: StoragePath) -> Stat:
        """See Driver.stat."""
        try:  # no pathlib and no context manager: this is the one call of a hot answer
            return to_stat(os.stat(f"{self._prefix}{path}", follow_symlinks=False))  # noqa: PTH116 - the same reason
        except OSError as error:
            if is_absent(error):
                raise PathNotFound(path) from error
            raise

    def children(self, path: StoragePath, after: str | None = None) -> Iterator[str]:
        """See Driver.children."""
        with contextlib.suppress(PathNotFound):
            yield from self._listings.names(f"{self._prefix}{path}", after)

    def move(self, source: StoragePath, target: StoragePath) -> None:
        """See Driver.move."""
        with absent_is_not_found():
            self._rename(self.root / source, self.root / target, durable=True)

    def delete(self, path: StoragePath) -> None:
        """See Driver.delete: renamed to the trash first, so that it is gone in one step."""
        target = self.root / path
        doomed = self.root / layout.TRASH / uuid.uuid4().hex
        self._make_directory(doomed.parent, durable=False)
        with absent_is_not_found():
            target.rename(doomed)
        sync_directory(target.parent)
        if doomed.is_dir() and not doomed.is_symlink():
            shutil.rmtree(doomed, ignore_errors=True)  # what is left is the trash's, not the registry's
        else:
            doomed.unlink(missing_ok=True)

    def source(self, path: StoragePath) -> Source:
        """See Driver.source."""
        stat = self.stat(path)
        if not stat.is_file:
            raise PathNotFound(path)
        return LocalFile(self.root / path, stat.size)

    def room(self) -> int:
        """See Driver.room."""
        usage = os.statvfs(self.root)
        reserve = min(_RESERVE, usage.f_blocks * usage.f_frsize // 50)
        return max(usage.f_bavail * usage.f_frsize - reserve, 0)

    @contextlib.contextmanager
    def lock(self, name: str, *, exclusive: bool) -> Iterator[None]:
        """See Driver.lock.

        flock on a fresh descriptor for each holder: POSIX record locks would vanish as soon as any other descriptor
        of the file is closed in this process.
        """
        path = self.root / layout.child(layout.LOCKS, name)
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o660)
        except FileNotFoundError:
            self._make_directory(path.parent, durable=False)
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o660)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
            yield
        finally:
            os.close(handle)

    @contextlib.asynccontextmanager
    async def appender(self, path: StoragePath, *, wait: float, create: bool = False) -> AsyncIterator["FileAppender"]:
        """See Driver.appender."""
        target = self.root / path
        files: list[FileIO] = []  # filled rather than returned: a cancelled call still opens, and returns nothing
        try:
            await in_thread(self._open_to_append, target, files, create=create)
            handle = files[0].fileno()
            await _flock(handle, wait)
            size = await in_thread(_size_unless_replaced, target, handle)
            yield FileAppender(aiofiles.threadpool.wrap(files[0]), handle, size)
        finally:
            for file in files:
                await in_thread(file.close)

    def _open_to_append(self, target: Path, files: list[FileIO], *, create: bool) -> None:
        if create:
            self._make_directory(target.parent, durable=False)
        with absent_is_not_found():
            handle = os.open(target, _APPEND | (os.O_CREAT if create else 0), 0o666)
        files.append(FileIO(handle, "ab"))

    def _temporary(self) -> Path:
        return self.root / layout.TMP / uuid.uuid4().hex

    def _create(self, temporary: Path) -> int:
        try:
            return os.open(temporary, _CREATE, 0o666)
        except FileNotFoundError:
            self._make_directory(temporary.parent, durable=False)
            return os.open(temporary, _CREATE, 0o666)

    def _rename(self, source: Path, target: Path, *, durable: bool) -> None:
        for _ in range(_ATTEMPTS):
            try:
                self._make_directory(target.parent, durable=durable)
                source.rename(target)
                if durable:
                    sync_directory(target.parent)
                return
            except FileNotFoundError:  # an operator's `rm -rf` of the repository, or the source is gone
                if not source.exists():
                    raise
        raise OSError(errno.EBUSY, "the directory is removed again and again", str(target))

    def _make_directory(self, directory: Path, *, durable: bool) -> None:
        """Make the chain, and sync each entry that this process does not know to be synced.

        Who finds a directory there cannot know whether its maker has synced it yet, so "I made it" is not enough.
        """
        for attempt in range(_ATTEMPTS):
            try:
                self._make_chain(directory)
                break
            except FileNotFoundError:  # an operator's `rm -rf` took what was just made
                if attempt == _ATTEMPTS - 1:
                    raise
        if durable:
            self._sync_chain(directory)

    def _make_chain(self, directory: Path) -> None:
        chain = [directory]
        while chain[-1] != self.root and not self._exists_or_made(chain[-1]):
            chain.append(chain[-1].parent)
        for path in reversed(chain[:-1]):
            if not self._exists_or_made(path):
                raise FileNotFoundError(errno.ENOENT, "removed meanwhile", str(path))

    def _exists_or_made(self, path: Path) -> bool:
        """False where the directory above is missing."""
        try:
            path.mkdir()
        except FileExistsError:
            return True
        except FileNotFoundError:
            return False
        self._synced.pop(path, None)
        return True

    def _sync_chain(self, directory: Path) -> None:
        chain = []
        while directory != self.root and directory not in self._synced:
            chain.append(directory)
            directory = directory.parent
        for path in reversed(chain):
            sync_directory(path.parent)
            if len(self._synced) >= _KNOWN_DIRECTORIES:
                self._synced.clear()
            self._synced[path] = None


def _open_to_read(path: str, _: int) -> int:
    return os.open(path, _READ)


class FileAppender:
    """An upload's file, open for appending and locked: see Appender."""

    def __init__(self, file: AsyncFileIO, handle: int, offset: int) -> None:
        self.offset = offset
        self._file = file
        self._handle = handle

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        """See Appender.write."""
        # To the end even for a cancelled request: a thread must never write to a descriptor that was closed, and
        # perhaps opened again for something else.
        await finish(self._write_all(data))

    async def sync(self) -> None:
        """See Appender.sync."""
        await in_thread(os.fsync, self._handle)

    async def stat(self) -> Stat:
        """See Appender.stat."""
        return to_stat(await in_thread(os.fstat, self._handle))

    async def _write_all(self, data: bytes | bytearray | memoryview) -> None:
        view = memoryview(data)
        while view:
            written: int = await self._file.write(view)
            self.offset += written
            view = view[written:]


async def _flock(handle: int, wait: float) -> None:
    deadline = time.monotonic() + wait
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError as error:
            if time.monotonic() >= deadline:
                raise PathBusy from error
        await asyncio.sleep(_POLL)


def _size_unless_replaced(target: Path, handle: int) -> int:
    # Whoever held the lock before may have committed or cancelled the upload: the open file is then no longer it.
    with absent_is_not_found():
        there = target.lstat()
    opened = os.fstat(handle)
    if there.st_ino != opened.st_ino:
        raise PathNotFound(target)
    return opened.st_size
