"""The names in a directory in byte order; those of the largest ones are remembered while the directory is unchanged."""

import heapq
import os
import time
from bisect import bisect_right
from collections.abc import Iterator

from pyregistry.storage.syscalls import absent_is_not_found

LARGE = 1_000
"""Names from which on a directory is worth remembering."""
MAX_NAMES = 250_000
"""What is remembered of all directories, about 70 bytes a name."""
_SETTLED_NS = 1_000_000_000
"""How long a directory must have been unchanged: within one tick of the clock it may change again, unseen."""
_Looks = tuple[int, int, int]


class Listings:
    """Safe for use from several threads."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[_Looks, list[str]]] = {}

    def names(self, directory: str, after: str | None) -> Iterator[str]:
        """The names behind `after`, without symbolic links; raises PathNotFound. Only what is taken is looked at."""
        for name in self._in_order(directory, after):
            if not os.path.islink(f"{directory}/{name}"):  # noqa: PTH114 - a Path for each is dear
                yield name

    def _in_order(self, directory: str, after: str | None) -> Iterator[str]:
        with absent_is_not_found():
            stat = os.stat(directory)  # noqa: PTH116 - the same
            looks = stat.st_dev, stat.st_ino, stat.st_mtime_ns
            known, ordered = self._known.get(directory, (None, []))
            if known != looks:
                names = os.listdir(directory)  # noqa: PTH208 - an iterator takes three times as long
                if len(names) < LARGE or time.time_ns() - stat.st_mtime_ns < _SETTLED_NS:
                    yield from _first_ones_first(names if after is None else [name for name in names if name > after])
                    return
                ordered = sorted(names)
                self._remember(directory, looks, ordered)
        for index in range(0 if after is None else bisect_right(ordered, after), len(ordered)):
            yield ordered[index]

    def _remember(self, directory: str, looks: _Looks, ordered: list[str]) -> None:
        others = {path: entry for path, entry in self._known.items() if path != directory}
        if len(ordered) + sum(len(names) for _, names in others.values()) > MAX_NAMES:
            others = {}
        self._known = {**others, directory: (looks, ordered)} if len(ordered) <= MAX_NAMES else others


def _first_ones_first(names: list[str]) -> Iterator[str]:
    # A page of a large directory takes a few hundred: those are found without sorting the others.
    heapq.heapify(names)
    for _ in range(min(len(names), LARGE)):
        yield heapq.heappop(names)
    names.sort()
    yield from names
