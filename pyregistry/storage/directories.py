"""Directories that survive a power cut, made while others may remove them."""

import errno
import os
import time
from pathlib import Path

from pyregistry.storage.syscalls import sync_directory

PATIENCE = 5.0
"""Seconds for which a write makes its directories again while somebody removes them: a count would be used up within
a millisecond by an `rm` that runs on another core."""
_KNOWN_DIRECTORIES = 10_000
_SETTLED_NS = 1_000_000_000
"""How old the last change of a directory must be for its time to tell it from every later one."""


class Directories:
    """The directories below one root, and which of them this process knows to be synced."""

    def __init__(self, root: Path) -> None:
        self._root = root
        # How the directory above looked when this process synced the entry: while it looks the same, no other process
        # has removed the directory and made it again.
        self._synced: dict[Path, tuple[int, int]] = {}

    def make(self, directory: Path, *, durable: bool) -> None:
        """Make the chain, and sync each entry that this process does not know to be synced.

        Who finds a directory there cannot know whether its maker has synced it yet, so "I made it" is not enough.
        """
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                self._make_chain(directory)
                if durable:
                    self._sync_chain(directory)
                return
            except FileNotFoundError:  # an operator's `rm -rf` took what was just made
                if time.monotonic() > deadline or not self._root.exists():
                    raise

    def _make_chain(self, directory: Path) -> None:
        chain = [directory]
        while chain[-1] != self._root and not self._exists_or_made(chain[-1]):
            chain.append(chain[-1].parent)
        for path in reversed(chain[:-1]):
            if not self._exists_or_made(path):
                raise FileNotFoundError(errno.ENOENT, "removed meanwhile", str(path))

    def _exists_or_made(self, path: Path) -> bool:
        """False where the directory above is missing."""
        try:
            path.mkdir()
        except FileExistsError:
            return True
        except FileNotFoundError:
            return False
        self._synced.pop(path, None)
        return True

    def _sync_chain(self, directory: Path) -> None:
        chain = []
        while directory != self._root and not self._is_synced(directory):
            chain.append(directory)
            directory = directory.parent
        for path in reversed(chain):
            looks = _looks(path.parent)
            sync_directory(path.parent)
            if looks is not None:
                if len(self._synced) >= _KNOWN_DIRECTORIES:
                    self._synced.clear()
                self._synced[path] = looks

    def _is_synced(self, directory: Path) -> bool:
        known = self._synced.get(directory)
        return known is not None and known == _looks(directory.parent)


def _looks(directory: Path) -> tuple[int, int] | None:
    """What changes with every entry that is made or removed, and with a move; None while that was a moment ago."""
    stat = os.stat(directory)  # noqa: PTH116 - asked for every file that is written, and twice as fast
    return (stat.st_ino, stat.st_ctime_ns) if time.time_ns() - stat.st_ctime_ns >= _SETTLED_NS else None
