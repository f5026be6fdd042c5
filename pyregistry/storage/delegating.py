"""A driver around another one: each call passes one hook, so that a new verb is written once for all wrappers.

For wrappers that measure, count, fail or stop: they override `around`, and a verb only where it needs more.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import TypeVar

from pyregistry.common.overriding import override
from pyregistry.storage.local.driver import Appender, Driver, LocalMaintenance, LockedFile
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.layout import StoragePath
from pyregistry.storage.seams.objects import Entry, Objects, Source, Stat

T = TypeVar("T")


class Delegating:
    """The hook."""

    def around(self, verb: str, path: str, work: Callable[[], T]) -> T:
        """Do one call of `verb`. `path` is that of the call, for a lock its name; empty if there are several."""
        return work()


class DelegatingObjects(Delegating, Objects):
    """Objects that do what `inner` does."""

    def __init__(self, inner: Objects) -> None:
        self._objects = inner

    @override
    def read(self, path: StoragePath, limit: int | None = None, *, begin: int = 0) -> bytes:
        return self.around("read", path, lambda: self._objects.read(path, limit, begin=begin))

    @override
    def write(
        self, path: StoragePath, data: bytes, *, durable: bool = True, private: bool = False, if_absent: bool = False
    ) -> None:
        work = self._objects.write
        self.around("write", path, lambda: work(path, data, durable=durable, private=private, if_absent=if_absent))

    @override
    def stat(self, path: StoragePath) -> Stat:
        return self.around("stat", path, lambda: self._objects.stat(path))

    @override
    def is_racy(self, stat: Stat) -> bool:
        # Asks the storage nothing.
        return self._objects.is_racy(stat)

    @override
    def children(self, path: StoragePath, after: str | None = None, *, strict: bool = False) -> Iterator[str]:
        # One directory is read as a whole, at the first step.
        yield from self.around("children", path, lambda: list(self._objects.children(path, after, strict=strict)))

    @override
    def scan(self, path: StoragePath, leaf: str, *, strict: bool = False) -> Iterator[tuple[str, Stat | None]]:
        # The hook sees the beginning alone; `went_on` is called at each step.
        scanned = self.around("scan", path, lambda: self._objects.scan(path, leaf, strict=strict))
        for found in scanned:
            yield found
            self.went_on(path, found[0])

    def went_on(self, path: StoragePath, name: str) -> None:
        """Called when a scan of `path` is asked for more after `name`."""

    @override
    def delete(self, path: StoragePath, *, durable: bool = True) -> None:
        self.around("delete", path, lambda: self._objects.delete(path, durable=durable))

    @override
    def delete_many(self, paths: Iterable[StoragePath]) -> None:
        self.around("delete_many", "", lambda: self._objects.delete_many(paths))

    @override
    def source(self, path: StoragePath) -> Source:
        return self.around("source", path, lambda: self._objects.source(path))

    @override
    def make_directory(self, path: StoragePath, *, durable: bool = True) -> None:
        self.around("make_directory", path, lambda: self._objects.make_directory(path, durable=durable))

    @override
    def entries(self, path: StoragePath) -> Iterator[Entry]:
        return self.around("entries", path, lambda: self._objects.entries(path))

    @override
    def symbolic_links(self, path: StoragePath) -> list[str]:
        return self.around("symbolic_links", path, lambda: self._objects.symbolic_links(path))

    @override
    def available_bytes(self, path: StoragePath = layout.REPOSITORIES) -> int:
        return self.around("available_bytes", path, lambda: self._objects.available_bytes(path))

    @override
    def private_directories(self) -> Sequence[StoragePath]:
        # Asks the storage nothing.
        return self._objects.private_directories()


class DelegatingDriver(DelegatingObjects, Driver):
    """Driver that does what `inner` does."""

    def __init__(self, inner: Driver) -> None:
        super().__init__(inner)
        self._driver = inner

    @property
    @override
    def local(self) -> LocalMaintenance | None:
        return self._driver.local  # calls on it do not pass the hook

    @property
    @override
    def epoch(self) -> str:
        return self._driver.epoch

    @override
    def create(self, path: StoragePath, data: bytes) -> None:
        self.around("create", path, lambda: self._driver.create(path, data))

    @override
    def mark(self, path: StoragePath) -> None:
        self.around("mark", path, lambda: self._driver.mark(path))

    @override
    def set_mtime(self, path: StoragePath, mtime_ns: int | None) -> None:
        self.around("set_mtime", path, lambda: self._driver.set_mtime(path, mtime_ns))

    @override
    def move(self, source: StoragePath, target: StoragePath) -> None:
        self.around("move", target, lambda: self._driver.move(source, target))

    @override
    def staged(self, source: StoragePath, target: StoragePath) -> AbstractContextManager[StoragePath]:
        return self.around("staged", source, lambda: self._driver.staged(source, target))

    @override
    def discard(self, path: StoragePath) -> None:
        self.around("discard", path, lambda: self._driver.discard(path))

    @override
    def sync(self) -> None:
        self.around("sync", "", self._driver.sync)

    @override
    def empty_trash(self) -> None:
        self.around("empty_trash", "", self._driver.empty_trash)

    @override
    def prune(self, path: StoragePath) -> bool:
        return self.around("prune", path, lambda: self._driver.prune(path))

    @override
    def appender(
        self, path: StoragePath, *, wait: float, create: bool = False
    ) -> AbstractAsyncContextManager[Appender]:
        return self.around("appender", path, lambda: self._driver.appender(path, wait=wait, create=create))

    @override
    def open_locked(self, path: StoragePath) -> AbstractContextManager[LockedFile]:
        return self.around("open_locked", path, lambda: self._driver.open_locked(path))

    @override
    def private_directory_of(self, path: StoragePath) -> StoragePath:
        # Asks the storage nothing.
        return self._driver.private_directory_of(path)

    @override
    def lock(self, name: str, *, exclusive: bool, wait: bool = True) -> AbstractContextManager[None]:
        return self.around("lock", name, lambda: self._driver.lock(name, exclusive=exclusive, wait=wait))
