"""The file of an upload, held by a thread that opens, writes and closes it in one go."""

import os

from pyregistry.storage.driver import Stat
from pyregistry.storage.syscalls import to_stat, write_all


class HeldFile:
    """An upload's file, open for appending and locked: see Held."""

    def __init__(self, handle: int, opened: Stat) -> None:
        self.opened = opened
        self._handle = handle
        self.offset = opened.size

    def append(self, data: bytes) -> None:
        """See Held.append."""
        write_all(self._handle, data)
        self.offset += len(data)

    def sync(self) -> None:
        """See LockedFile.sync."""
        os.fsync(self._handle)

    def stat(self) -> Stat:
        """See LockedFile.stat."""
        return to_stat(os.fstat(self._handle))
