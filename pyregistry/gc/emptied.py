"""Repositories that a run would empty, for a dry run."""

from pyregistry.gc.types import Plan
from pyregistry.oci.names import RepositoryName
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.layout import StoragePath
from pyregistry.storage.seams.links import exists
from pyregistry.storage.seams.objects import Objects, PathNotFound


def would_be_emptied(driver: Objects, plan: Plan, names: list[RepositoryName]) -> list[RepositoryName]:
    """Return the repositories in which a sweep leaves no file. Blocks; raises OSError."""
    doomed = {layout.revision(each.repository, each.digest) for group in plan.manifests for each in group}
    doomed |= {layout.layer(link.repository, link.digest) for link in plan.links}
    return [name for name in names if _exists(driver, name) and not _keeps_something(driver, name, doomed)]


def _exists(driver: Objects, name: RepositoryName) -> bool:
    return exists(driver, layout.manifests(name)) or exists(driver, layout.layers(name))


def _keeps_something(driver: Objects, name: RepositoryName, doomed: set[StoragePath]) -> bool:
    parts = (layout.uploads(name), layout.layers(name), layout.manifests(name))
    return any(_holds_a_file(driver, part, doomed) for part in parts)


def _holds_a_file(driver: Objects, path: StoragePath, doomed: set[StoragePath]) -> bool:
    if path in doomed:
        return False
    if driver.symbolic_links(path):
        return True
    names = list(driver.children(path))
    try:
        if not names:
            return driver.stat(path).is_file
    except PathNotFound:
        return False
    return any(_holds_a_file(driver, layout.child(path, name), doomed) for name in names)
