"""A driver that fails at its n-th call, around a real one."""

import errno
from collections.abc import Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager

from pyregistry.storage import layout
from pyregistry.storage.driver import Appender, Driver, LockedFile, Source, Stat
from pyregistry.storage.layout import StoragePath


class FailingDriver:
    """Does what `driver` does until call number `fails_at`, which raises EIO: before the work, or after it."""

    def __init__(self, driver: Driver, fails_at: int, *, after: bool = False) -> None:
        self._driver = driver
        self._left = fails_at
        self._after = after
        self.failed = False

    @property
    def epoch(self) -> str:
        return self._driver.epoch

    def _is_last(self) -> bool:
        self._left -= 1
        return self._left == 0

    def _fail(self) -> None:
        self.failed = True
        raise OSError(errno.EIO, "as ordered")

    def read(self, path: StoragePath, limit: int | None = None) -> bytes:
        if self._is_last():
            self._fail()
        return self._driver.read(path, limit)

    def write(self, path: StoragePath, data: bytes, *, durable: bool = True, private: bool = False) -> None:
        last = self._is_last()
        if last and not self._after:
            self._fail()
        self._driver.write(path, data, durable=durable, private=private)
        if last:
            self._fail()

    def create(self, path: StoragePath, data: bytes) -> None:
        last = self._is_last()
        if last and not self._after:
            self._fail()
        self._driver.create(path, data)
        if last:
            self._fail()

    def mark(self, path: StoragePath) -> None:
        last = self._is_last()
        if last and not self._after:
            self._fail()
        self._driver.mark(path)
        if last:
            self._fail()

    def make_directory(self, path: StoragePath, *, durable: bool = True) -> None:
        last = self._is_last()
        if last and not self._after:
            self._fail()
        self._driver.make_directory(path, durable=durable)
        if last:
            self._fail()

    def stat(self, path: StoragePath) -> Stat:
        if self._is_last():
            self._fail()
        return self._driver.stat(path)

    def children(self, path: StoragePath, after: str | None = None, *, strict: bool = False) -> Iterator[str]:
        if self._is_last():
            self._fail()
        return self._driver.children(path, after, strict=strict)

    def move(self, source: StoragePath, target: StoragePath) -> None:
        last = self._is_last()
        if last and not self._after:
            self._fail()
        self._driver.move(source, target)
        if last:
            self._fail()

    def delete(self, path: StoragePath, *, durable: bool = True) -> None:
        last = self._is_last()
        if last and not self._after:
            self._fail()
        self._driver.delete(path, durable=durable)
        if last:
            self._fail()

    def appender(
        self, path: StoragePath, *, wait: float, create: bool = False
    ) -> AbstractAsyncContextManager[Appender]:
        if self._is_last():
            self._fail()
        return self._driver.appender(path, wait=wait, create=create)

    def held(self, path: StoragePath) -> AbstractContextManager[LockedFile]:
        if self._is_last():
            self._fail()
        return self._driver.held(path)

    def source(self, path: StoragePath) -> Source:
        if self._is_last():
            self._fail()
        return self._driver.source(path)

    def staged(self, source: StoragePath, target: StoragePath) -> AbstractContextManager[StoragePath]:
        if self._is_last():
            self._fail()
        return self._driver.staged(source, target)

    def places(self) -> Sequence[StoragePath]:
        return self._driver.places()

    def place_of(self, path: StoragePath) -> StoragePath:
        return self._driver.place_of(path)

    def room(self, path: StoragePath = layout.REPOSITORIES) -> int:
        if self._is_last():
            self._fail()
        return self._driver.room(path)

    def lock(self, name: str, *, exclusive: bool, wait: bool = True) -> AbstractContextManager[None]:
        if self._is_last():
            self._fail()
        return self._driver.lock(name, exclusive=exclusive, wait=wait)

    def set_mtime(self, path: StoragePath, mtime_ns: int | None) -> None:
        last = self._is_last()
        if last and not self._after:
            self._fail()
        self._driver.set_mtime(path, mtime_ns)
        if last:
            self._fail()

    def symbolic_links(self, path: StoragePath) -> list[str]:
        if self._is_last():
            self._fail()
        return self._driver.symbolic_links(path)

    def scan(self, path: StoragePath, leaf: str, *, strict: bool = False) -> Iterator[tuple[str, Stat | None]]:
        if self._is_last():
            self._fail()
        return self._driver.scan(path, leaf, strict=strict)

    def discard(self, path: StoragePath) -> None:
        last = self._is_last()
        if last and not self._after:
            self._fail()
        self._driver.discard(path)
        if last:
            self._fail()

    def sync(self) -> None:
        if self._is_last():
            self._fail()
        self._driver.sync()

    def empty_trash(self) -> None:
        if self._is_last():
            self._fail()
        self._driver.empty_trash()

    def prune(self, path: StoragePath) -> bool:
        if self._is_last():
            self._fail()
        return self._driver.prune(path)
