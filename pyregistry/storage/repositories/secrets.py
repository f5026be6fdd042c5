"""A secret that all workers share: a small file that only this service reads."""

from collections.abc import Callable
from contextlib import suppress

from pyregistry.storage.local.coordinator import coordinator_of
from pyregistry.storage.seams.coordinator import Coordinator
from pyregistry.storage.seams.layout import StoragePath
from pyregistry.storage.seams.objects import Objects, PathNotFound

_HOLDER = "secrets"


class Secret:
    """Bytes at a path of our own. Blocking."""

    def __init__(self, driver: Objects, path: StoragePath, coordinator: Coordinator | None = None) -> None:
        self._driver = driver
        self._coordinator = coordinator or coordinator_of(driver)
        self._path = path

    def read(self) -> bytes | None:
        """The bytes, None if there are none."""
        with suppress(PathNotFound):
            return self._driver.read(self._path)
        return None

    def change(self, change: Callable[[bytes | None], bytes | None]) -> bytes | None:
        """Replace the bytes by what `change` makes of them, unless that is None; the bytes that are there now."""
        with self._coordinator.single(_HOLDER, wait=True):
            before = self.read()
            after = change(before)
            if after is None:
                return before
            self._driver.write(self._path, after, private=True)
            return after
