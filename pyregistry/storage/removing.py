"""Removing a whole repository: what an operator's `rm -rf` does, but in an order in which nothing looks damaged."""

from contextlib import suppress

from pyregistry.oci.names import RepositoryName, Tag
from pyregistry.storage import layout, leases
from pyregistry.storage.driver import Driver, PathNotFound
from pyregistry.storage.locking import repository_lock


def remove_repository(driver: Driver, name: RepositoryName) -> bool:
    """Remove a repository with its tags, manifests and open uploads; whether there was anything. Blocks.

    Repositories nested in it stay. Durable on return. Garbage collection frees the bytes. A push in progress is
    answered as if the repository had never been there: its upload, or a blob of its manifest, is unknown.
    """
    removed = False
    with repository_lock(driver, name):
        parts = (layout.tags, layout.manifests, layout.layers, layout.all_referrers, layout.uploads)
        for part in parts:
            with suppress(PathNotFound):
                driver.delete(part(name))
                removed = True
    _remove_empty_directories(driver, name)
    return removed


def remove_tag(driver: Driver, name: RepositoryName, tag: Tag) -> bool:
    """Remove a tag, also one whose link is torn, which the API does not show; whether it was there. Blocks."""
    with repository_lock(driver, name), suppress(PathNotFound):
        driver.delete(layout.tag(name, tag))
        return True
    return False


def _remove_empty_directories(driver: Driver, name: RepositoryName) -> None:
    # Where no writer is between two of its steps: one that just made `_manifests` must not lose it again.
    with leases.exclusive_section(driver):
        for path in layout.repository_and_above(name):
            if next(driver.children(path), None) is not None:
                return
            driver.prune(path)
