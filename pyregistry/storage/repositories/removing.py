"""Removal of a whole repository: as an operator's `rm -rf`, but in an order in which nothing looks damaged."""

from contextlib import suppress

from pyregistry.oci.names import RepositoryName, Tag
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.coordinator import Coordinator, Quiet
from pyregistry.storage.seams.objects import Objects, PathNotFound


def remove_repository(objects: Objects, coordinator: Coordinator, name: RepositoryName) -> bool:
    """Remove a repository with its tags, manifests and open uploads; return True if there was anything. Blocks.

    Repositories nested in it stay. Durable on return. Garbage collection frees the bytes. A push in progress is
    answered as if the repository had never been there: its upload, or a blob of its manifest, is unknown.
    """

    def remove() -> bool:
        removed = False
        for part in (layout.tags, layout.manifests, layout.layers, layout.all_referrers, layout.uploads):
            with suppress(PathNotFound):
                objects.delete(part(name))
                removed = True
        return removed

    removed = coordinator.change(name, remove)
    # Where no writer is between two of its steps: one that just made `_manifests` must not lose it again.
    with coordinator.quiet() as quiet:
        _remove_empty_directories(objects, quiet, name)
    return removed


def remove_tag(objects: Objects, coordinator: Coordinator, name: RepositoryName, tag: Tag) -> bool:
    """Remove a tag, also one whose link is torn, which the API does not show; return True if it was there. Blocks."""

    def remove() -> bool:
        with suppress(PathNotFound):
            objects.delete(layout.tag(name, tag))
            return True
        return False

    return coordinator.change(name, remove)


def _remove_empty_directories(objects: Objects, quiet: Quiet, name: RepositoryName) -> None:
    for path in layout.repository_and_above(name):
        if next(objects.children(path), None) is not None:
            return
        quiet.prune(path)
