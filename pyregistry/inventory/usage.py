"""Disk usage: what each repository uses alone, what it shares, and what garbage collection would free."""

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from pyregistry.common.overriding import override
from pyregistry.gc.enumerating import enumerate_blobs, unseen_blobs
from pyregistry.gc.marking import Marker
from pyregistry.gc.types import Options, ProgressObserver
from pyregistry.oci.names import RepositoryName, UploadId
from pyregistry.storage.backend import Backend
from pyregistry.storage.repositories.open_uploads import list_uploads
from pyregistry.storage.repositories.registry import Registry
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.objects import Objects, PathNotFound
from pyregistry.storage.seams.uploads import Upload

_SHARED = -1


@dataclass(slots=True)
class RepositoryUsage:
    """Sizes in bytes."""

    name: RepositoryName
    blobs: int = 0
    own: int = 0
    """Size of blobs that no other repository refers to."""
    shared: int = 0


@dataclass(frozen=True, slots=True)
class UploadUsage:
    """An open upload. Size in bytes, time in seconds."""

    repository: RepositoryName
    id: UploadId
    size: int
    idle: int
    """Time since its last byte."""


@dataclass(slots=True)
class Usage:
    """Sizes in bytes."""

    repositories: list[RepositoryUsage] = field(default_factory=list)
    blobs: int = 0
    size: int = 0
    """Size of all blobs."""
    reclaimable_blobs: int = 0
    reclaimable: int = 0
    """Size of unreferenced blobs: garbage collection frees it."""
    leased_blobs: int = 0
    leased: int = 0
    """Size of blobs that only pushes in progress keep; not counted in any repository."""
    untagged_manifests: int = 0
    """Manifests that only `gc --delete-untagged` removes; 0 if that was asked for."""
    untagged: int = 0
    """Size of blobs that only they keep."""
    uploads: int = 0
    uploads_size: int = 0
    open_uploads: list[UploadUsage] = field(default_factory=list)
    """Sorted by idle time, longest first."""
    quarantine: int = 0
    skipped: list[str] = field(default_factory=list)


def measure(backend: Backend, *, delete_untagged: bool = False) -> Usage:
    """Return the usage as the collector would see it. Blocks; changes nothing. Raises MarkFailed."""
    objects = backend.objects
    options = Options(delete_untagged=delete_untagged, dry_run=True)
    tally = _Tally()
    with backend.coordinator.collection(options.grace, dry_run=True) as collection:
        candidates = enumerate_blobs(objects, collection)
        for sentence in unseen_blobs(objects):
            tally.skipped(sentence)
        plan = Marker(objects, collection, candidates, options, tally).plan()
    usage = Usage(blobs=len(candidates), skipped=tally.reasons)
    usage.leased_blobs, usage.leased = plan.leased.blobs, plan.leased.size
    usage.untagged_manifests, usage.untagged = plan.untagged, candidates.untagged_size()
    repositories = tally.repositories
    for digest, owner in tally.owners.items():
        size = candidates.size(digest)
        if size is not None and owner != _SHARED:
            repositories[owner].own += size
            repositories[owner].blobs += 1
    for digest, sharers in tally.sharers.items():
        for sharer in sharers:
            repositories[sharer].shared += candidates.size(digest) or 0
            repositories[sharer].blobs += 1
    for _, size in plan.blobs():
        usage.reclaimable_blobs += 1
        usage.reclaimable += size
    usage.repositories = [each for each in repositories if each.blobs]  # the others are namespaces, or empty
    usage.size = candidates.total_size()
    usage.open_uploads = _uploads(backend.registry(), usage.skipped)
    usage.uploads, usage.uploads_size = len(usage.open_uploads), sum(each.size for each in usage.open_uploads)
    usage.quarantine = sum(sum(_sizes(objects, layout.quarantine(place))) for place in objects.private_directories())
    return usage


class _Tally(ProgressObserver):
    """Repositories that refer to each blob: most have one owner, so shared ones are kept apart."""

    def __init__(self) -> None:
        super().__init__()
        self.repositories: list[RepositoryUsage] = []
        self.owners: dict[str, int] = {}
        self.sharers: dict[str, set[int]] = {}

    @override
    def repository(self, name: RepositoryName) -> None:
        self.repositories.append(RepositoryUsage(name))

    @override
    def marked_manifest(self, name: RepositoryName, digest: str) -> None:
        self.marked_blob(name, digest)

    @override
    def marked_blob(self, name: RepositoryName, digest: str) -> None:
        me = len(self.repositories) - 1
        owner = self.owners.setdefault(digest, me)
        if owner == me:
            return
        if owner == _SHARED:
            self.sharers[digest].add(me)
        else:
            self.owners[digest] = _SHARED
            self.sharers[digest] = {owner, me}


def _uploads(registry: Registry, skipped: list[str]) -> list[UploadUsage]:
    def skip(upload: Upload, error: OSError) -> None:
        skipped.append(f"{layout.upload(upload.repository, upload.id)}: {error.strerror}")

    now_ns = time.time_ns()
    return [
        UploadUsage(each.repository, each.id, each.size, max(now_ns - each.changed_ns, 0) // 10**9)
        for each in list_uploads(registry, skip)
    ]


def _sizes(objects: Objects, directory: layout.StoragePath) -> Iterator[int]:
    for name in objects.children(directory):
        with suppress(PathNotFound):
            yield objects.stat(layout.child(directory, name)).size
