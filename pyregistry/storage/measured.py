"""A driver that says how long another one takes, in the words of the CNCF registry's metrics."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager

from pyregistry.storage import layout
from pyregistry.storage.driver import Appender, Driver, LockedFile, Source, Stat
from pyregistry.storage.layout import StoragePath

Observe = Callable[[float], None]

_ACTIONS = ("GetContent", "PutContent", "Stat", "List", "Move", "Delete")


class MeasuredDriver:
    """See Driver."""

    def __init__(self, driver: Driver, observer: Callable[[str], Observe]) -> None:
        """`observer` gives for an action what is to be called with its seconds, from whichever thread it ran in."""
        self._driver = driver
        self._observe = {action: observer(action) for action in _ACTIONS}

    @property
    def epoch(self) -> str:
        """See Driver.epoch."""
        return self._driver.epoch

    def read(self, path: StoragePath, limit: int | None = None) -> bytes:
        """See Driver.read."""
        with self._timed("GetContent"):
            return self._driver.read(path, limit)

    def write(self, path: StoragePath, data: bytes, *, durable: bool = True, private: bool = False) -> None:
        """See Driver.write."""
        with self._timed("PutContent"):
            self._driver.write(path, data, durable=durable, private=private)

    def create(self, path: StoragePath, data: bytes) -> None:
        """See Driver.create."""
        with self._timed("PutContent"):
            self._driver.create(path, data)

    def mark(self, path: StoragePath) -> None:
        """See Driver.mark."""
        with self._timed("PutContent"):
            self._driver.mark(path)

    def make_directory(self, path: StoragePath, *, durable: bool = True) -> None:
        """See Driver.make_directory."""
        self._driver.make_directory(path, durable=durable)

    def stat(self, path: StoragePath) -> Stat:
        """See Driver.stat."""
        with self._timed("Stat"):
            return self._driver.stat(path)

    def children(self, path: StoragePath, after: str | None = None, *, strict: bool = False) -> Iterator[str]:
        """See Driver.children."""
        with self._timed("List"):
            names = list(self._driver.children(path, after, strict=strict))
        yield from names

    def move(self, source: StoragePath, target: StoragePath) -> None:
        """See Driver.move."""
        with self._timed("Move"):
            self._driver.move(source, target)

    def delete(self, path: StoragePath, *, durable: bool = True) -> None:
        """See Driver.delete."""
        with self._timed("Delete"):
            self._driver.delete(path, durable=durable)

    def appender(
        self, path: StoragePath, *, wait: float, create: bool = False
    ) -> AbstractAsyncContextManager[Appender]:
        """See Driver.appender."""
        return self._driver.appender(path, wait=wait, create=create)

    def held(self, path: StoragePath) -> AbstractContextManager[LockedFile]:
        """See Driver.held."""
        return self._driver.held(path)

    def source(self, path: StoragePath) -> Source:
        """See Driver.source."""
        return self._driver.source(path)

    def staged(self, source: StoragePath, target: StoragePath) -> AbstractContextManager[StoragePath]:
        """See Driver.staged."""
        return self._driver.staged(source, target)

    def room(self, path: StoragePath = layout.REPOSITORIES) -> int:
        """See Driver.room."""
        return self._driver.room(path)

    def places(self) -> Sequence[StoragePath]:
        """See Driver.places."""
        return self._driver.places()

    def place_of(self, path: StoragePath) -> StoragePath:
        """See Driver.place_of."""
        return self._driver.place_of(path)

    def lock(self, name: str, *, exclusive: bool, wait: bool = True) -> AbstractContextManager[None]:
        """See Driver.lock."""
        return self._driver.lock(name, exclusive=exclusive, wait=wait)

    def set_mtime(self, path: StoragePath, mtime_ns: int | None) -> None:
        """See Driver.set_mtime."""
        self._driver.set_mtime(path, mtime_ns)

    def scan(self, path: StoragePath, leaf: str, *, strict: bool = False) -> Iterator[tuple[str, Stat | None]]:
        """See Driver.scan."""
        return self._driver.scan(path, leaf, strict=strict)

    def symbolic_links(self, path: StoragePath) -> list[str]:
        """See Driver.symbolic_links."""
        return self._driver.symbolic_links(path)

    def discard(self, path: StoragePath) -> None:
        """See Driver.discard."""
        with self._timed("Delete"):
            self._driver.discard(path)

    def sync(self) -> None:
        """See Driver.sync."""
        self._driver.sync()

    def empty_trash(self) -> None:
        """See Driver.empty_trash."""
        self._driver.empty_trash()

    def prune(self, path: StoragePath) -> bool:
        """See Driver.prune."""
        return self._driver.prune(path)

    def _timed(self, action: str) -> "_Timed":
        return _Timed(self._observe[action])


class _Timed:
    """A context manager that costs less than a generator: a pull passes several."""

    __slots__ = ("_begun", "_observe")

    def __init__(self, observe: Observe) -> None:
        self._observe = observe

    def __enter__(self) -> None:
        self._begun = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._observe(time.perf_counter() - self._begun)
