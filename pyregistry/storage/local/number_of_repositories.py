"""The number of repositories in a data directory, counted in bounded time for the log at the start."""

import os
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from pyregistry.storage.seams import layout
from pyregistry.storage.seams.reserved import is_reserved

MOST_REPOSITORIES = 10_000
"""Number at which the count stops."""
MOST_SECONDS = 1.0
"""Time after which it stops; a network file system may need seconds for a thousand directories."""


def count_repositories(root: Path, clock: Callable[[], float] = time.monotonic) -> str:
    """Return a number such as `12`, or `10,000+` where the count was stopped. Blocks for about MOST_SECONDS at most.

    Directories that cannot be read are left out: the request that needs one reports it.
    """
    end, found = clock() + MOST_SECONDS, 0
    waiting = deque([os.fspath(root / layout.REPOSITORIES)])
    while waiting:
        if found >= MOST_REPOSITORIES or clock() > end:
            return f"{found:,}+"
        with suppress(OSError), os.scandir(waiting.popleft()) as entries:
            names = [entry for entry in entries if entry.is_dir(follow_symlinks=False)]
            found += any(entry.name in layout.OF_A_REPOSITORY for entry in names)
            waiting.extend(entry.path for entry in names if not _is_passed_over(entry.name))
    return f"{found:,}"


def _is_passed_over(name: str) -> bool:
    return name.startswith("_") or is_reserved(name)  # a snapshot has the repositories of an earlier day


def has_blobs(root: Path) -> bool:
    """Return True if there is anything below the directory of blobs. Blocks."""
    with suppress(OSError), os.scandir(root / layout.BLOBS) as algorithms:
        for algorithm in algorithms:
            with suppress(OSError), os.scandir(algorithm.path) as prefixes:
                if next(iter(prefixes), None) is not None:
                    return True
    return False
