"""The directory that the processes of a service count into: its creation and removal.

Its files are mapped into memory, so a file system in memory is best: a disk could be full, or read-only. A killed
server leaves its directory. The next start removes each directory whose lock no process holds.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pyregistry.observe.multiprocess_metrics import DIRECTORY_VARIABLE

_PREFIX = "pyregistry-metrics-"
_OWNER = "owner"
"""The file that the processes of a service keep locked as long as one of them lives."""
_FREE_BYTES = 16 * 1024 * 1024
"""Free space that a place needs: without space, a write to a mapped file kills the process."""


def places() -> list[Path]:
    """Return the places for the directory, the best first; TMPDIR comes before memory."""
    named = os.environ.get("TMPDIR")
    return [Path(place) for place in (named, "/dev/shm", "/tmp", "/var/tmp") if place]  # noqa: S108 - with a private directory in it


@contextmanager
def counting_directory() -> Iterator[Path | None]:
    """Make an empty directory for this process and its later forks; None if no place has space.

    Only this process removes it, at its end.
    """
    made = _make_somewhere()
    if made is None:
        yield None
        return
    directory, handle = made
    owner = os.getpid()
    os.environ[DIRECTORY_VARIABLE] = str(directory)
    try:
        yield directory
    finally:
        if os.getpid() == owner:  # an ending worker gets here as well
            shutil.rmtree(directory, ignore_errors=True)
            os.close(handle)


def _make_somewhere() -> tuple[Path, int] | None:
    for place in places():
        with suppress(OSError):  # the place is missing, or cannot be written
            _remove_abandoned(place)
            usage = os.statvfs(place)
            if usage.f_bavail * usage.f_frsize >= _FREE_BYTES:
                return _make(place)
    return None


def _make(place: Path) -> tuple[Path, int]:
    directory = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=place))
    try:
        # Locked before it gets its name: under that name it is never unlocked while this service lives.
        handle = os.open(directory / "new", os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(handle, fcntl.LOCK_EX)
        (directory / "new").rename(directory / _OWNER)
    except BaseException:
        shutil.rmtree(directory, ignore_errors=True)
        raise
    return directory, handle


def _remove_abandoned(place: Path) -> None:
    for directory in place.glob(f"{_PREFIX}*"):
        with suppress(OSError):  # another user's, one that is just being made, or one in use
            if directory.lstat().st_uid == os.geteuid():
                _remove_if_abandoned(directory)


def _remove_if_abandoned(directory: Path) -> None:
    handle = os.open(directory / _OWNER, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(directory)
    finally:
        os.close(handle)
