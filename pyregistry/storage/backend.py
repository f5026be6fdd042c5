"""Backends: the place of a registry's data, and the three seams of an open one. Another storage is another place here.

A location is a value: it comes from the config, and a garbage collection in a process of its own gets it as JSON.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import msgspec

from pyregistry.common.lazy import import_now, lazy
from pyregistry.storage.local.coordinator import LocalCoordinator
from pyregistry.storage.local.driver import Driver, LocalMaintenance
from pyregistry.storage.local.filesystem import FilesystemDriver
from pyregistry.storage.local.uploads import LocalUploads
from pyregistry.storage.repositories.registry import Registry
from pyregistry.storage.seams.coordinator import Coordinator
from pyregistry.storage.seams.objects import Objects
from pyregistry.storage.seams.rules import Rules
from pyregistry.storage.seams.uploads import Uploads

if TYPE_CHECKING:
    from pyregistry.storage import measured
    from pyregistry.storage.measured import Observe
    from pyregistry.storage.memory import driver as memory
    from pyregistry.storage.uploads import pieces
else:
    measured = lazy("pyregistry.storage.measured")
    memory = lazy("pyregistry.storage.memory.driver")
    pieces = lazy("pyregistry.storage.uploads.pieces")


class Directory(msgspec.Struct, frozen=True, tag="filesystem"):
    """A directory of this machine."""

    root: str
    """Its path."""

    name: ClassVar = "filesystem"
    """The name of the storage driver in a config, a metric and a health check."""
    is_shared: ClassVar = True
    """True if several processes reach the same data."""
    is_quick: ClassVar = True
    """True if a `stat` of a path takes microseconds, so that the event loop may wait for it."""

    @property
    def directory(self) -> Path:
        """The directory of this machine that holds the data."""
        return Path(self.root)

    def open(self, *, make: bool = False) -> "Backend":
        """Open it, and with `make` make it first where it is missing; raises OSError. Blocks."""
        if make:
            self.directory.mkdir(parents=True, exist_ok=True)
        driver = FilesystemDriver(self.directory)
        return backend_of(Directory(str(driver.root)), driver, LocalUploads, title=str(driver.root))


class Memory(msgspec.Struct, frozen=True, tag="inmemory"):
    """The memory of this process: each opening begins with nothing."""

    name: ClassVar = "inmemory"
    is_shared: ClassVar = False
    is_quick: ClassVar = True
    directory: ClassVar = None

    def open(self, *, make: bool = False) -> "Backend":
        """Open an empty one."""
        return backend_of(self, memory.MemoryDriver(), pieces.PieceUploads, title="memory")


Location = Directory | Memory
"""Place of the data. To tell one from another, ask for what it offers (`is_shared`, `directory`), not for its class."""


@dataclass(frozen=True, slots=True)
class Backend:
    """An open storage."""

    location: Location
    """Its own place, which another process opens as well, whatever a relative path or a symbolic link leads to then."""
    objects: Objects
    """The bytes."""
    coordinator: Coordinator
    """Agreement between writers and the garbage collection."""
    uploads: Callable[[int], Uploads]
    """Makes the open uploads; the number is the size of the largest blob, in bytes."""
    measure: Callable[[Callable[[str], "Observe"]], "Backend"]
    """Makes the same with objects whose calls are observed by action; `measured` calls it."""
    local: LocalMaintenance | None
    """Maintenance of a directory of this machine; None elsewhere."""
    title: str
    """The location, for a sentence."""

    def measured(self, observer: Callable[[str, str], "Observe"]) -> "Backend":
        """Return the same with objects whose calls are observed: by the name of the storage and an action."""
        return self.measure(partial(observer, self.location.name))

    def registry(self, rules: Rules | None = None) -> Registry:
        """Return the registry that keeps its repositories here."""
        rules = rules or Rules()
        return Registry(self.objects, rules, self.uploads(rules.max_blob_size), self.coordinator)


def backend_of(
    location: Location, driver: Driver, make_uploads: Callable[[Driver, int, Coordinator], Uploads], title: str
) -> Backend:
    """Return the backend of directories, whose coordinator has locks and file times."""
    coordinator = LocalCoordinator(driver)

    def uploads(max_size: int) -> Uploads:
        return make_uploads(driver, max_size, coordinator)

    def measure(observer: Callable[[str], "Observe"]) -> Backend:
        return backend_of(location, measured.MeasuredDriver(driver, observer), make_uploads, title)

    return Backend(location, driver, coordinator, uploads, measure, driver.local, title)


def import_measuring() -> None:
    """Import before a fork what `Backend.measured` needs."""
    import_now(measured)


def read_location(text: str) -> Location:
    """Read a location that `show_location` wrote; raises ValueError, msgspec.ValidationError."""
    location: Location = msgspec.convert(json.loads(text), type=Location)
    return location


def show_location(location: Location) -> str:
    """Write a location as JSON in one line, in ASCII: the name of a directory may be no UTF-8."""
    return json.dumps(msgspec.to_builtins(location))
