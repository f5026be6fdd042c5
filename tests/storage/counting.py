"""A driver that counts."""

from collections import Counter
from pathlib import Path

from pyregistry.storage.filesystem import FilesystemDriver
from pyregistry.storage.layout import StoragePath


class CountingDriver(FilesystemDriver):
    """How often each file was read is in `reads`."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.reads: Counter[StoragePath] = Counter()

    def read(self, path: StoragePath, limit: int | None = None) -> bytes:
        self.reads[path] += 1
        return super().read(path, limit)
