"""A driver that counts."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from pyregistry.storage.local.filesystem import FilesystemDriver
from pyregistry.storage.seams.layout import StoragePath
from pyregistry.storage.seams.objects import Source, Stat


class CountingDriver(FilesystemDriver):
    """The reads of each file are in `reads`, and the bytes read of all in `read_bytes`."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.reads: Counter[StoragePath] = Counter()
        self.read_bytes = 0

    def read(self, path: StoragePath, limit: int | None = None, *, begin: int = 0) -> bytes:
        self.reads[path] += 1
        content = super().read(path, limit, begin=begin)
        self.read_bytes += len(content)
        return content


class AskedDriver(FilesystemDriver):
    """Every path that is looked at is in `asked`, in order."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.asked: list[StoragePath] = []

    def read(self, path: StoragePath, limit: int | None = None, *, begin: int = 0) -> bytes:
        self.asked.append(path)
        return super().read(path, limit, begin=begin)

    def stat(self, path: StoragePath) -> Stat:
        self.asked.append(path)
        return super().stat(path)

    def source(self, path: StoragePath) -> Source:
        self.asked.append(path)
        return super().source(path)

    def children(self, path: StoragePath, after: str | None = None, *, strict: bool = False) -> Iterator[str]:
        self.asked.append(path)
        return super().children(path, after, strict=strict)
