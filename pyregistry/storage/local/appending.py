"""The file of an upload: locked across processes, written by threads or across awaits."""

import asyncio
import errno
import fcntl
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from aiofiles.threadpool.binary import AsyncFileIO

from pyregistry.storage.local.syscalls import absent_is_not_found, to_stat
from pyregistry.storage.seams.objects import PathBusy, PathNotFound, Stat
from pyregistry.threads.offload import finish, in_thread

_POLL_SECONDS = 0.02
"""Seconds between two tries for a lock that another request holds: flock has no asynchronous form."""
_MOST_PIECES = 1024
"""Most pieces that the kernel takes in one call (IOV_MAX)."""
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Errors of a write that took no bytes; whether earlier bytes are lost, a sync shows."""


class LocalLockedFile:
    """An upload's file, open for appending and locked."""

    def __init__(self, handle: int, opened: Stat) -> None:
        self.opened = opened
        self.is_lost = False
        self._handle = handle
        self.offset = opened.size

    def write_now(self, pieces: Sequence[memoryview]) -> None:
        """Append all of these; after an error find out whether bytes may be lost. Blocks."""
        try:
            self._write_pieces(pieces)
        except OSError as error:
            self._judge(error)
            raise

    def rewind(self) -> None:
        """Drop all that was appended since it was opened. Blocks."""
        os.ftruncate(self._handle, self.opened.size)
        self.offset = self.opened.size

    def sync(self) -> None:
        """Sync the file; after an error bytes may be lost. Blocks."""
        try:
            os.fsync(self._handle)
        except OSError:
            self.is_lost = True
            raise

    def stat(self) -> Stat:
        """Return the stat of the open file. Blocks."""
        return to_stat(os.fstat(self._handle))

    def _write_pieces(self, pieces: Sequence[memoryview]) -> None:
        begin = 0
        while begin < len(pieces):
            written = os.writev(self._handle, pieces[begin : begin + _MOST_PIECES])
            self.offset += written
            while begin < len(pieces) and written >= len(pieces[begin]):
                written -= len(pieces[begin])
                begin += 1
            if written:  # the disk became full: the next call raises that
                pieces = [pieces[begin][written:], *pieces[begin + 1 :]]
                begin = 0

    def _judge(self, error: OSError) -> None:
        """Find out whether bytes that were written before a failed write may be lost. Blocks."""
        try:
            if error.errno in _NO_ROOM:
                os.fsync(self._handle)  # only a sync proves that no bytes are lost
                return
        except OSError:
            pass
        self.is_lost = True


class LocalAppender(LocalLockedFile):
    """An upload's file, open across awaits."""

    def __init__(self, file: AsyncFileIO, handle: int, opened: Stat) -> None:
        super().__init__(handle, opened)
        self._file = file

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append all of `data`."""
        # To the end even for a cancelled request. A thread must never write to a descriptor that was closed and
        # perhaps opened for something else.
        await finish(self._write_all(data))

    async def _write_all(self, data: bytes | bytearray | memoryview) -> None:
        try:
            await self._write_view(memoryview(data))
        except OSError as error:
            await in_thread(self._judge, error)
            raise

    async def _write_view(self, view: memoryview) -> None:
        while view:
            written: int = await self._file.write(view)
            self.offset += written
            view = view[written:]


async def wait_for_lock(target: Path, handle: int, wait: float) -> Stat:
    """Lock an open file as `try_lock` does, but wait for the other holder for at most `wait` seconds."""
    deadline = time.monotonic() + wait
    while time.monotonic() < deadline:
        await asyncio.sleep(_POLL_SECONDS)
        with suppress(PathBusy):
            return await in_thread(try_lock, target, handle)
    raise PathBusy(target)


def try_lock(target: Path | str, handle: int) -> Stat:
    """Lock an open file; raises PathBusy, and PathNotFound if it was removed or replaced. Blocks."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise PathBusy(target) from error
    # The holder before may have committed or cancelled the upload: then this file is not the upload any longer.
    with absent_is_not_found():
        there = os.lstat(target)
    opened = os.fstat(handle)
    if there.st_ino != opened.st_ino:
        raise PathNotFound(target)
    return to_stat(opened)
