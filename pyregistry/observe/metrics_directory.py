"""The directory that the processes of a service count into: where it is made, and removed.

Its files are mapped into memory, so memory is the best place for them: a disk could be full, or read-only. A server
that was killed leaves its directory behind. The next start removes it, and knows it by a lock that no process holds.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pyregistry.observe.multiprocess_metrics import SHARED

_PREFIX = "pyregistry-metrics-"
_OWNER = "owner"
"""The file that the processes of a service hold locked for as long as one of them lives."""
_ROOM = 16 * 1024 * 1024
"""Bytes that a place must have free: a process that writes to a mapped file for which there is no room is killed."""


def places() -> list[Path]:
    """Return the places for the directory, the best first; what the operator names in TMPDIR goes before memory."""
    named = os.environ.get("TMPDIR")
    return [Path(place) for place in (named, "/dev/shm", "/tmp", "/var/tmp") if place]  # noqa: S108 - with a private directory in it


@contextmanager
def counting_directory() -> Iterator[Path | None]:
    """Make an empty directory that processes forked from here on count into; None if there is no place for it.

    It is removed at the end of this process only.
    """
    made = _make_somewhere()
    if made is None:
        yield None
        return
    directory, handle = made
    owner = os.getpid()
    os.environ[SHARED] = str(directory)
    try:
        yield directory
    finally:
        if os.getpid() == owner:  # a worker that ends comes by here, too
            shutil.rmtree(directory, ignore_errors=True)
            os.close(handle)


def _make_somewhere() -> tuple[Path, int] | None:
    for place in places():
        with suppress(OSError):  # there is no such place, or it cannot be written
            _remove_abandoned(place)
            usage = os.statvfs(place)
            if usage.f_bavail * usage.f_frsize >= _ROOM:
                return _make(place)
    return None


def _make(place: Path) -> tuple[Path, int]:
    directory = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=place))
    try:
        # Locked before it has its name: under that name nobody ever sees it unlocked while this service lives.
        handle = os.open(directory / "new", os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(handle, fcntl.LOCK_EX)
        (directory / "new").rename(directory / _OWNER)
    except BaseException:
        shutil.rmtree(directory, ignore_errors=True)
        raise
    return directory, handle


def _remove_abandoned(place: Path) -> None:
    for directory in place.glob(f"{_PREFIX}*"):
        with suppress(OSError):  # another user's, one that is just being made, or one whose owner lives
            if directory.lstat().st_uid == os.geteuid():
                _remove_if_abandoned(directory)


def _remove_if_abandoned(directory: Path) -> None:
    handle = os.open(directory / _OWNER, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(directory)
    finally:
        os.close(handle)
