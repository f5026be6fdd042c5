"""Reading a whole file, and making the names in a directory durable."""

import errno
import os
import stat

_CANNOT_SYNC_DIRECTORIES = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})
"""Errors of fsync on a directory if the file system has no such call: CIFS on older kernels, some of FUSE."""


def read_all(handle: int, limit: int | None, begin: int = 0) -> bytes:
    """Read from `begin` to the end, or `limit` bytes at most; raises OSError, also if it is not a file."""
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode):  # a pipe or a device, which may never end
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
    left = status.st_size + 1  # one more, to see the end; and no buffer as large as the limit
    if begin:
        os.lseek(handle, begin, os.SEEK_SET)
    if limit is not None:
        left = min(left, limit)
    parts = []
    while left > 0 and (part := os.read(handle, left)):
        parts.append(part)
        left -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def sync_directory(path: str) -> None:
    """Make the names in a directory survive a power cut, if the file system can; raises OSError with the path.

    If it cannot, that is no error, since every write would fail.
    """
    try:
        fsync_directory(path)
    except FileNotFoundError:
        return  # removed by an operator meanwhile
    except OSError as error:
        if error.errno not in _CANNOT_SYNC_DIRECTORIES:
            raise


def fsync_directory(path: str) -> None:
    """Sync a directory; raises OSError with the path, also if the file system has no such call."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from error  # an error of a descriptor has no path
    finally:
        os.close(handle)
