"""Removing a whole repository: what an operator's `rm -rf` does, but in an order in which nothing looks damaged."""

from contextlib import suppress

from pyregistry.oci.names import RepositoryName, Tag
from pyregistry.storage.local.coordinator import LocalCoordinator
from pyregistry.storage.local.driver import Driver
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.coordinator import Coordinator
from pyregistry.storage.seams.objects import PathNotFound


def remove_repository(driver: Driver, name: RepositoryName, coordinator: Coordinator | None = None) -> bool:
    """Remove a repository with its tags, manifests and open uploads; whether there was anything. Blocks.

    Repositories nested in it stay. Durable on return. Garbage collection frees the bytes. A push in progress is
    answered as if the repository had never been there: its upload, or a blob of its manifest, is unknown.
    """
    coordinator = coordinator or LocalCoordinator(driver)

    def remove() -> bool:
        removed = False
        for part in (layout.tags, layout.manifests, layout.layers, layout.all_referrers, layout.uploads):
            with suppress(PathNotFound):
                driver.delete(part(name))
                removed = True
        return removed

    removed = coordinator.change(name, remove)
    # Where no writer is between two of its steps: one that just made `_manifests` must not lose it again.
    with coordinator.quiet():
        _remove_empty_directories(driver, name)
    return removed


def remove_tag(driver: Driver, name: RepositoryName, tag: Tag, coordinator: Coordinator | None = None) -> bool:
    """Remove a tag, also one whose link is torn, which the API does not show; whether it was there. Blocks."""

    def remove() -> bool:
        with suppress(PathNotFound):
            driver.delete(layout.tag(name, tag))
            return True
        return False

    return (coordinator or LocalCoordinator(driver)).change(name, remove)


def _remove_empty_directories(driver: Driver, name: RepositoryName) -> None:
    for path in layout.repository_and_above(name):
        if next(driver.children(path), None) is not None:
            return
        driver.prune(path)
