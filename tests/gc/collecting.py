"""Runs of the collector, and what they left."""

import time

from pyregistry.gc import collector
from pyregistry.gc.types import Options, ProgressObserver, Report
from pyregistry.oci.digest import Digest
from pyregistry.oci.names import RepositoryName, Tag
from pyregistry.storage.local.coordinator import LocalCoordinator
from pyregistry.storage.local.driver import Driver
from pyregistry.storage.repositories.repository import Repository
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.coordinator import Collection, Coordinator
from pyregistry.storage.seams.layout import StoragePath
from pyregistry.storage.seams.objects import PathNotFound
from pyregistry.storage.seams.rules import GRACE_SECONDS
from tests.builders import Image
from tests.storage.pushing import files_of

HOUR = 3600 * 10**9


PROCESSES = 1
"""Of a run."""


def stored_by(*manifests: Image) -> set[str]:
    """Return the digests of these manifests and of all that they need."""
    return {
        digest
        for manifest in manifests
        for each in (manifest, *manifest.children)
        for digest in (each.digest, *(str(Digest.of(blob)) for blob in each.blobs))
    }


def collect(
    driver: Driver,
    options: Options,
    observer: ProgressObserver | None = None,
    processes: int = 1,
    coordinator: Coordinator | None = None,
) -> Report:
    """One run on a driver, by default with the coordinator of a directory."""
    return collector.collect(driver, coordinator or LocalCoordinator(driver), options, observer, processes)


def gc(driver: Driver, **options: object) -> Report:
    """One run."""
    return collect(driver, Options(**options), processes=PROCESSES)  # type: ignore[arg-type] # the caller knows them


def looking(driver: Driver) -> Collection:
    """A run that only looks."""
    with LocalCoordinator(driver).collection(GRACE_SECONDS, dry_run=True) as collection:
        return collection


def age(driver: Driver, path: StoragePath, nanoseconds: int = 2 * HOUR) -> None:
    """Let a file have been written earlier: a lease that ran out."""
    driver.set_mtime(path, time.time_ns() - nanoseconds)


def has_blob(driver: Driver, content: bytes, algorithm: str = "sha256") -> bool:
    """Return True if its bytes are on the disk."""
    return exists(driver, layout.blob_data(Digest.of(content, algorithm)))


def exists(driver: Driver, path: StoragePath) -> bool:
    """Return True if there is something."""
    try:
        driver.stat(path)
    except PathNotFound:
        return False
    return True


def blobs(driver: Driver) -> set[str]:
    """All digests on the disk."""
    return {f"{path.split('/')[4]}:{path.split('/')[6]}" for path in files_of(driver, layout.BLOBS)}


def remove_repository(driver: Driver, name: str) -> None:
    """An operator's `rm -rf`."""
    driver.delete(layout.repository(RepositoryName(name)))


def remove_tag(repository: Repository, tag: str) -> None:
    """DELETE of the tag alone."""
    repository.delete_tag(Tag(tag))
