"""Backends on drivers that a test made."""

from dataclasses import replace

from pyregistry.storage.backend import Backend, Directory, Memory
from pyregistry.storage.driver import Driver


def backend_on(driver: Driver) -> Backend:
    """The backend that has this driver."""
    local = driver.local
    location = Memory() if local is None else Directory(str(local.root))
    return replace(location.open(), driver=driver)
