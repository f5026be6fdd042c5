"""A driver around another one: each call passes one hook, so that a new verb is written once for all of them.

Made for wrappers that measure, count, fail or stop: they override `around`, and a verb only where it is special.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import TypeVar

from pyregistry.storage.local.driver import Appender, Driver, LocalMaintenance, LockedFile
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.layout import StoragePath
from pyregistry.storage.seams.objects import Entry, Objects, Source, Stat

T = TypeVar("T")


class Delegating:
    """The hook."""

    def around(self, verb: str, path: str, work: Callable[[], T]) -> T:
        """Do one call of `verb`. `path` is what it changes or looks at, for a lock its name, empty for all."""
        return work()


class DelegatingObjects(Delegating):
    """Do what `inner` does. See Objects."""

    def __init__(self, inner: Objects) -> None:
        self._objects = inner

    def read(self, path: StoragePath, limit: int | None = None, *, begin: int = 0) -> bytes:
        """See Objects."""
        return self.around("read", path, lambda: self._objects.read(path, limit, begin=begin))

    def write(
        self, path: StoragePath, data: bytes, *, durable: bool = True, private: bool = False, if_absent: bool = False
    ) -> None:
        """See Objects."""
        work = self._objects.write
        self.around("write", path, lambda: work(path, data, durable=durable, private=private, if_absent=if_absent))

    def stat(self, path: StoragePath) -> Stat:
        """See Objects."""
        return self.around("stat", path, lambda: self._objects.stat(path))

    def is_settled(self, stat: Stat) -> bool:
        """See Objects. Asks the storage nothing."""
        return self._objects.is_settled(stat)

    def children(self, path: StoragePath, after: str | None = None, *, strict: bool = False) -> Iterator[str]:
        """See Objects. One directory is read as a whole, at the first step."""
        yield from self.around("children", path, lambda: list(self._objects.children(path, after, strict=strict)))

    def scan(self, path: StoragePath, leaf: str, *, strict: bool = False) -> Iterator[tuple[str, Stat | None]]:
        """See Objects. The hook passes the beginning alone, and `went_on` hears of each step."""
        scanned = self.around("scan", path, lambda: self._objects.scan(path, leaf, strict=strict))
        for found in scanned:
            yield found
            self.went_on(path, found[0])

    def went_on(self, path: StoragePath, name: str) -> None:
        """Hear that a scan of `path` is asked for more after `name`."""

    def delete(self, path: StoragePath, *, durable: bool = True) -> None:
        """See Objects."""
        self.around("delete", path, lambda: self._objects.delete(path, durable=durable))

    def delete_many(self, paths: Iterable[StoragePath]) -> None:
        """See Objects."""
        self.around("delete_many", "", lambda: self._objects.delete_many(paths))

    def source(self, path: StoragePath) -> Source:
        """See Objects."""
        return self.around("source", path, lambda: self._objects.source(path))

    def make_directory(self, path: StoragePath, *, durable: bool = True) -> None:
        """See Objects."""
        self.around("make_directory", path, lambda: self._objects.make_directory(path, durable=durable))

    def entries(self, path: StoragePath) -> Iterator[Entry]:
        """See Objects."""
        return self.around("entries", path, lambda: self._objects.entries(path))

    def symbolic_links(self, path: StoragePath) -> list[str]:
        """See Objects."""
        return self.around("symbolic_links", path, lambda: self._objects.symbolic_links(path))

    def room(self, path: StoragePath = layout.REPOSITORIES) -> int:
        """See Objects."""
        return self.around("room", path, lambda: self._objects.room(path))

    def places(self) -> Sequence[StoragePath]:
        """See Objects. Asks the storage nothing."""
        return self._objects.places()


class DelegatingDriver(DelegatingObjects):
    """Do what `inner` does. See Driver."""

    def __init__(self, inner: Driver) -> None:
        super().__init__(inner)
        self._driver = inner

    @property
    def local(self) -> LocalMaintenance | None:
        """See Driver. Nothing of what is asked of it passes the hook."""
        return self._driver.local

    @property
    def epoch(self) -> str:
        """See Driver."""
        return self._driver.epoch

    def create(self, path: StoragePath, data: bytes) -> None:
        """See Driver."""
        self.around("create", path, lambda: self._driver.create(path, data))

    def mark(self, path: StoragePath) -> None:
        """See Driver."""
        self.around("mark", path, lambda: self._driver.mark(path))

    def set_mtime(self, path: StoragePath, mtime_ns: int | None) -> None:
        """See Driver."""
        self.around("set_mtime", path, lambda: self._driver.set_mtime(path, mtime_ns))

    def move(self, source: StoragePath, target: StoragePath) -> None:
        """See Driver."""
        self.around("move", target, lambda: self._driver.move(source, target))

    def staged(self, source: StoragePath, target: StoragePath) -> AbstractContextManager[StoragePath]:
        """See Driver."""
        return self.around("staged", source, lambda: self._driver.staged(source, target))

    def discard(self, path: StoragePath) -> None:
        """See Driver."""
        self.around("discard", path, lambda: self._driver.discard(path))

    def sync(self) -> None:
        """See Driver."""
        self.around("sync", "", self._driver.sync)

    def empty_trash(self) -> None:
        """See Driver."""
        self.around("empty_trash", "", self._driver.empty_trash)

    def prune(self, path: StoragePath) -> bool:
        """See Driver."""
        return self.around("prune", path, lambda: self._driver.prune(path))

    def appender(
        self, path: StoragePath, *, wait: float, create: bool = False
    ) -> AbstractAsyncContextManager[Appender]:
        """See Driver."""
        return self.around("appender", path, lambda: self._driver.appender(path, wait=wait, create=create))

    def held(self, path: StoragePath) -> AbstractContextManager[LockedFile]:
        """See Driver."""
        return self.around("held", path, lambda: self._driver.held(path))

    def place_of(self, path: StoragePath) -> StoragePath:
        """See Driver. Asks the storage nothing."""
        return self._driver.place_of(path)

    def lock(self, name: str, *, exclusive: bool, wait: bool = True) -> AbstractContextManager[None]:
        """See Driver."""
        return self.around("lock", name, lambda: self._driver.lock(name, exclusive=exclusive, wait=wait))
