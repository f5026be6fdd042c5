"""System calls of the driver on a local directory."""

import contextlib
import ctypes
import errno
import os
import random
import shutil
import struct
import uuid
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import cast

from pyregistry.storage.seams.objects import PathNotFound, Stat

CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG)
"""Errors for a missing file: no entry, a directory in its place, a loop of symbolic links, an impossible name."""
_AT_FDCWD, _STATX_MNT_ID_UNIQUE, _STATX_MNT_ID_AT, _STATX_SIZE = -100, 0x4000, 0x90, 0x100
"""Constants of statx(2), which Python before 3.15 does not have."""
_COUNTING = frozenset({0xEF53, 0x58465342, 0x01021994})
"""Values of f_type for ext2 to ext4, xfs and tmpfs: see statfs(2)."""
_STATFS_LONGS = 64
"""Size of a buffer for struct statfs, which is smaller; its first field is f_type."""
_TYPE, _FILE, _SYMBOLIC_LINK = 0o170000, 0o100000, 0o120000
"""Bits of a mode; the `stat` module's functions cost a call each, in every cached response."""
_LARGE_DIRECTORY = 1_000
"""Directories in one directory from which it pays to ask for their number first."""


def new_name() -> str:
    """Return a name that is unique among all processes; it is not a secret."""
    # Python seeds this in each forked process, and needs no system call.
    return f"{random.getrandbits(128):032x}"


def to_stat(result: os.stat_result) -> Stat:
    """Return the Stat of an `os.stat_result`."""
    time_ns, inode = result.st_mtime_ns, result.st_ino
    return Stat(result.st_size, time_ns, (inode, time_ns), result.st_mode & _TYPE == _FILE, inode)


def stat_of(path: str) -> Stat:
    """Return the stat of a path, and of the file behind a symbolic link; raises OSError.

    One system call unless it is a symbolic link.
    """
    result = os.lstat(path)
    kind = result.st_mode & _TYPE
    if kind == _SYMBOLIC_LINK:
        return _through(path, result)
    time_ns, inode = result.st_mtime_ns, result.st_ino
    return Stat(result.st_size, time_ns, (inode, time_ns), kind == _FILE, inode)


def _through(path: str, link: os.stat_result) -> Stat:
    try:
        file = os.stat(path)
    except OSError as error:
        if not is_absent(error):
            raise
        return to_stat(link)
    if file.st_mode & _TYPE != _FILE:
        return to_stat(link)
    version = (link.st_ino, link.st_mtime_ns, file.st_dev, file.st_ino, file.st_mtime_ns)
    return Stat(file.st_size, link.st_mtime_ns, version, is_file=True, content_id=file.st_ino)


def times_of(stat: Stat) -> tuple[int, ...]:
    """Return the times in the version of a file of this machine: its own and, for a symbolic link, its file's."""
    return cast("tuple[int, ...]", stat.version)[1::3]


def write_all(handle: int, data: bytes) -> None:
    """Write all of `data`: `os.write` may write a part."""
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]


def fill(handle: int, data: bytes, *, durable: bool) -> None:
    """Write a new file and close it, also after an error."""
    try:
        write_all(handle, data)
        if durable:
            os.fsync(handle)
    finally:
        os.close(handle)


def set_mtime(path: str, mtime_ns: int | None) -> None:
    """Set the time of a path, for None to now."""
    if mtime_ns is None:  # needs less permission than a given time
        os.utime(path, follow_symlinks=False)
    else:
        os.utime(path, ns=(mtime_ns, mtime_ns), follow_symlinks=False)


def sync_file_system(path: Path) -> None:
    """Make all changes of the file system of `path` durable."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # Python has no syncfs; os.sync, which every system has, would wait for all other disks as well.
        syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
        if syncfs is None:
            os.sync()
        elif syncfs(handle) != 0:
            raise OSError(number := ctypes.get_errno(), os.strerror(number), str(path))
    finally:
        os.close(handle)


def remove_all(path: str, *, is_directory: bool = False) -> None:
    """Remove a file, or a directory with all that is in it, as far as possible."""
    if not is_directory:  # as far as the caller knows
        with contextlib.suppress(OSError):
            os.unlink(path)
            return
    try:  # a directory, mostly with one file
        with os.scandir(path) as entries:
            for entry in list(entries):
                os.unlink(entry.path)
        os.rmdir(path)
    except OSError:  # there are directories in it, or it is gone
        shutil.rmtree(path, ignore_errors=True)


def remove_tree(path: str) -> None:
    """Remove a directory with all that is in it, in the order of the names; raise OSError if anything stays."""
    with contextlib.suppress(FileNotFoundError):  # another process removes it as well
        with os.scandir(path) as found:
            entries = sorted(found, key=lambda entry: entry.name)
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                remove_tree(entry.path)
            else:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(entry.path)
        os.rmdir(path)


def names_and_links(directory: str) -> tuple[list[str], list[str]]:
    """Return the names in a directory, and those of symbolic links apart; in any order."""
    # Where the file system counts them, a directory has a link from each directory in it, and two more. If there are
    # as many as names, none is a symbolic link. So a page of a large list need not stat a hundred thousand names.
    links = os.stat(directory).st_nlink
    if links > _LARGE_DIRECTORY and counts_directories(directory):
        names = os.listdir(directory)
        if len(names) == links - 2 and os.stat(directory).st_nlink == links:  # nothing was added or removed meanwhile
            return names, []
    with os.scandir(directory) as entries:
        found = list(entries)
    kept = [entry.name for entry in found if not entry.is_symlink()]
    return kept, [] if len(kept) == len(found) else [entry.name for entry in found if entry.is_symlink()]


def counts_directories(directory: str) -> bool:
    """Return True if a directory is known to have two links more than it has directories.

    Other file systems count one link per directory, or each name including symbolic links. So do those of macOS that
    Docker's machine gets from its host.
    """
    statfs = getattr(ctypes.CDLL(None), "statfs", None)
    answer = (ctypes.c_long * _STATFS_LONGS)()
    return statfs is not None and statfs(os.fsencode(directory), answer) == 0 and answer[0] in _COUNTING


def is_absent(error: OSError) -> bool:
    """Return True for an error that means a missing file."""
    return error.errno in _ABSENT


@contextlib.contextmanager
def absent_is_not_found() -> Iterator[None]:
    """Raise PathNotFound for errors that mean a missing file."""
    try:
        yield
    except OSError as error:
        if is_absent(error):
            raise PathNotFound(error.filename) from error
        raise


@cache
def _statx() -> Callable[..., int] | None:
    found: Callable[..., int] | None = getattr(ctypes.CDLL(None), "statx", None)
    return found


def mount_id(path: str) -> int:
    """Return a number that no other mount has had since the boot; 0 if the system has none (Linux before 6.8)."""
    statx, answer = _statx(), ctypes.create_string_buffer(_STATX_SIZE)
    if statx is None or statx(_AT_FDCWD, os.fsencode(path), 0, _STATX_MNT_ID_UNIQUE, answer) != 0:
        return 0
    (mask,), (number,) = struct.unpack_from("I", answer), struct.unpack_from("Q", answer, _STATX_MNT_ID_AT)
    return int(number) if mask & _STATX_MNT_ID_UNIQUE else 0


def boot_id() -> str:
    """Return an id that changes with each boot of the machine."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return uuid.uuid4().hex
