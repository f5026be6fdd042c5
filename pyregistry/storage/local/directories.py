"""Directories that survive a power cut, made while others may remove them.

Paths are strings here: with pathlib, splitting them for each written file costs more than the system calls.
"""

import contextlib
import errno
import os
import sys
import time
from pathlib import Path

from pyregistry.common.files import sync_directory
from pyregistry.common.racy import racy_window_ns

REMAKE_SECONDS = 5.0
"""Seconds for which a write remakes directories that are being removed: an `rm` on another core would use up a count
within a millisecond."""
TRIES = 20
"""Least number of tries: on a slow disk the seconds may be over before the first one ends."""
_KNOWN_DIRECTORIES = 10_000
_TICK_NS = 50_000_000
"""Least age of a directory's last change, where times have fractions of a second: more than a tick of the clock that
stamps files. All layers of an image may arrive within a second, and each would sync every directory above it."""
_STAMPING_CLOCK = 5 if sys.platform == "linux" else time.CLOCK_REALTIME
"""That clock, CLOCK_REALTIME_COARSE, for which Python has no name. A late tick, as on a machine that its host pauses,
is late for both."""


class RemakeLimit:
    """Limit for making directories that are removed again and again: TRIES and REMAKE_SECONDS are used up."""

    def __init__(self) -> None:
        self._tries = 0
        self._until = time.monotonic() + REMAKE_SECONDS

    def is_over(self) -> bool:
        """Return True if the limit is reached. To be called once for each removed directory."""
        self._tries += 1
        return self._tries > TRIES and time.monotonic() > self._until


class Directories:
    """Directories below one root, with those that this process knows to be synced."""

    def __init__(self, root: Path) -> None:
        self._root = str(root)
        # Stat of the parent when this process synced the entry: while it is the same, no other process has removed
        # the directory and made it again.
        self._synced: dict[str, tuple[int, int]] = {}

    def make(self, directory: str, *, durable: bool) -> None:
        """Make the chain, and sync each entry that this process does not know to be synced.

        Entries that were there are synced as well: their maker may not have done it yet.
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
            except FileNotFoundError:  # an operator's `rm -rf` removed what was just made
                if limit.is_over() or not os.path.exists(self._root):
                    raise

    def _make_chain(self, directory: str) -> list[str]:
        """Make the missing directories and return them."""
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
            # The kernel reports it once: the next writer would sync them without an error.
            for path in reversed(made):
                with contextlib.suppress(OSError):  # another writer has put something into it
                    os.rmdir(path)
            raise

    def _exists_or_made(self, path: str, made: list[str]) -> bool:
        """Make a directory unless it exists; return False if its parent is missing."""
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
            validator = None if path in made else _validator(above)  # the parent of a new one has just changed
            sync_directory(above)
            if validator is not None:
                if len(self._synced) >= _KNOWN_DIRECTORIES:
                    self._synced.clear()
                self._synced[path] = validator

    def _is_synced(self, directory: str) -> bool:
        known = self._synced.get(directory)
        try:
            return known is not None and known == _validator(parent_of(directory))
        except FileNotFoundError:  # removed, with its parent
            return False


def parent_of(path: str) -> str:
    """Return the directory that holds the name."""
    return path.rpartition("/")[0]


def _validator(directory: str) -> tuple[int, int] | None:
    """Return a value that changes with each new or removed entry and with a move; None if it just changed."""
    stat = os.stat(directory)
    changed_ns = stat.st_ctime_ns
    now_ns = time.clock_gettime_ns(_STAMPING_CLOCK)
    return (stat.st_ino, changed_ns) if now_ns - changed_ns >= racy_window_ns(changed_ns, _TICK_NS) else None
