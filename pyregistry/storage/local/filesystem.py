"""Driver on a local directory: atomic, durable, locked.

No published file is written in place: a new file is made in `.pyregistry/tmp`, synced and renamed. File systems that
are mounted below the root have that directory at their top (see Places). So a rename never copies.
"""

import contextlib
import errno
import os
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from functools import partial
from io import FileIO
from pathlib import Path

import aiofiles.threadpool

from pyregistry.common.files import read_all, sync_directory
from pyregistry.common.overriding import override
from pyregistry.common.racy import racy_window_ns
from pyregistry.storage.local.appending import LocalAppender, LocalLockedFile, try_lock, wait_for_lock
from pyregistry.storage.local.directories import Directories, parent_of
from pyregistry.storage.local.driver import LocalMaintenance
from pyregistry.storage.local.flock import Locks
from pyregistry.storage.local.free_space import FreeSpace
from pyregistry.storage.local.inspecting import list_directory
from pyregistry.storage.local.publishing import Publisher
from pyregistry.storage.local.syscalls import (
    CREATE,
    absent_is_not_found,
    boot_id,
    fill,
    is_absent,
    mount_id,
    names_and_links,
    new_name,
    remove_all,
    set_mtime,
    stat_of,
    sync_file_system,
    times_of,
)
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.layout import StoragePath
from pyregistry.storage.seams.objects import AlreadyThere, Entry, PathBusy, PathNotFound, Source, Stat
from pyregistry.storage.seams.sources import LocalFile
from pyregistry.threads.offload import in_thread
from pyregistry.threads.pools import pools

_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK  # for a pipe in the place of a file; files ignore O_NONBLOCK
_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
_WITHOUT_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
"""Errors of a hard link on a file system that has none, as vfat."""
_LOCK = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


class FilesystemDriver(LocalMaintenance):
    """Storage below `root`, an existing directory."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve(strict=True)
        self._boot = boot_id()
        self._prefix = f"{self.root}/"  # joining strings costs a tenth of joining Paths, for each of a million blobs
        self._directories = Directories(self.root)
        self._publisher = Publisher(str(self.root), self._directories)
        self._places = self._publisher.places
        self._locks = Locks()
        self._free_space = FreeSpace()

    @property
    @override
    def epoch(self) -> str:
        mounts = (layout.ROOT, *self._places.mounts)
        return "-".join((self._boot, *(str(mount_id(f"{self._prefix}{mount}")) for mount in mounts)))

    @override
    def probe(self) -> None:
        for place in self.private_directories():
            # Not in the trash, which a garbage collection may be emptying.
            path = layout.child(layout.temporaries(place), f"probe-{new_name()}")
            self.write(path, b"x")  # a full disk has space for a name
            self.delete(path)
            # Now: on a full disk it could not be made, and so nothing could be removed.
            self.make_directory(layout.trash(place), durable=False)
        self._probe_locks()

    def _probe_locks(self) -> None:
        name = f"probe-{new_name()}"
        path = layout.child(layout.LOCKS, name)
        try:
            with self.lock(name, exclusive=False):
                pass
        except OSError as error:
            raise OSError(error.errno, f"{error.strerror} (flock)", self._at(layout.LOCKS)) from error
        finally:
            with contextlib.suppress(PathNotFound):
                self.delete(path, durable=False)

    @override
    def private_directories(self) -> tuple[StoragePath, ...]:
        return self._places.all()

    @override
    def private_directory_of(self, path: StoragePath) -> StoragePath:
        return self._places.of(self._places.real(path))

    def _at(self, path: StoragePath) -> str:
        return self._prefix + self._places.real(path)

    @property
    @override
    def local(self) -> "FilesystemDriver":
        return self

    @override
    def read(self, path: StoragePath, limit: int | None = None, *, begin: int = 0) -> bytes:
        try:  # no context manager: a collection reads every manifest
            handle = os.open(self._at(path), _READ)
            try:
                return read_all(handle, limit, begin)
            finally:
                os.close(handle)
        except OSError as error:
            if is_absent(error):
                raise PathNotFound(error.filename) from error
            raise

    @override
    def write(
        self, path: StoragePath, data: bytes, *, durable: bool = True, private: bool = False, if_absent: bool = False
    ) -> None:
        write = partial(self._publisher.write, path, data, durable=durable, mode=0o600 if private else 0o666)
        if not if_absent:
            write()
            return
        try:
            write(if_absent=True)
        except FileExistsError as error:
            raise AlreadyThere(path) from error
        except OSError as error:
            if error.errno not in _WITHOUT_LINKS:
                raise
            # Writers with `if_absent` exclude each other by a lock; other writers in between may still be replaced.
            with self.lock("absent", exclusive=True):
                if os.path.lexists(self._at(path)):
                    raise AlreadyThere(path) from None
                write()

    @override
    def create(self, path: StoragePath, data: bytes) -> None:
        fill(self._publisher.create(self._at(path), 0o666, CREATE), data, durable=False)

    @override
    def mark(self, path: StoragePath) -> None:
        with absent_is_not_found(), contextlib.suppress(FileExistsError):
            os.close(os.open(self._at(path), CREATE, 0o666))

    @override
    def make_directory(self, path: StoragePath, *, durable: bool = True) -> None:
        self._directories.make(self._at(path), durable=durable)

    @override
    def stat(self, path: StoragePath) -> Stat:
        try:  # no pathlib and no context manager: this is the one call of a cached response
            return stat_of(self._at(path))
        except OSError as error:
            if is_absent(error):
                raise PathNotFound(path) from error
            raise

    @override
    def is_racy(self, stat: Stat) -> bool:
        # A file may be written twice within one tick of the clock.
        return any(time.time_ns() - at < racy_window_ns(at) for at in times_of(stat))

    @override
    def set_mtime(self, path: StoragePath, mtime_ns: int | None) -> None:
        with absent_is_not_found():
            set_mtime(self._at(path), mtime_ns)

    @override
    def children(self, path: StoragePath, after: str | None = None, *, strict: bool = False) -> Iterator[str]:
        try:
            with absent_is_not_found():
                names, links = names_and_links(self._at(path))
            if strict and links:
                raise OSError(errno.EINVAL, "a symbolic link, which is not followed", f"{path}/{links[0]}")
        except PathNotFound:
            return
        yield from sorted(names if after is None else (name for name in names if name > after))

    @override
    def symbolic_links(self, path: StoragePath) -> list[str]:
        with contextlib.suppress(PathNotFound), absent_is_not_found():
            return sorted(names_and_links(self._at(path))[1])
        return []

    @override
    def entries(self, path: StoragePath) -> Iterator[Entry]:
        yield from list_directory(str(self.root), self._places.real(path))

    @override
    def scan(self, path: StoragePath, leaf: str, *, strict: bool = False) -> Iterator[tuple[str, Stat | None]]:
        directory = self._at(path)
        for name in self.children(path, strict=strict):
            try:
                yield name, stat_of(f"{directory}/{name}/{leaf}")
            except OSError as error:
                if error.errno not in (errno.ENOENT, errno.ENOTDIR):
                    raise
                yield name, None

    @override
    def move(self, source: StoragePath, target: StoragePath) -> None:
        self._publisher.move(source, target)

    @override
    def staged(self, source: StoragePath, target: StoragePath) -> contextlib.AbstractContextManager[StoragePath]:
        return self._publisher.staged(source, target)

    @override
    def delete(self, path: StoragePath, *, durable: bool = True) -> None:
        trashed = None
        with absent_is_not_found():
            try:
                os.unlink(self._at(path))
            except (IsADirectoryError, PermissionError):  # depends on the system
                # By way of the trash, so that it is gone in one step.
                trashed = self._publisher.to_trash(path)
        if durable:
            sync_directory(parent_of(self._at(path)))
        if trashed is not None:
            remove_all(trashed)

    @override
    def delete_many(self, paths: Iterable[StoragePath]) -> None:
        parents: dict[str, None] = {}  # each is synced once
        try:
            for path in paths:
                with contextlib.suppress(PathNotFound):
                    self.delete(path, durable=False)
                    parents[parent_of(self._at(path))] = None
        finally:
            for parent in parents:
                with contextlib.suppress(FileNotFoundError):  # it was removed as well
                    sync_directory(parent)

    @override
    def discard(self, path: StoragePath) -> None:
        self._publisher.to_trash(path)

    @override
    def sync(self) -> None:
        for mount in (layout.ROOT, *self._places.mounts):
            sync_file_system(self.root / mount)

    @override
    def empty_trash(self) -> None:
        for place in self.private_directories():
            with contextlib.suppress(FileNotFoundError), os.scandir(self._prefix + layout.trash(place)) as entries:
                for entry in entries:
                    remove_all(entry.path, is_directory=entry.is_dir(follow_symlinks=False))

    @override
    def prune(self, path: StoragePath) -> bool:
        top = self._at(path)
        with contextlib.suppress(OSError):  # mostly there is nothing in it
            os.rmdir(top)
            return True
        for directory, _, _ in os.walk(top, topdown=False):
            with contextlib.suppress(OSError):  # there is something in it, or it is gone
                os.rmdir(directory)
        return not os.path.lexists(top)

    @override
    def source(self, path: StoragePath) -> Source:
        stat = self.stat(path)
        if not stat.is_file:
            raise PathNotFound(path)
        return LocalFile(Path(self._at(path)), stat.size)

    @property
    @override
    def lock_waiters(self) -> int:
        return self._locks.waiting

    @override
    def available_bytes(self, path: StoragePath = layout.REPOSITORIES) -> int:
        if not self._places.mounts:
            return self._free_space.available_bytes(self._prefix)
        mounts = {self._places.mount_of(layout.BLOBS), self._places.mount_of(path)}
        return min(self._free_space.available_bytes(f"{self._prefix}{mount}") for mount in mounts)

    @contextlib.contextmanager
    @override
    def lock(self, name: str, *, exclusive: bool, wait: bool = True) -> Iterator[None]:
        home = self._places.seen.home
        path = f"{self._at(layout.LOCKS)}/{name}"
        opened = partial(self._publisher.create, path, 0o660, _LOCK)
        with self._locks.hold(path, opened, exclusive=exclusive, wait=wait):
            yield
        self._places.require_home(home)  # a mount may have moved the locks to another directory meanwhile

    @contextlib.asynccontextmanager
    @override
    async def appender(self, path: StoragePath, *, wait: float, create: bool = False) -> AsyncIterator[LocalAppender]:
        target = Path(self._at(path))
        files: list[FileIO] = []  # filled rather than returned: a cancelled call still opens the file
        try:
            opened = await in_thread(self._open_to_append, target, files, create=create)
            handle = files[0].fileno()
            if opened is None:
                opened = await wait_for_lock(target, handle, wait)
            yield LocalAppender(aiofiles.threadpool.wrap(files[0], executor=pools().writes), handle, opened)
        finally:
            for file in files:
                await in_thread(file.close)

    @contextlib.contextmanager
    @override
    def open_locked(self, path: StoragePath) -> Iterator[LocalLockedFile]:
        target = self._at(path)
        with absent_is_not_found():
            handle = os.open(target, _APPEND)
        try:
            yield LocalLockedFile(handle, try_lock(target, handle))
        finally:
            os.close(handle)

    def _open_to_append(self, target: Path, files: list[FileIO], *, create: bool) -> Stat | None:
        """Open and lock the file; return None if another request has it locked."""
        if create:
            self._directories.make(str(target.parent), durable=False)
        with absent_is_not_found():
            handle = os.open(target, _APPEND | (os.O_CREAT if create else 0), 0o666)
        files.append(FileIO(handle, "ab"))
        with contextlib.suppress(PathBusy):
            return try_lock(target, handle)
        return None
