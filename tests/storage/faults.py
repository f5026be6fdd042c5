"""System calls of this process that fail when told to, before they did anything: what a driver cannot fake."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

LYING = (errno.EIO, errno.ENOSPC, errno.EDQUOT)
"""The errors that a sync may report. The device decides which of them; the bytes are lost in any case."""


class FailingSync:
    """`os.fsync` whose n-th call fails and every other one works: the kernel reports lost bytes once."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, fails_at: int, error: int = errno.EIO) -> None:
        self._left = fails_at
        self._error = error
        self._fsync = os.fsync
        self.failed_on: Path | None = None
        """The file or directory that was not synced; None: nothing has failed."""
        self.synced_since: set[Path] = set()
        monkeypatch.setattr(os, "fsync", self)

    def __call__(self, handle: int) -> None:
        """Fail, or sync."""
        self._left -= 1
        path = Path(f"/proc/self/fd/{handle}").readlink()
        if self._left == 0:
            self.failed_on = path
            raise OSError(self._error, os.strerror(self._error))
        self._fsync(handle)
        self.synced_since.add(path)
        if self._left > 0:
            self.synced_since.clear()


def fail_writes(monkeypatch: pytest.MonkeyPatch, error: int, *, behind: int) -> None:
    """Let each `writev` to a file of more than `behind` bytes fail."""
    writev = os.writev

    def write(handle: int, pieces: list[memoryview]) -> int:
        if os.fstat(handle).st_size > behind:
            raise OSError(error, os.strerror(error))
        return writev(handle, pieces)

    monkeypatch.setattr(os, "writev", write)


def refuse(monkeypatch: pytest.MonkeyPatch, call: str, is_refused: Callable[[str], bool], error: int) -> None:
    """Let `os.<call>` fail for the paths that `is_refused` names."""
    real = getattr(os, call)

    def refusing(path: str, *more: object, **options: object) -> object:
        if is_refused(str(path)):
            raise OSError(error, os.strerror(error), path)
        return real(path, *more, **options)

    monkeypatch.setattr(os, call, refusing)


class SlowSync:
    """`os.fsync` of one file or directory: it takes as long as `meanwhile`, which is called once; then it fails.

    Each later one of it fails as well. Those of anything else work.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, path: Path, meanwhile: Callable[[], object]) -> None:
        self._path = path
        self._meanwhile = meanwhile
        self._fsync = os.fsync
        self.is_begun = False
        monkeypatch.setattr(os, "fsync", self)

    def __call__(self, handle: int) -> None:
        """Fail, or sync."""
        if Path(f"/proc/self/fd/{handle}").readlink() != self._path:
            self._fsync(handle)
            return
        if not self.is_begun:
            self.is_begun = True
            self._meanwhile()
        raise OSError(errno.EIO, os.strerror(errno.EIO))
