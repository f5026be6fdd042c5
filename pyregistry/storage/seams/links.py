"""Link files: the path says which digest a repository has, the content says where its bytes are.

Both are the same digest, except for sha512 in a tree that the CNCF registry wrote: it stores the bytes under their
sha256 and its link for the sha512 says so.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TypeVar

from pyregistry.oci.digest import CANONICAL, EMPTY_DIGESTS, Digest
from pyregistry.oci.errors import DigestInvalid
from pyregistry.oci.names import RepositoryName
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.layout import StoragePath
from pyregistry.storage.seams.objects import Objects, PathNotFound, Source, Stat
from pyregistry.storage.seams.reserved import is_reserved

Found = TypeVar("Found", Source, Stat)

_MAX_LINK_BYTES = 1024
"""Bytes read of a link: a digest has at most 135."""


def write_link(objects: Objects, path: StoragePath, digest: Digest) -> None:
    """Write a link without a newline, which the CNCF registry would reject."""
    objects.write(path, digest.encode())


def read_link(objects: Objects, path: StoragePath) -> Digest | None:
    """Return the digest in a link, None for a torn or empty one; raises PathNotFound.

    The CNCF registry before 3.1 writes links in place, so a crash leaves empty ones.
    """
    with suppress(DigestInvalid, UnicodeDecodeError):
        return Digest(objects.read(path, _MAX_LINK_BYTES).decode("ascii").strip())
    return None


def resolve_link(objects: Objects, path: StoragePath, named: Digest) -> Digest:
    """Return the digest under which the bytes of `named` are, by a link; a torn one counts as the digest of its path.

    Raises PathNotFound.
    """
    if named.algorithm == CANONICAL:  # a link for a sha256 has the digest of its path, so it need not be read
        stat_file(objects, path)
        return named
    return read_link(objects, path) or named


def stat_file(objects: Objects, path: StoragePath) -> Stat:
    """Return the stat of a file; raises PathNotFound, also for a broken symbolic link."""
    stat = objects.stat(path)
    if not stat.is_file:
        raise PathNotFound(path)
    return stat


def is_file(objects: Objects, path: StoragePath) -> bool:
    """Return True for a file, also at the end of a symbolic link."""
    with suppress(PathNotFound):
        return objects.stat(path).is_file
    return False


def is_no_file(objects: Objects, path: StoragePath) -> bool:
    """Return True if something else is in the place of a file: a broken symbolic link, a directory."""
    with suppress(PathNotFound):
        return not objects.stat(path).is_file
    return False


def find_bytes(
    objects: Objects, link: StoragePath, named: Digest, read: Callable[[StoragePath], Found]
) -> tuple[Digest, Found]:
    """Resolve a link; return the digest that stores the bytes and the result of `read`; raises PathNotFound.

    All callers use this, so that they agree on which blobs exist.
    """
    target = resolve_link(objects, link, named)
    path = layout.blob_data(target)
    found = read(path)
    if found.size == 0 and target not in EMPTY_DIGESTS:  # what a crash of another server may leave
        raise PathNotFound(path)
    return target, found


def link_blob(objects: Objects, name: RepositoryName, digest: Digest, target: Digest | None = None) -> None:
    """Link a blob in a repository; `target` is the digest that stores its bytes, if not `digest`.

    The CNCF registry needs both directories: see layout. With the lock of the link held (leases.written_alone), so
    that no writer relies on a link that is taken back.
    """
    write_link(objects, layout.layer_link(name, digest), target or digest)  # makes the first directory
    objects.make_directory(layout.manifests(name))


def ensure_shape(objects: Objects, name: RepositoryName) -> None:
    """Make the two directories by which the CNCF registry's catalog and garbage collection find a repository."""
    for path in (layout.layers(name), layout.manifests(name)):
        objects.make_directory(path)  # also if it exists: its maker may not have synced it


def exists(objects: Objects, path: StoragePath) -> bool:
    """Return True if the path exists."""
    with suppress(PathNotFound):
        objects.stat(path)
        return True
    return False


def has_bytes(objects: Objects, digest: Digest) -> bool:
    """Return True if there is a file for this digest, with any content."""
    return is_file(objects, layout.blob_data(digest))


def is_revision(objects: Objects, name: RepositoryName, digest: Digest) -> bool:
    """Return True if the repository has this manifest, link and file."""
    return exists(objects, layout.revision_link(name, digest)) and has_bytes(objects, digest)


def list_digests(objects: Objects, path: StoragePath) -> Iterator[Digest]:
    """Yield the digests that have a directory below `path`, by algorithm; other names are ignored."""
    for algorithm in objects.children(path):
        for encoded in objects.children(layout.child(path, algorithm)):
            with suppress(DigestInvalid):
                yield Digest(f"{algorithm}:{encoded}")


def list_blobs(objects: Objects) -> Iterator[Digest]:
    """Yield the digests that have a directory below `blobs/`, prefix by prefix."""
    for algorithm in objects.children(layout.BLOBS):
        below = layout.child(layout.BLOBS, algorithm)
        for prefix in (name for name in objects.children(below) if not is_reserved(name)):
            for encoded in objects.children(layout.child(below, prefix)):
                with suppress(DigestInvalid):
                    yield Digest(f"{algorithm}:{encoded}")


def links_in_place_of_blobs(objects: Objects) -> Iterator[StoragePath]:
    """Yield the symbolic links at `blobs/sha256` and the like: blobs in them can be pulled but are not walked."""
    algorithms = [layout.child(layout.BLOBS, name) for name in objects.children(layout.BLOBS) if not is_reserved(name)]
    for directory in (layout.BLOBS, *algorithms):
        yield from (layout.child(directory, name) for name in objects.symbolic_links(directory))
