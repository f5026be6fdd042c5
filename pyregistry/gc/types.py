"""Options, plan, report and failures of a run."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from pyregistry.gc.candidates import Candidates
from pyregistry.oci.digest import Digest
from pyregistry.oci.names import RepositoryName
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.coordinator import Garbage
from pyregistry.storage.seams.layout import StoragePath
from pyregistry.storage.seams.rules import GRACE_SECONDS


class Failure(Exception):
    """The run was aborted; the message says why."""


class CollectorBusy(Failure):
    """Another run is in progress, in this process or another one."""


class SafetyCheckFailed(Failure):
    """A volume seems to be missing, or no run is safe on this storage: nothing was removed."""


class MarkFailed(Failure):
    """Something was unreadable, so its references are unknown: nothing more was removed."""


SOMETHING_SKIPPED = 2
EXIT_CODES: Mapping[type[Failure], int] = {SafetyCheckFailed: 3, MarkFailed: 4, CollectorBusy: 75}
"""Exit codes of the commands; 75 is EX_TEMPFAIL of sysexits.h."""


@dataclass(frozen=True, slots=True)
class Options:
    """Options of a run. Times in seconds."""

    grace: float = GRACE_SECONDS
    """Time for a push from learning that a blob exists to its manifest. 0 never costs an image, only a retry."""
    delete_untagged: bool = False
    """Remove also manifests without a tag that no kept manifest refers to."""
    i_know: bool = False
    """Run also where that is known to be unsafe, see `storage/local/ground.py`."""
    dry_run: bool = False
    """Change nothing; without the locks, so that pushes in progress may be counted wrongly."""
    allow_empty: bool = False
    """Assume that no volume is missing, even if it seems so."""


@dataclass(frozen=True, slots=True)
class GarbageManifest:
    """A revision link to be removed, with the blob that it names."""

    repository: RepositoryName
    digest: Digest


@dataclass(frozen=True, slots=True)
class GarbageLink:
    """A layer link to be removed; `target` is the digest that stores its bytes, nearly always the same one."""

    repository: RepositoryName
    digest: Digest
    target: Digest


@dataclass(slots=True)
class LeaseStats:
    """Content that only leases keep, for pushes in progress."""

    blobs: int = 0
    size: int = 0
    until_ns: int = 0
    """End of the last lease, in nanoseconds since the epoch; 0 without leases."""

    def add(self, size: int) -> None:
        """Count one more."""
        self.blobs += 1
        self.size += size

    def until(self, until_ns: int) -> None:
        """Note a lease that ends then."""
        self.until_ns = max(self.until_ns, until_ns)


@dataclass(frozen=True, slots=True)
class Plan:
    """Garbage that a run would remove. The sweep checks each again, so it may remove less."""

    candidates: Candidates
    repositories: int
    manifests: tuple[tuple[GarbageManifest, ...], ...]
    """Ordered from the top down; those of one group refer to each other, so they are removed or stay together."""
    links: tuple[GarbageLink, ...]
    leased: LeaseStats
    untagged: int = 0
    """Manifests that stay, with their blobs, but that a run with `delete_untagged` would remove."""

    def blobs(self) -> Iterator[tuple[Digest, int]]:
        """Yield the unreferenced blobs, with their sizes in bytes."""
        return self.candidates.unmarked()

    def garbage(self) -> Iterator[Garbage]:
        """Yield all garbage, in the order of a sweep."""
        yield from (self.garbage_manifest(each) for group in self.manifests for each in group)
        yield from map(self.garbage_link, self.links)
        yield from (self.garbage_blob(digest) for digest, _ in self.blobs())

    def garbage_manifest(self, manifest: GarbageManifest) -> Garbage:
        """Return a manifest as the coordinator sees it."""
        return self._garbage(layout.revision(manifest.repository, manifest.digest), manifest.digest)

    def garbage_link(self, link: GarbageLink) -> Garbage:
        """Return a layer link as the coordinator sees it."""
        return self._garbage(layout.layer(link.repository, link.digest), link.target)

    def garbage_blob(self, digest: Digest) -> Garbage:
        """Return a blob as the coordinator sees it."""
        return self._garbage(layout.blob(digest), digest)

    def _garbage(self, path: StoragePath, content: Digest) -> Garbage:
        return Garbage(path, content, self.candidates.generation(content))


@dataclass(slots=True)
class Report:
    """Results of a run, or with `dry_run` its plan. Sizes in bytes, times in seconds."""

    dry_run: bool = False
    repositories: int = 0
    blobs: int = 0
    """All blobs at the beginning."""
    blobs_marked: int = 0
    manifests_removed: int = 0
    links_removed: int = 0
    blobs_removed: int = 0
    bytes_freed: int = 0
    repositories_removed: int = 0
    uploads_removed: int = 0
    bytes_freed_from_uploads: int = 0
    uploads: int = 0
    """Open uploads that stay."""
    bytes_in_uploads: int = 0
    oldest_upload_idle_seconds: float = 0.0
    """Time since the last byte of the one that is idle longest."""
    blobs_kept_by_leases: int = 0
    bytes_kept_by_leases: int = 0
    untagged_manifests_kept: int = 0
    """Manifests that a run with `delete_untagged` would have removed."""
    bytes_kept_by_untagged_manifests: int = 0
    """Size of blobs that only they keep, themselves included."""
    leases_end_at: str | None = None
    """Time in RFC 3339, UTC."""
    seconds: float = 0.0
    skipped: list[str] = field(default_factory=list)
    """One sentence for each thing that could not be read or removed."""


class ProgressObserver:
    """Progress callbacks, to be overridden."""

    def __init__(self) -> None:
        self.reasons: list[str] = []
        """Reasons for skipped content."""

    def found(self, repositories: int) -> None:
        """Called with the number of further directories to mark; no process is forked after it."""

    def repository(self, name: RepositoryName) -> None:
        """Called before the marking of a repository."""

    def no_repository(self, name: RepositoryName) -> None:
        """Called for a directory that is only a namespace, or was removed."""

    def marked_manifest(self, name: RepositoryName, digest: str) -> None:
        """Called for a live manifest."""

    def marked_blob(self, name: RepositoryName, digest: str) -> None:
        """Called for a blob that a manifest of this repository refers to."""

    def planned(self, plan: Plan) -> None:
        """Called after marking."""

    def removed(self, what: str, path: str) -> None:
        """`what` is "manifest", "layer link", "blob", "repository" or "upload"; `path` is below the data directory."""

    def would_remove(self, what: str, name: RepositoryName, detail: str = "") -> None:
        """Called in a dry run: `what` is "repository" or "upload", the second one with its id as `detail`."""

    def batch_is_over(self) -> None:
        """Called after a batch of removals, which ends the lock that writers wait for."""

    def skipped(self, reason: str) -> None:
        """Called for content that could not be read or removed, and stays."""
        self.reasons.append(reason)
