"""A driver that fails at its n-th call, around a real one."""

import errno
from collections.abc import Callable
from typing import TypeVar

from pyregistry.storage.delegating import DelegatingDriver
from pyregistry.storage.local.driver import Driver

T = TypeVar("T")
CHANGES = frozenset(
    {"write", "create", "mark", "make_directory", "move", "delete", "delete_many", "set_mtime", "discard"}
)
"""Calls of which it makes a difference whether they fail before their work or after it."""


class FailingDriver(DelegatingDriver):
    """Does what `driver` does until call number `fails_at`, which raises EIO: before the work, or after it."""

    def __init__(self, driver: Driver, fails_at: int, *, after: bool = False) -> None:
        super().__init__(driver)
        self._left = fails_at
        self._after = after
        self.failed = False

    def around(self, verb: str, path: str, work: Callable[[], T]) -> T:
        self._left -= 1
        if self._left != 0:
            return work()
        if self._after and verb in CHANGES:
            work()
        self.failed = True
        raise OSError(errno.EIO, "as ordered")
