"""A lock of one process: the memory driver's counterpart of `flock`."""

import contextlib
import threading
from collections.abc import Iterator

from pyregistry.storage.driver import PathBusy


class SharedLock:
    """A lock held by one exclusively or by several together."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._shared = 0
        self._exclusive = False

    @contextlib.contextmanager
    def hold(self, *, exclusive: bool, wait: bool) -> Iterator[None]:
        """Hold it until the end of the block. Blocks; without `wait` raises PathBusy."""
        with self._condition:
            timeout = None if wait else 0
            if not self._condition.wait_for(lambda: not self._exclusive and not (exclusive and self._shared), timeout):
                raise PathBusy
            self._exclusive = exclusive
            self._shared += not exclusive
        try:
            yield
        finally:
            with self._condition:
                self._exclusive = self._exclusive and not exclusive
                self._shared -= not exclusive
                self._condition.notify_all()
