"""Paths for tests of the drivers, and what is at them."""

from pyregistry.storage.seams import layout
from pyregistry.storage.seams.layout import StoragePath
from pyregistry.storage.seams.sources import Source, opened


def at(*names: str) -> StoragePath:
    """A path in the part of the tree that holds the repositories."""
    path = layout.REPOSITORIES
    for name in names:
        path = layout.child(path, name)
    return path


MISSING = at("missing")


def content_of(source: Source) -> bytes:
    """All bytes of a source."""
    with opened(source) as reading:
        return b"".join(reading.blocks())
