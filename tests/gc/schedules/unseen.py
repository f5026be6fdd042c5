"""A file system on which no touch can be seen, the worst that a collector may meet."""

from pyregistry.storage.memory.driver import MemoryDriver
from pyregistry.storage.seams.layout import DATA, StoragePath
from pyregistry.storage.seams.objects import Stat
from tests.storage.stats import file_stat


class UnseenTouches(MemoryDriver):
    """Keeps no times of blobs, and gives the number of a file to the one that comes into its place."""

    def stat(self, path: StoragePath) -> Stat:
        found = super().stat(path)
        return file_stat(found.size, 0, 1) if path.endswith(f"/{DATA}") and found.is_file else found
