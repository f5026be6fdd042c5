"""Driver in a dict: config `storage: inmemory`, and tests. One process only."""

import asyncio
import contextlib
import secrets
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from pyregistry.common.racy import racy_window_ns
from pyregistry.storage.local.driver import PathBusy
from pyregistry.storage.local.inspecting import Entry
from pyregistry.storage.local.shared_lock import SharedLock
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.layout import StoragePath
from pyregistry.storage.seams.objects import AlreadyThere, PathNotFound, Source, Stat
from pyregistry.storage.seams.sources import Bytes
from pyregistry.threads.patience import patience

_POLL = 0.02


def _new_inode() -> int:
    return secrets.randbits(63)


@dataclass(eq=False)
class _File:
    content: bytearray | bytes
    """Changed in place by an appender alone."""
    mtime_ns: int = field(default_factory=time.time_ns)
    inode: int = field(default_factory=_new_inode)
    held: bool = False


@dataclass(eq=False)
class _Directory:
    entries: dict[str, "_File | _Directory"] = field(default_factory=dict)
    inode: int = field(default_factory=_new_inode)

    def prune(self) -> bool:
        """Drop the directories in here that hold no file; whether nothing is left."""
        for name, entry in list(self.entries.items()):
            if isinstance(entry, _Directory) and entry.prune():
                del self.entries[name]
        return not self.entries


class MemoryDriver:
    """See Driver; durable as long as the process lives."""

    local = None

    def __init__(self) -> None:
        self.epoch = secrets.token_hex()
        self._root = _Directory()
        self._mutex = threading.RLock()
        self._locks: dict[str, SharedLock] = {}

    def read(self, path: StoragePath, limit: int | None = None, *, begin: int = 0) -> bytes:
        """See Objects.read."""
        with self._mutex:
            return bytes(self._file(path).content[begin : None if limit is None else begin + limit])

    def write(
        self, path: StoragePath, data: bytes, *, durable: bool = True, private: bool = False, if_absent: bool = False
    ) -> None:
        """See Objects.write."""
        with self._mutex:
            parent, name = self._parent(path, create=True)
            if if_absent and name in parent.entries:
                raise AlreadyThere(path)
            parent.entries[name] = _File(data)

    def create(self, path: StoragePath, data: bytes) -> None:
        """See Driver.create."""
        self.write(path, data)

    def mark(self, path: StoragePath) -> None:
        """See Driver.mark."""
        with self._mutex:
            parent, name = self._parent(path)
            parent.entries.setdefault(name, _File(b""))

    def make_directory(self, path: StoragePath, *, durable: bool = True) -> None:
        """See Driver.make_directory."""
        with self._mutex:
            self._directory(path.split("/"), create=True)

    def stat(self, path: StoragePath) -> Stat:
        """See Objects.stat."""
        with self._mutex:
            entry = self._entry(path)
            if isinstance(entry, _Directory):
                return Stat(0, 0, (entry.inode, 0), is_file=False, content_id=entry.inode)
            return _to_stat(entry)

    def is_settled(self, stat: Stat) -> bool:
        """See Objects.is_settled."""
        return time.time_ns() - stat.modified_ns >= racy_window_ns(stat.modified_ns)

    def set_mtime(self, path: StoragePath, mtime_ns: int | None) -> None:
        """See Driver.set_mtime."""
        with self._mutex:
            self._file(path).mtime_ns = time.time_ns() if mtime_ns is None else mtime_ns

    def children(self, path: StoragePath, after: str | None = None, *, strict: bool = False) -> Iterator[str]:
        """See Objects.children."""
        with self._mutex:
            try:
                names = list(self._directory(path.split("/")).entries)
            except PathNotFound:
                return
        yield from sorted(name for name in names if after is None or name > after)

    def symbolic_links(self, path: StoragePath) -> list[str]:
        """See Driver.symbolic_links: there are none."""
        return []

    def entries(self, path: StoragePath) -> Iterator[Entry]:
        """See Driver.entries."""
        for name in self.children(path):
            with contextlib.suppress(PathNotFound):
                stat = self.stat(layout.child(path, name))
                yield Entry(name, stat, is_directory=not stat.is_file)

    def scan(self, path: StoragePath, leaf: str, *, strict: bool = False) -> Iterator[tuple[str, Stat | None]]:
        """See Objects.scan."""
        for name in self.children(path, strict=strict):
            try:
                yield name, self.stat(layout.child(layout.child(path, name), leaf))
            except PathNotFound:
                yield name, None

    def move(self, source: StoragePath, target: StoragePath) -> None:
        """See Driver.move."""
        with self._mutex:
            moved = self._file(source)
            new_parent, new_name = self._parent(target, create=True)
            parent, name = self._parent(source)
            del parent.entries[name]
            new_parent.entries[new_name] = moved

    def delete(self, path: StoragePath, *, durable: bool = True) -> None:
        """See Objects.delete."""
        with self._mutex:
            parent, name = self._parent(path)
            if parent.entries.pop(name, None) is None:
                raise PathNotFound(path)

    def delete_many(self, paths: Iterable[StoragePath]) -> None:
        """See Objects.delete_many."""
        for path in paths:
            with contextlib.suppress(PathNotFound):
                self.delete(path)

    def discard(self, path: StoragePath) -> None:
        """See Driver.discard."""
        self.delete(path)

    def sync(self) -> None:
        """See Driver.sync."""

    def empty_trash(self) -> None:
        """See Driver.empty_trash."""

    def prune(self, path: StoragePath) -> bool:
        """See Driver.prune."""
        with self._mutex:
            try:
                parent, name = self._parent(path)
            except PathNotFound:
                return True
            entry = parent.entries.get(name)
            if isinstance(entry, _Directory) and entry.prune():
                del parent.entries[name]
            return name not in parent.entries

    def source(self, path: StoragePath) -> Source:
        """See Objects.source."""
        with self._mutex:
            file = self._file(path)
            return Bytes(bytes(file.content), file.inode)

    def staged(self, source: StoragePath, target: StoragePath) -> contextlib.AbstractContextManager[StoragePath]:
        """See Driver.staged."""
        return contextlib.nullcontext(source)

    def places(self) -> Sequence[StoragePath]:
        """See Driver.places."""
        return (layout.PRIVATE,)

    def place_of(self, path: StoragePath) -> StoragePath:
        """See Driver.place_of."""
        return layout.PRIVATE

    def room(self, path: StoragePath = layout.REPOSITORIES) -> int:
        """See Driver.room: nobody knows how much memory there will be."""
        return sys.maxsize

    @contextlib.contextmanager
    def lock(self, name: str, *, exclusive: bool, wait: bool = True) -> Iterator[None]:
        """See Driver.lock."""
        with self._mutex:
            lock = self._locks.setdefault(name, SharedLock())
        with lock.hold(exclusive=exclusive, bound=patience() if wait else None, wait=wait):
            yield

    @contextlib.asynccontextmanager
    async def appender(
        self, path: StoragePath, *, wait: float, create: bool = False
    ) -> AsyncIterator["MemoryAppender"]:
        """See Driver.appender."""
        file = self._open_to_append(path, create=create)
        deadline = time.monotonic() + wait
        while not self._hold(path, file):
            if time.monotonic() >= deadline:
                raise PathBusy(path)
            await asyncio.sleep(_POLL)
        try:
            yield MemoryAppender(file)
        finally:
            file.held = False

    @contextlib.contextmanager
    def held(self, path: StoragePath) -> Iterator["MemoryAppender"]:
        """See Driver.held."""
        file = self._open_to_append(path, create=False)
        if not self._hold(path, file):
            raise PathBusy(path)
        try:
            yield MemoryAppender(file)
        finally:
            file.held = False

    def _hold(self, path: StoragePath, file: _File) -> bool:
        with self._mutex:
            if file.held:
                return False
            if self._file(path) is not file:
                raise PathNotFound(path)
            file.held = True
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
    """See Appender."""

    def __init__(self, file: _File) -> None:
        self._file = file
        self._content = file.content if isinstance(file.content, bytearray) else bytearray(file.content)
        file.content = self._content
        self.opened = self.stat()
        self.is_lost = False

    @property
    def offset(self) -> int:
        """See Appender.offset."""
        return len(self._file.content)

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        """See Appender.write."""
        self.write_now([memoryview(data)])

    def write_now(self, pieces: Sequence[memoryview]) -> None:
        """See LockedFile.write_now."""
        for piece in pieces:
            self._content += piece
        self._file.mtime_ns = max(time.time_ns(), self._file.mtime_ns + 1)

    def rewind(self) -> None:
        """See LockedFile.rewind."""
        del self._content[self.opened.size :]

    def sync(self) -> None:
        """See Appender.sync."""

    def stat(self) -> Stat:
        """See Appender.stat."""
        return _to_stat(self._file)


def _to_stat(file: _File) -> Stat:
    return Stat(len(file.content), file.mtime_ns, (file.inode, file.mtime_ns), is_file=True, content_id=file.inode)
