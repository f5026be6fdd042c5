"""A driver that counts."""

from collections import Counter
from pathlib import Path

from pyregistry.storage.filesystem import FilesystemDriver
from pyregistry.storage.layout import StoragePath


class CountingDriver(FilesystemDriver):
    """How often each file was read is in `reads`, and how much was read of all in `read_bytes`."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.reads: Counter[StoragePath] = Counter()
        self.read_bytes = 0

    def read(self, path: StoragePath, limit: int | None = None) -> bytes:
        self.reads[path] += 1
        content = super().read(path, limit)
        self.read_bytes += len(content)
        return content
