"""Directories that survive a power cut, made while others may remove them.

Paths are strings here: they are taken apart for each file that is written, which costs more with pathlib than the
system calls do.
"""

import contextlib
import errno
import os
import sys
import time
from pathlib import Path

from pyregistry.common.racy import racy_window_ns
from pyregistry.storage.local.syscalls import sync_directory

PATIENCE = 5.0
"""Seconds for which a write makes its directories again while somebody removes them: a count would be used up within
a millisecond by an `rm` that runs on another core."""
TRIES = 20
"""The least number of tries: on a slow disk the seconds alone would be used up before the first one ends."""
_KNOWN_DIRECTORIES = 10_000
_TICK_NS = 50_000_000
"""Least age of a directory's last change, where times have fractions of a second: more than a tick of the clock
that files are stamped with. All layers of an image may come within a second, and each would sync every directory above
it."""
_STAMPING_CLOCK = 5 if sys.platform == "linux" else time.CLOCK_REALTIME
"""That clock, CLOCK_REALTIME_COARSE, for which Python has no name. A tick that is late, as on a machine that its host
holds up, is late in both."""


class RemakeLimit:
    """Tells when to stop making directories that somebody removes again and again: TRIES and PATIENCE are used up."""

    def __init__(self) -> None:
        self._tries = 0
        self._until = time.monotonic() + PATIENCE

    def is_over(self) -> bool:
        """Ask this once for each time that a directory was gone."""
        self._tries += 1
        return self._tries > TRIES and time.monotonic() > self._until


class Directories:
    """The directories below one root, and which of them this process knows to be synced."""

    def __init__(self, root: Path) -> None:
        self._root = str(root)
        # How the directory above looked when this process synced the entry: while it looks the same, no other process
        # has removed the directory and made it again.
        self._synced: dict[str, tuple[int, int]] = {}

    def make(self, directory: str, *, durable: bool) -> None:
        """Make the chain, and sync each entry that this process does not know to be synced.

        Who finds a directory there cannot know whether its maker has synced it yet, so "I made it" is not enough.
        """
        if durable and self._is_synced(directory):  # so it is there
            return
        limit = RemakeLimit()
        while True:
            try:
                made = self._make_chain(directory)
                if durable:
                    self._sync_or_take_back(directory, made)
                return
            except FileNotFoundError:  # an operator's `rm -rf` took what was just made
                if limit.is_over() or not os.path.exists(self._root):
                    raise

    def _make_chain(self, directory: str) -> list[str]:
        """Those that were not there."""
        made: list[str] = []
        chain = [directory]
        while chain[-1] != self._root and not self._exists_or_made(chain[-1], made):
            chain.append(parent_of(chain[-1]))
        for path in reversed(chain[:-1]):
            if not self._exists_or_made(path, made):
                raise FileNotFoundError(errno.ENOENT, "removed meanwhile", path)
        return made

    def _sync_or_take_back(self, directory: str, made: list[str]) -> None:
        try:
            self._sync_chain(directory, made)
        except FileNotFoundError:
            raise
        except OSError:
            # The kernel reports it once: whoever found them there would sync them without an error.
            for path in reversed(made):
                with contextlib.suppress(OSError):  # somebody has put something into it
                    os.rmdir(path)
            raise

    def _exists_or_made(self, path: str, made: list[str]) -> bool:
        """False where the directory above is missing."""
        try:
            os.mkdir(path)
        except FileExistsError:
            return True
        except FileNotFoundError:
            return False
        self._synced.pop(path, None)
        made.append(path)
        return True

    def _sync_chain(self, directory: str, made: list[str]) -> None:
        chain = []
        while directory != self._root and not self._is_synced(directory):
            chain.append(directory)
            directory = parent_of(directory)
        for path in reversed(chain):
            above = parent_of(path)
            looks = None if path in made else _looks(above)  # what has just changed is not settled
            sync_directory(above)
            if looks is not None:
                if len(self._synced) >= _KNOWN_DIRECTORIES:
                    self._synced.clear()
                self._synced[path] = looks

    def _is_synced(self, directory: str) -> bool:
        known = self._synced.get(directory)
        try:
            return known is not None and known == _looks(parent_of(directory))
        except FileNotFoundError:  # removed, with the directory above
            return False


def parent_of(path: str) -> str:
    """The directory that holds the name."""
    return path.rpartition("/")[0]


def _looks(directory: str) -> tuple[int, int] | None:
    """What changes with every entry that is made or removed, and with a move; None while that was a moment ago."""
    stat = os.stat(directory)
    changed_ns = stat.st_ctime_ns
    now_ns = time.clock_gettime_ns(_STAMPING_CLOCK)
    return (stat.st_ino, changed_ns) if now_ns - changed_ns >= racy_window_ns(changed_ns, _TICK_NS) else None
