"""A bound on the memory of uploads in progress: the more there are, the smaller their buffers.

An upload holds up to three reads of its connection, a batch that is gathered and one that is written. Their sizes
follow from the share that each upload has of the budget. Few uploads have buffers as large as is good for their speed.
"""

import asyncio
import ctypes
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast

BUDGET = 64 * 1024 * 1024
"""Bytes for the buffers of all uploads of a worker."""
READ = 256 * 1024
"""Bytes that the event loop reads at once from a connection, where few uploads are in progress."""
_LEAST = 2 * 1024
"""Bytes below which reads and batches cost more than they hold."""
_MANY = 16
"""Uploads and large answers at a time, from which on freed memory is worth giving back to the system."""
_LEAST_BLOCK = 16 * 1024
"""Bytes below which a block of a download costs more than it holds."""
_MUCH = 16 * 1024 * 1024
"""Bytes of large bodies, likewise."""
_GIVE_BACK_SECONDS = 1.0
_M_MMAP_THRESHOLD = -3
_OWN_PAGES = 2 * 1024 * 1024
"""Bytes of a block from which on glibc takes pages of its own for it, and gives them back with it.

Left to itself, glibc raises this to the largest block that was freed. Each thread then keeps as much at the end of its
arena, which no trim sees."""


class Budget:
    """Counts the uploads and the large answers of a worker. Belongs to the event loop."""

    def __init__(self, size: int = BUDGET) -> None:
        self._size = size
        self._uploads = 0
        self._answers = 0
        self._most = 0
        """Uploads and large answers at a time since memory was given back."""
        self._freed = 0
        self._timer: asyncio.TimerHandle | None = None
        if _mallopt is not None:
            _mallopt(_M_MMAP_THRESHOLD, _OWN_PAGES)

    def enter(self) -> None:
        """Count an upload."""
        self._uploads += 1
        self._note()

    def leave(self) -> None:
        """Count an upload down."""
        self._uploads -= 1

    @contextmanager
    def answer(self) -> Iterator[None]:
        """Count a large answer until the block ends."""
        self._answers += 1
        self._note()
        try:
            yield
        finally:
            self._answers -= 1

    def freed(self, size: int) -> None:
        """Note that a body of so many bytes is not needed any more."""
        self._freed += size
        if self._freed >= _MUCH and self._timer is None:
            self._give_back_later()

    def block_size(self, most: int) -> int:
        """Return how many bytes of a file are read at once for an answer; never more than `most`."""
        return max(_LEAST_BLOCK, min(most, self._size // (4 * max(self._answers, 1))))

    def read_size(self) -> int:
        """Return how many bytes the event loop reads at once for an upload."""
        return max(_LEAST, min(READ, self._size // (16 * max(self._uploads, 1))))

    def batch_size(self, most: int) -> int:
        """Return how many bytes are gathered before a write; never more than `most`."""
        return max(_LEAST, min(most, self._size // (8 * max(self._uploads, 1))))

    def _note(self) -> None:
        self._most = max(self._most, self._uploads + self._answers)
        if self._most >= _MANY and self._timer is None:
            self._give_back_later()

    def _give_back_later(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(_GIVE_BACK_SECONDS, self._give_back)

    def _give_back(self) -> None:
        # glibc keeps what was freed between what is in use: its heap grew with the uploads, and stays without this.
        self._timer, self._most, self._freed = None, self._uploads + self._answers, 0
        free_buffers.clear()
        if _trim is not None:
            asyncio.get_running_loop().run_in_executor(None, _trim, 0).add_done_callback(lambda _: None)
        if self._uploads + self._answers >= _MANY:
            self._give_back_later()


def _find(name: str, *arguments: type[ctypes.c_size_t] | type[ctypes.c_int]) -> Callable[..., int] | None:
    """Return a function of glibc that gives an int; None with another C library."""
    try:
        found = getattr(ctypes.CDLL(None), name)
    except (OSError, AttributeError):
        return None
    found.argtypes, found.restype = arguments, ctypes.c_int
    return cast("Callable[..., int]", found)


_trim = _find("malloc_trim", ctypes.c_size_t)
_mallopt = _find("mallopt", ctypes.c_int, ctypes.c_int)
free_buffers: deque[memoryview] = deque()
"""Of threads that have done their work: as many as were at it side by side since memory was given back."""
uploads = Budget()
"""Of this worker, which has one event loop."""
