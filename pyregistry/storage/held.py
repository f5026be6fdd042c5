"""The file of an upload, locked for whoever writes to it."""

import errno
import os
from collections.abc import Sequence

from pyregistry.storage.driver import Stat
from pyregistry.storage.syscalls import to_stat

_MOST_PIECES = 1024
"""That the kernel takes at once (IOV_MAX)."""
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Errors of a write that took none of the bytes it was given; what was written before is in doubt only until a sync."""


class HeldFile:
    """An upload's file, open for appending and locked: see LockedFile."""

    def __init__(self, handle: int, opened: Stat) -> None:
        self.opened = opened
        self.is_lost = False
        self._handle = handle
        self.offset = opened.size

    def write_now(self, pieces: Sequence[memoryview]) -> None:
        """See LockedFile.write_now."""
        try:
            self._write_pieces(pieces)
        except OSError as error:
            self._judge(error)
            raise

    def rewind(self) -> None:
        """See LockedFile.rewind."""
        os.ftruncate(self._handle, self.opened.size)
        self.offset = self.opened.size

    def sync(self) -> None:
        """See LockedFile.sync."""
        try:
            os.fsync(self._handle)
        except OSError:
            self.is_lost = True
            raise

    def stat(self) -> Stat:
        """See LockedFile.stat."""
        return to_stat(os.fstat(self._handle))

    def _write_pieces(self, pieces: Sequence[memoryview]) -> None:
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

    def _judge(self, error: OSError) -> None:
        """Find out whether bytes that were written before a failed write may be lost. Blocks."""
        try:
            if error.errno in _NO_ROOM:
                os.fsync(self._handle)  # what is on the disk is not lost: the only proof there is
                return
        except OSError:
            pass
        self.is_lost = True
