"""The file of an upload, locked for whoever writes to it."""

import os
from collections.abc import Sequence

from pyregistry.storage.driver import Stat
from pyregistry.storage.syscalls import to_stat

_MOST_PIECES = 1024
"""That the kernel takes at once (IOV_MAX)."""


class HeldFile:
    """An upload's file, open for appending and locked: see LockedFile."""

    def __init__(self, handle: int, opened: Stat) -> None:
        self.opened = opened
        self._handle = handle
        self.offset = opened.size

    def write_now(self, pieces: Sequence[memoryview]) -> None:
        """See LockedFile.write_now."""
        begin = 0
        while begin < len(pieces):
            written = os.writev(self._handle, pieces[begin : begin + _MOST_PIECES])
            self.offset += written
            while begin < len(pieces) and written >= len(pieces[begin]):
                written -= len(pieces[begin])
                begin += 1
            if written:  # of a disk that has become full: the next call says so
                pieces = [pieces[begin][written:], *pieces[begin + 1 :]]
                begin = 0

    def rewind(self) -> None:
        """See LockedFile.rewind."""
        os.ftruncate(self._handle, self.opened.size)
        self.offset = self.opened.size

    def sync(self) -> None:
        """See LockedFile.sync."""
        os.fsync(self._handle)

    def stat(self) -> Stat:
        """See LockedFile.stat."""
        return to_stat(os.fstat(self._handle))
