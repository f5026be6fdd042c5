"""Repositories that a run would empty, for a dry run."""

from pyregistry.gc.types import Plan
from pyregistry.oci.names import RepositoryName
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.layout import StoragePath
from pyregistry.storage.seams.links import exists
from pyregistry.storage.seams.objects import Objects, PathNotFound


def would_be_emptied(objects: Objects, plan: Plan, names: list[RepositoryName]) -> list[RepositoryName]:
    """Return the repositories in which a sweep leaves no file. Blocks; raises OSError."""
    garbage = {layout.revision(each.repository, each.digest) for group in plan.manifests for each in group}
    garbage |= {layout.layer(link.repository, link.digest) for link in plan.links}
    return [name for name in names if _exists(objects, name) and not _keeps_something(objects, name, garbage)]


def _exists(objects: Objects, name: RepositoryName) -> bool:
    return exists(objects, layout.manifests(name)) or exists(objects, layout.layers(name))


def _keeps_something(objects: Objects, name: RepositoryName, garbage: set[StoragePath]) -> bool:
    parts = (layout.uploads(name), layout.layers(name), layout.manifests(name))
    return any(_holds_a_file(objects, part, garbage) for part in parts)


def _holds_a_file(objects: Objects, path: StoragePath, garbage: set[StoragePath]) -> bool:
    if path in garbage:
        return False
    if objects.symbolic_links(path):
        return True
    names = list(objects.children(path))
    try:
        if not names:
            return objects.stat(path).is_file
    except PathNotFound:
        return False
    return any(_holds_a_file(objects, layout.child(path, name), garbage) for name in names)
