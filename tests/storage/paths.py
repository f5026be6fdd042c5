"""Paths for tests of the drivers, and what is at them."""

from pyregistry.storage import layout
from pyregistry.storage.driver import Bytes, Source
from pyregistry.storage.layout import StoragePath


def at(*names: str) -> StoragePath:
    """A path in the part of the tree that holds the repositories."""
    path = layout.REPOSITORIES
    for name in names:
        path = layout.child(path, name)
    return path


MISSING = at("missing")


def content_of(source: Source) -> bytes:
    """All bytes of a source."""
    if isinstance(source, Bytes):
        return source.content
    with source.open() as file:
        return file.read()
