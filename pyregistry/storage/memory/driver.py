"""Driver in a dict: config `storage: inmemory`, and tests. One process only."""

import asyncio
import contextlib
import secrets
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from pyregistry.common.overriding import override
from pyregistry.common.racy import racy_window_ns
from pyregistry.storage.local.driver import Driver
from pyregistry.storage.local.shared_lock import SharedLock
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.layout import StoragePath
from pyregistry.storage.seams.objects import AlreadyThere, Entry, PathBusy, PathNotFound, Source, Stat
from pyregistry.storage.seams.sources import Bytes
from pyregistry.threads.wait_budget import wait_budget

_POLL_SECONDS = 0.02


def _new_inode() -> int:
    return secrets.randbits(63)


@dataclass(eq=False)
class _File:
    content: bytearray | bytes
    """Only an appender changes it in place."""
    mtime_ns: int = field(default_factory=time.time_ns)
    inode: int = field(default_factory=_new_inode)
    locked: bool = False


@dataclass(eq=False)
class _Directory:
    entries: dict[str, "_File | _Directory"] = field(default_factory=dict)
    inode: int = field(default_factory=_new_inode)

    def prune(self) -> bool:
        """Drop the directories in here that hold no file; return True if nothing is left."""
        for name, entry in list(self.entries.items()):
            if isinstance(entry, _Directory) and entry.prune():
                del self.entries[name]
        return not self.entries


class MemoryDriver(Driver):
    """Driver in memory: durable as long as the process lives."""

    local = None

    def __init__(self) -> None:
        self._epoch = secrets.token_hex()
        self._root = _Directory()
        self._mutex = threading.RLock()
        self._locks: dict[str, SharedLock] = {}

    @property
    @override
    def epoch(self) -> str:
        return self._epoch

    @override
    def read(self, path: StoragePath, limit: int | None = None, *, begin: int = 0) -> bytes:
        with self._mutex:
            return bytes(self._file(path).content[begin : None if limit is None else begin + limit])

    @override
    def write(
        self, path: StoragePath, data: bytes, *, durable: bool = True, private: bool = False, if_absent: bool = False
    ) -> None:
        with self._mutex:
            parent, name = self._parent(path, create=True)
            if if_absent and name in parent.entries:
                raise AlreadyThere(path)
            parent.entries[name] = _File(data)

    @override
    def create(self, path: StoragePath, data: bytes) -> None:
        self.write(path, data)

    @override
    def mark(self, path: StoragePath) -> None:
        with self._mutex:
            parent, name = self._parent(path)
            parent.entries.setdefault(name, _File(b""))

    @override
    def make_directory(self, path: StoragePath, *, durable: bool = True) -> None:
        with self._mutex:
            self._directory(path.split("/"), create=True)

    @override
    def stat(self, path: StoragePath) -> Stat:
        with self._mutex:
            entry = self._entry(path)
            if isinstance(entry, _Directory):
                return Stat(0, 0, (entry.inode, 0), is_file=False, content_id=entry.inode)
            return _to_stat(entry)

    @override
    def is_racy(self, stat: Stat) -> bool:
        return time.time_ns() - stat.modified_ns < racy_window_ns(stat.modified_ns)

    @override
    def set_mtime(self, path: StoragePath, mtime_ns: int | None) -> None:
        with self._mutex:
            self._file(path).mtime_ns = time.time_ns() if mtime_ns is None else mtime_ns

    @override
    def children(self, path: StoragePath, after: str | None = None, *, strict: bool = False) -> Iterator[str]:
        with self._mutex:
            try:
                names = list(self._directory(path.split("/")).entries)
            except PathNotFound:
                return
        yield from sorted(name for name in names if after is None or name > after)

    @override
    def symbolic_links(self, path: StoragePath) -> list[str]:
        return []

    @override
    def entries(self, path: StoragePath) -> Iterator[Entry]:
        for name in self.children(path):
            with contextlib.suppress(PathNotFound):
                stat = self.stat(layout.child(path, name))
                yield Entry(name, stat, is_directory=not stat.is_file)

    @override
    def scan(self, path: StoragePath, leaf: str, *, strict: bool = False) -> Iterator[tuple[str, Stat | None]]:
        for name in self.children(path, strict=strict):
            try:
                yield name, self.stat(layout.child(layout.child(path, name), leaf))
            except PathNotFound:
                yield name, None

    @override
    def move(self, source: StoragePath, target: StoragePath) -> None:
        with self._mutex:
            moved = self._file(source)
            new_parent, new_name = self._parent(target, create=True)
            parent, name = self._parent(source)
            del parent.entries[name]
            new_parent.entries[new_name] = moved

    @override
    def delete(self, path: StoragePath, *, durable: bool = True) -> None:
        with self._mutex:
            parent, name = self._parent(path)
            if parent.entries.pop(name, None) is None:
                raise PathNotFound(path)

    @override
    def delete_many(self, paths: Iterable[StoragePath]) -> None:
        for path in paths:
            with contextlib.suppress(PathNotFound):
                self.delete(path)

    @override
    def discard(self, path: StoragePath) -> None:
        self.delete(path)

    @override
    def sync(self) -> None:
        pass

    @override
    def empty_trash(self) -> None:
        pass

    @override
    def prune(self, path: StoragePath) -> bool:
        with self._mutex:
            try:
                parent, name = self._parent(path)
            except PathNotFound:
                return True
            entry = parent.entries.get(name)
            if isinstance(entry, _Directory) and entry.prune():
                del parent.entries[name]
            return name not in parent.entries

    @override
    def source(self, path: StoragePath) -> Source:
        with self._mutex:
            file = self._file(path)
            return Bytes(bytes(file.content), file.inode)

    @override
    def staged(self, source: StoragePath, target: StoragePath) -> contextlib.AbstractContextManager[StoragePath]:
        return contextlib.nullcontext(source)

    @override
    def private_directories(self) -> Sequence[StoragePath]:
        return (layout.PRIVATE,)

    @override
    def private_directory_of(self, path: StoragePath) -> StoragePath:
        return layout.PRIVATE

    @override
    def available_bytes(self, path: StoragePath = layout.REPOSITORIES) -> int:
        return sys.maxsize  # how much memory there will be is unknown

    @contextlib.contextmanager
    @override
    def lock(self, name: str, *, exclusive: bool, wait: bool = True) -> Iterator[None]:
        with self._mutex:
            lock = self._locks.setdefault(name, SharedLock())
        with lock.hold(exclusive=exclusive, budget=wait_budget() if wait else None, wait=wait):
            yield

    @contextlib.asynccontextmanager
    @override
    async def appender(
        self, path: StoragePath, *, wait: float, create: bool = False
    ) -> AsyncIterator["MemoryAppender"]:
        file = self._open_to_append(path, create=create)
        deadline = time.monotonic() + wait
        while not self._try_lock(path, file):
            if time.monotonic() >= deadline:
                raise PathBusy(path)
            await asyncio.sleep(_POLL_SECONDS)
        try:
            yield MemoryAppender(file)
        finally:
            file.locked = False

    @contextlib.contextmanager
    @override
    def open_locked(self, path: StoragePath) -> Iterator["MemoryAppender"]:
        file = self._open_to_append(path, create=False)
        if not self._try_lock(path, file):
            raise PathBusy(path)
        try:
            yield MemoryAppender(file)
        finally:
            file.locked = False

    def _try_lock(self, path: StoragePath, file: _File) -> bool:
        with self._mutex:
            if file.locked:
                return False
            if self._file(path) is not file:
                raise PathNotFound(path)
            file.locked = True
            return True

    def _open_to_append(self, path: StoragePath, *, create: bool) -> _File:
        with self._mutex:
            if create and not isinstance(self._parent(path, create=True)[0].entries.get(path.split("/")[-1]), _File):
                self.write(path, b"")
            return self._file(path)

    def _directory(self, parts: list[str], *, create: bool = False) -> _Directory:
        directory = self._root
        for part in parts:
            entry = directory.entries.get(part)
            if entry is None and create:
                entry = directory.entries[part] = _Directory()
            if not isinstance(entry, _Directory):
                raise PathNotFound("/".join(parts))
            directory = entry
        return directory

    def _parent(self, path: StoragePath, *, create: bool = False) -> tuple[_Directory, str]:
        *parents, name = path.split("/")
        return self._directory(parents, create=create), name

    def _entry(self, path: StoragePath) -> _File | _Directory:
        parent, name = self._parent(path)
        entry = parent.entries.get(name)
        if entry is None:
            raise PathNotFound(path)
        return entry

    def _file(self, path: StoragePath) -> _File:
        entry = self._entry(path)
        if isinstance(entry, _Directory):
            raise PathNotFound(path)
        return entry


class MemoryAppender:
    """Appender to a file in memory."""

    def __init__(self, file: _File) -> None:
        self._file = file
        self._content = file.content if isinstance(file.content, bytearray) else bytearray(file.content)
        file.content = self._content
        self.opened = self.stat()
        self.is_lost = False

    @property
    def offset(self) -> int:
        """Size of the file, in bytes."""
        return len(self._file.content)

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append all of `data`."""
        self.write_now([memoryview(data)])

    def write_now(self, pieces: Sequence[memoryview]) -> None:
        """Append all of these, and change the time of the file."""
        for piece in pieces:
            self._content += piece
        self._file.mtime_ns = max(time.time_ns(), self._file.mtime_ns + 1)

    def rewind(self) -> None:
        """Drop the bytes that were appended since it was opened."""
        del self._content[self.opened.size :]

    def sync(self) -> None:
        """Do nothing: memory is as durable as it gets."""

    def stat(self) -> Stat:
        """Return the stat of the open file."""
        return _to_stat(self._file)


def _to_stat(file: _File) -> Stat:
    return Stat(len(file.content), file.mtime_ns, (file.inode, file.mtime_ns), is_file=True, content_id=file.inode)
