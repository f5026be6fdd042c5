"""The file system of `limited`, in user space; its arguments are SOURCE MOUNTPOINT [CALL=ERRNO]...

It passes all calls on to the directory SOURCE, but answers `sync` of directories or `times` with an errno.
"""

import os
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

from mfusepy import FUSE, FuseOSError, Operations


class Passing(Operations):  # type: ignore[misc] # the library ships no types
    """Passes calls on to a directory."""

    use_ns = True

    def __init__(self, source: str, refused: Mapping[str, int]) -> None:
        self._source = source
        self._refused = refused

    def access(self, path: str, mode: int) -> int:
        return 0

    def chmod(self, path: str, mode: int) -> int:
        os.chmod(self._source + path, mode)
        return 0

    def chown(self, path: str, uid: int, gid: int) -> int:
        os.chown(self._source + path, uid, gid, follow_symlinks=False)
        return 0

    def create(self, path: str, mode: int, fi: Any = None) -> int:
        return os.open(self._source + path, os.O_RDWR | os.O_CREAT, mode)

    def flush(self, path: str, fh: int) -> int:
        return 0

    def fsync(self, path: str, datasync: int, fh: int) -> int:
        os.fsync(fh)
        return 0

    def fsyncdir(self, path: str, datasync: int, fh: int) -> int:
        if "sync" in self._refused:
            raise FuseOSError(self._refused["sync"])
        return 0

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        found = os.lstat(self._source + path)
        names = ("st_mode", "st_nlink", "st_uid", "st_gid", "st_size")
        times = {name: getattr(found, f"{name}_ns") for name in ("st_atime", "st_mtime", "st_ctime")}
        return {**{name: getattr(found, name) for name in names}, **times}

    def mkdir(self, path: str, mode: int) -> int:
        os.mkdir(self._source + path, mode)
        return 0

    def open(self, path: str, flags: int) -> int:
        return os.open(self._source + path, flags & ~os.O_APPEND)

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        return os.pread(fh, size, offset)

    def readdir(self, path: str, fh: int) -> Iterator[str]:
        yield from (".", "..", *os.listdir(self._source + path))

    def readlink(self, path: str) -> str:
        return os.readlink(self._source + path)

    def release(self, path: str, fh: int) -> int:
        os.close(fh)
        return 0

    def rename(self, old: str, new: str) -> int:
        os.rename(self._source + old, self._source + new)
        return 0

    def rmdir(self, path: str) -> int:
        os.rmdir(self._source + path)
        return 0

    def statfs(self, path: str) -> dict[str, int]:
        found = os.statvfs(self._source + path)
        names = ("f_bavail", "f_bfree", "f_blocks", "f_bsize", "f_ffree", "f_files", "f_frsize", "f_namemax")
        return {name: getattr(found, name) for name in names}

    def truncate(self, path: str, length: int, fh: int | None = None) -> int:
        os.truncate(self._source + path, length)
        return 0

    def unlink(self, path: str) -> int:
        os.unlink(self._source + path)
        return 0

    def utimens(self, path: str, times: tuple[int, int] | None = None) -> int:
        if self._refused.get("times"):
            raise FuseOSError(self._refused["times"])
        if "times" not in self._refused:
            os.utime(self._source + path, ns=times or (time.time_ns(),) * 2, follow_symlinks=False)
        return 0

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        return os.pwrite(fh, data, offset)


if __name__ == "__main__":
    pairs = [word.partition("=") for word in sys.argv[3:]]
    operations = Passing(sys.argv[1], {call: int(number) for call, _, number in pairs})
    FUSE(operations, sys.argv[2], foreground=True, nothreads=True, allow_other=True, attr_timeout=0, entry_timeout=0)
