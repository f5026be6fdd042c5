"""Secrets that all workers share: small files that only this service reads."""

from collections.abc import Callable
from contextlib import suppress

from pyregistry.storage.seams.coordinator import Coordinator
from pyregistry.storage.seams.layout import StoragePath
from pyregistry.storage.seams.objects import Objects, PathNotFound

_HOLDER = "secrets"


class Secret:
    """Bytes at a path of our own. Blocking."""

    def __init__(self, objects: Objects, path: StoragePath, coordinator: Coordinator) -> None:
        self._objects = objects
        self._coordinator = coordinator
        self._path = path

    def read(self) -> bytes | None:
        """Return the bytes; None without any."""
        with suppress(PathNotFound):
            return self._objects.read(self._path)
        return None

    def change(self, change: Callable[[bytes | None], bytes | None]) -> bytes | None:
        """Replace the bytes by what `change` makes of them, unless it returns None; return the bytes after that."""
        with self._coordinator.single(_HOLDER, wait=True):
            before = self.read()
            after = change(before)
            if after is None:
                return before
            self._objects.write(self._path, after, private=True)
            return after
