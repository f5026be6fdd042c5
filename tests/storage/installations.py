"""Storages as several workers share them, one for each implementation of uploads."""

from collections.abc import Callable
from pathlib import Path

from pyregistry.storage.local.coordinator import LocalCoordinator
from pyregistry.storage.local.driver import Driver
from pyregistry.storage.local.filesystem import FilesystemDriver
from pyregistry.storage.local.uploads import LocalUploads
from pyregistry.storage.memory.driver import MemoryDriver
from pyregistry.storage.repositories.registry import Registry
from pyregistry.storage.repositories.repository import Repository
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.coordinator import Coordinator
from pyregistry.storage.seams.rules import Rules
from pyregistry.storage.seams.uploads import Upload, Uploads
from pyregistry.storage.uploads.pieces import PieceUploads
from tests.storage.delegating import RepeatingCoordinator
from tests.storage.epochs import EpochCoordinator
from tests.storage.pushing import repository


class Installation:
    """One storage; `worker` gives another process's view of it."""

    def __init__(
        self,
        driver: Driver,
        uploads: Callable[[Driver, int, Coordinator], Uploads],
        coordinator: Callable[[Driver], Coordinator] = LocalCoordinator,
    ) -> None:
        self.driver = driver
        self.uploads = uploads
        self.coordinator = coordinator

    def worker(self, rules: Rules | None = None, driver: Driver | None = None) -> Registry:
        """A registry with running hashes of its own, by a driver around that of the installation if one is given."""
        rules = rules or Rules()
        driver = driver or self.driver
        return Registry(driver, rules, self.uploads_on(driver, rules), self.coordinator(driver))

    def uploads_on(self, driver: Driver, rules: Rules) -> Uploads:
        """The uploads of a worker."""
        return self.uploads(driver, rules.max_blob_size, self.coordinator(driver))

    def repository(self, rules: Rules | None = None, driver: Driver | None = None) -> Repository:
        """The repository of the tests, as another worker sees it."""
        return repository(self.worker(rules, driver))

    def content_of(self, upload: Upload) -> bytes:
        """All bytes that an upload holds, read from the files in which they are."""
        path = layout.upload(upload.repository, upload.id)
        names = [name for name in self.driver.children(path) if name != "startedat"]
        return b"".join(self.driver.read(layout.child(path, name)) for name in names)


def local(root: Path) -> Installation:
    """The files of uploads in a directory."""
    return Installation(FilesystemDriver(root), LocalUploads)


def pieces(root: Path) -> Installation:
    """Pieces in a directory, which several processes may share."""
    return Installation(FilesystemDriver(root), PieceUploads)


def memory(root: Path) -> Installation:
    """Pieces in memory: `storage: inmemory`."""
    return Installation(MemoryDriver(), PieceUploads)


def without_locks(root: Path) -> Installation:
    """Pieces, and a coordinator that holds no lock and may run its work again: the shape of a bucket."""
    return Installation(MemoryDriver(), PieceUploads, lambda driver: RepeatingCoordinator(EpochCoordinator(driver)))


INSTALLATIONS: dict[str, Callable[[Path], Installation]] = {
    "local files": local,
    "pieces in a directory": pieces,
    "pieces in memory": memory,
    "pieces without locks": without_locks,
}
