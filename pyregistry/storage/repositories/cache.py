"""Caches of a worker for manifests and blobs, so that the event loop can respond after a `stat` or two.

Only the content of a digest is cached, which cannot change. The disk is asked each time whether a tag still names the
digest and the repository still has it. So a push to another worker, a deletion, a garbage collection and an operator's
`rm -rf` take effect at once. The event loop asks for no other path. The kernel answers a `stat` of a recent path from
memory, in two microseconds; a thread would cost fifty. `docs/decisions/0009` names the two other things that may block
there: the `sendfile` of a download, and the logs.

A link whose content matters is validated by its inode, size and time, as git does with its index. As in git, a link is
not trusted if it was written less than a second before it was read. Within one tick of the clock two links may have the
same stat. On file systems that keep whole seconds it is three seconds. A link file that is a symbolic link is validated
by its own stat and by that of its target: either may be replaced.
"""

import time
from dataclasses import dataclass

from pyregistry.common.bounded_cache import BoundedCache
from pyregistry.oci.digest import EMPTY_DIGESTS, Digest
from pyregistry.oci.manifest import StoredManifest
from pyregistry.oci.names import Tag
from pyregistry.storage.repositories.repository import Repository
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.layout import StoragePath
from pyregistry.storage.seams.objects import Objects, PathNotFound, Source, Stat

MAX_ENTRIES = 10_000
MAX_CONTENT_BYTES = 32 * 1024 * 1024
"""Bytes of manifests that a worker caches; a single one may take an eighth."""


@dataclass(frozen=True, slots=True)
class CachedLink:
    """A link that was read, with its stat as validator."""

    path: StoragePath
    stat: Stat


@dataclass(frozen=True, slots=True)
class CachedManifest:
    """A resolved reference, and the paths that revalidate it."""

    digest: Digest
    revision: StoragePath
    data: StoragePath
    tag: CachedLink | None
    """None for a manifest requested by its digest."""


@dataclass(frozen=True, slots=True)
class CachedBlob:
    """A resolved link, and the path of the blob's bytes."""

    link: CachedLink
    data: StoragePath
    may_be_empty: bool


class ManifestCache:
    """Cache of the manifests that this worker served last. `load` blocks; the rest is for the event loop."""

    def __init__(self, objects: Objects, *, young_ns: int, entries: int = MAX_ENTRIES) -> None:
        """A HEAD answered from here renews no lease, so it is answered only while the lease is younger than `young_ns`.

        With 0 `entries` nothing is found here: for a storage that the event loop cannot wait for.
        """
        self._objects = objects
        self._young_ns = young_ns
        self.hits = self.misses = 0
        """Finds, and readings of the disk that succeeded, since the worker began."""
        self._entries = BoundedCache[tuple[str, str], CachedManifest](limit=entries, by_use=True)
        self._contents = BoundedCache[Digest, StoredManifest](
            limit=MAX_CONTENT_BYTES, weigh=lambda manifest: len(manifest.content), by_use=True
        )

    def get(self, name: str, reference: str, *, leased: bool) -> StoredManifest | None:
        """Return the manifest if it is cached and still valid on disk; None: it must be read.

        With `leased`, as for a HEAD, a manifest requested by digest must also have its bytes and a young lease.
        """
        known = self._entries.get((name, reference))
        if known is None:
            return None
        if known.tag is not None:
            there = _look(self._objects, known.tag.path) == known.tag.stat
            there = there and _look(self._objects, known.revision) is not None
        elif leased:
            there = _size(_look(self._objects, known.data), may_be_empty=False) is not None
            there = there and _is_young(_look(self._objects, known.revision), self._young_ns)
        else:
            there = _look(self._objects, known.revision) is not None
        found = self._contents.get(known.digest) if there else None
        if found is not None:
            self.hits += 1
        return found

    def load(
        self, repository: Repository, reference: Tag | Digest, *, leased: bool
    ) -> tuple[StoredManifest, CachedManifest | None]:
        """Return the manifest from disk, and what to cache of it; raises ManifestUnknown. Blocks.

        With `leased` a manifest requested by digest gets a lease.
        """
        tag = None
        if isinstance(reference, Tag):  # stat before read, so that a change in between is noticed
            tag = _stable_link(self._objects, layout.tag_current_link(repository.name, reference))
        if leased and isinstance(reference, Digest):
            manifest = repository.manifest_with_lease(reference)
        else:
            manifest = repository.manifest(reference)
        digest = manifest.digest
        if (isinstance(reference, Tag) and tag is None) or len(manifest.content) > MAX_CONTENT_BYTES // 8:
            return manifest, None
        revision = layout.revision_link(repository.name, digest)
        return manifest, CachedManifest(digest, revision, layout.blob_data(digest), tag)

    def source(self, digest: Digest) -> Source:
        """Return the source of a manifest whose content was verified; raise PathNotFound. Blocks."""
        return self._objects.source(layout.blob_data(digest))

    def store(self, name: str, reference: str, manifest: StoredManifest, known: CachedManifest | None) -> None:
        """Store the result of `load`."""
        self.misses += 1
        if known is not None:
            self._entries.put((name, reference), known)
            self._contents.put(manifest.digest, manifest)


class BlobCache:
    """Cache of the blobs that this worker served last: their paths, not their bytes. As ManifestCache."""

    def __init__(self, objects: Objects, *, young_ns: int, entries: int = MAX_ENTRIES) -> None:
        """A HEAD answered from here renews no lease, so it is answered only while the lease is younger than `young_ns`.

        With 0 `entries` nothing is found here: for a storage that the event loop cannot wait for.
        """
        self._objects = objects
        self._young_ns = young_ns
        self.hits = self.misses = 0
        """Finds, and readings of the disk that succeeded, since the worker began."""
        self._entries = BoundedCache[tuple[str, str], CachedBlob](limit=entries, by_use=True)

    def get(self, name: str, digest: str) -> int | None:
        """Return the size in bytes of a blob that still exists and has a young lease; None: it must be read."""
        known = self._entries.get((name, digest))
        if known is None:
            return None
        # The bytes first: a collector that removes both removes the link first, and finds a young lease before.
        size = _size(_look(self._objects, known.data), may_be_empty=known.may_be_empty)
        if size is None or not _is_young(known.link.stat, self._young_ns):
            return None
        if _look(self._objects, known.link.path) != known.link.stat:
            return None
        self.hits += 1
        return size

    def load(self, repository: Repository, digest: Digest) -> tuple[Source, CachedBlob | None]:
        """Return the source of a blob, which gets a lease, and what to cache of it; raises BlobUnknown. Blocks."""
        repository.blob_with_lease(digest)
        link = layout.layer_link(repository.name, digest)
        stat = _stable_link(self._objects, link)
        target, source = repository.find_blob(digest)
        if stat is None:
            return source, None
        return source, CachedBlob(stat, layout.blob_data(target), may_be_empty=target in EMPTY_DIGESTS)

    def store(self, name: str, digest: str, known: CachedBlob | None) -> None:
        """Store the result of `load`."""
        self.misses += 1
        if known is not None:
            self._entries.put((name, digest), known)


def _look(objects: Objects, path: StoragePath) -> Stat | None:
    # Only this function may block on the disk in the event loop; tests/conftest.py allows it by this name.
    try:
        stat = objects.stat(path)
    except PathNotFound:
        return None
    return stat if stat.is_file else None


def _stable_link(objects: Objects, path: StoragePath) -> CachedLink | None:
    stat = _look(objects, path)
    if stat is None or objects.is_racy(stat):
        return None
    return CachedLink(path, stat)


def _size(stat: Stat | None, *, may_be_empty: bool) -> int | None:
    return None if stat is None or (stat.size == 0 and not may_be_empty) else stat.size


def _is_young(link: Stat | None, young_ns: int) -> bool:
    return link is not None and 0 <= time.time_ns() - link.modified_ns < young_ns
