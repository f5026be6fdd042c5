"""Bounds the memory of uploads in progress: the more there are, the smaller their buffers.

An upload holds up to three reads of its connection, a batch that is collected and one that is written. Their sizes
follow from each upload's share of the budget. A few uploads have buffers of the best size for their speed.
"""

import asyncio
import ctypes
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast

BUDGET_BYTES = 64 * 1024 * 1024
"""Bytes for the buffers of all uploads of a worker."""
READ_BYTES = 256 * 1024
"""Bytes that the event loop reads at once from a connection, with few uploads in progress."""
_LEAST_BYTES = 2 * 1024
"""Bytes below which reads and batches cost more than they hold."""
_MANY = 16
"""Uploads and large responses at a time from which on freed memory is returned to the system."""
_LEAST_BLOCK_BYTES = 16 * 1024
"""Bytes below which a block of a download costs more than it holds."""
_MANY_BYTES = 16 * 1024 * 1024
"""Freed bytes of large bodies from which on memory is returned to the system."""
_TRIM_SECONDS = 1.0
_M_MMAP_THRESHOLD = -3
_OWN_PAGES_BYTES = 2 * 1024 * 1024
"""Bytes of a block from which on glibc maps separate pages, and unmaps them when the block is freed.

By default glibc raises this to the largest freed block. Each thread then keeps as much at the end of its arena, and
no trim returns it."""


class Budget:
    """Counts the uploads and the large responses of a worker. Belongs to the event loop."""

    def __init__(self, size: int = BUDGET_BYTES) -> None:
        self._size = size
        self._uploads = 0
        self._responses = 0
        self._peak = 0
        """Most uploads and large responses at a time since memory was last returned."""
        self._freed = 0
        self._timer: asyncio.TimerHandle | None = None
        if _mallopt is not None:
            _mallopt(_M_MMAP_THRESHOLD, _OWN_PAGES_BYTES)

    def enter(self) -> None:
        """Count an upload."""
        self._uploads += 1
        self._note()

    def leave(self) -> None:
        """Stop counting an upload."""
        self._uploads -= 1

    @contextmanager
    def response(self) -> Iterator[None]:
        """Count a large response until the block ends."""
        self._responses += 1
        self._note()
        try:
            yield
        finally:
            self._responses -= 1

    def freed(self, size: int) -> None:
        """Note that a body of `size` bytes was freed."""
        self._freed += size
        if self._freed >= _MANY_BYTES and self._timer is None:
            self._trim_later()

    def block_size(self, limit: int) -> int:
        """Return the bytes of a file to read at once for a response; at most `limit`."""
        return max(_LEAST_BLOCK_BYTES, min(limit, self._size // (4 * max(self._responses, 1))))

    def read_size(self) -> int:
        """Return the bytes that the event loop reads at once for an upload."""
        return max(_LEAST_BYTES, min(READ_BYTES, self._size // (16 * max(self._uploads, 1))))

    def batch_size(self, limit: int) -> int:
        """Return the bytes to collect before a write; at most `limit`."""
        return max(_LEAST_BYTES, min(limit, self._size // (8 * max(self._uploads, 1))))

    def _note(self) -> None:
        self._peak = max(self._peak, self._uploads + self._responses)
        if self._peak >= _MANY and self._timer is None:
            self._trim_later()

    def _trim_later(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(_TRIM_SECONDS, self._trim_memory)

    def _trim_memory(self) -> None:
        # glibc keeps freed memory between used blocks: without a trim its heap never shrinks after many uploads.
        self._timer, self._peak, self._freed = None, self._uploads + self._responses, 0
        free_buffers.clear()
        if _trim is not None:
            asyncio.get_running_loop().run_in_executor(None, _trim, 0).add_done_callback(lambda _: None)
        if self._uploads + self._responses >= _MANY:
            self._trim_later()


def return_free_memory() -> None:
    """Return to the system what the C library keeps of freed memory. Blocks for a few milliseconds."""
    if _trim is not None:
        _trim(0)


def _find(name: str, *arguments: type[ctypes.c_size_t] | type[ctypes.c_int]) -> Callable[..., int] | None:
    """Return a function of glibc that returns an int; None with another C library."""
    try:
        found = getattr(ctypes.CDLL(None), name)
    except (OSError, AttributeError):
        return None
    found.argtypes, found.restype = arguments, ctypes.c_int
    return cast("Callable[..., int]", found)


_trim = _find("malloc_trim", ctypes.c_size_t)
_mallopt = _find("mallopt", ctypes.c_int, ctypes.c_int)
free_buffers: deque[memoryview] = deque()
"""Buffers of threads that have finished, at most as many as ran at a time since memory was last returned."""
uploads = Budget()
"""Of this worker, which has one event loop."""
