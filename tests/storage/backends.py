"""Backends on drivers that a test made."""

from pyregistry.storage.backend import Backend, Directory, Memory, backend_of
from pyregistry.storage.local.driver import Driver
from pyregistry.storage.local.uploads import LocalUploads
from pyregistry.storage.uploads.pieces import PieceUploads


def backend_on(driver: Driver) -> Backend:
    """The backend that has this driver."""
    if driver.local is None:
        return backend_of(Memory(), driver, PieceUploads, title="memory")
    return backend_of(Directory(str(driver.local.root)), driver, LocalUploads, title=str(driver.local.root))
