"""The file of an upload, held open across awaits and locked across processes."""

import asyncio
import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path

from aiofiles.threadpool.binary import AsyncFileIO

from pyregistry.storage.driver import PathBusy, PathNotFound, Stat
from pyregistry.storage.held import HeldFile
from pyregistry.storage.syscalls import absent_is_not_found, to_stat
from pyregistry.storage.threads import finish, in_thread

_POLL = 0.02
"""Seconds between two tries for a lock that another request holds: flock has no asynchronous form."""


class FileAppender(HeldFile):
    """An upload's file, open across awaits: see Appender."""

    def __init__(self, file: AsyncFileIO, handle: int, opened: Stat) -> None:
        super().__init__(handle, opened)
        self._file = file

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        """See Appender.write."""
        # To the end even for a cancelled request: a thread must never write to a descriptor that was closed, and
        # perhaps opened again for something else.
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


async def hold(target: Path, handle: int, wait: float) -> Stat:
    """Lock an open file that another one holds, for `wait` seconds at most; as `try_to_hold`."""
    deadline = time.monotonic() + wait
    while time.monotonic() < deadline:
        await asyncio.sleep(_POLL)
        with suppress(PathBusy):
            return await in_thread(try_to_hold, target, handle)
    raise PathBusy(target)


def try_to_hold(target: Path | str, handle: int) -> Stat:
    """Lock an open file; raises PathBusy, and PathNotFound if another one, or none, is there by now. Blocks."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise PathBusy(target) from error
    # Whoever held the lock before may have committed or cancelled the upload: the open file is then no longer it.
    with absent_is_not_found():
        there = os.lstat(target)
    opened = os.fstat(handle)
    if there.st_ino != opened.st_ino:
        raise PathNotFound(target)
    return to_stat(opened)
