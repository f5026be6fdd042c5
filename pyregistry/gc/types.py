"""What a run is asked for, what it would do, what it did, and how it can end."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from pyregistry.gc.candidates import Candidates
from pyregistry.oci.digest import Digest
from pyregistry.oci.names import RepositoryName
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.coordinator import Doomed
from pyregistry.storage.seams.layout import StoragePath
from pyregistry.storage.seams.rules import GRACE


class Failure(Exception):
    """A run ended before its end, with a sentence that says why."""


class CollectorBusy(Failure):
    """Another run is going on, in this process or another one."""


class Braked(Failure):
    """The tree looks as if a volume were missing, or is where no run is safe: nothing was removed."""


class MarkFailed(Failure):
    """Something could not be read, so nobody knows what it refers to: nothing more was removed."""


SOMETHING_SKIPPED = 2
EXIT_CODES: Mapping[type[Failure], int] = {Braked: 3, MarkFailed: 4, CollectorBusy: 75}
"""Of the commands; 75 is EX_TEMPFAIL of sysexits.h."""


@dataclass(frozen=True, slots=True)
class Options:
    """How to run. Times in seconds."""

    grace: float = GRACE
    """How long a push that was told a blob is there may take to its manifest. 0 never costs an image, only a retry."""
    delete_untagged: bool = False
    """Manifests that no tag names and nothing kept refers to go as well."""
    i_know: bool = False
    """Also run where that is known not to be safe, see `storage.ground`."""
    dry_run: bool = False
    """Change nothing at all; without the locks, so that what is being pushed may be counted wrongly."""
    allow_empty: bool = False
    """No volume is missing, however much it looks so: what is there is all that there shall be."""


@dataclass(frozen=True, slots=True)
class DoomedManifest:
    """A revision link to be removed, with the blob that it names."""

    repository: RepositoryName
    digest: Digest


@dataclass(frozen=True, slots=True)
class DoomedLayer:
    """A layer link to be removed; `target` is where its bytes are, for nearly all links the digest itself."""

    repository: RepositoryName
    digest: Digest
    target: Digest


@dataclass(slots=True)
class Kept:
    """What only leases keep: a push in progress was told that it is there."""

    blobs: int = 0
    size: int = 0
    until_ns: int = 0
    """When the last lease runs out, in nanoseconds since the epoch; 0 if there is none."""

    def add(self, size: int) -> None:
        """Count one more."""
        self.blobs += 1
        self.size += size

    def until(self, until_ns: int) -> None:
        """There is a lease until then."""
        self.until_ns = max(self.until_ns, until_ns)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run would remove. The sweep looks again at each of them, so it may remove less."""

    candidates: Candidates
    repositories: int
    manifests: tuple[tuple[DoomedManifest, ...], ...]
    """From the top down; those of one group keep each other, so they go or stay together."""
    links: tuple[DoomedLayer, ...]
    kept: Kept
    untagged: int = 0
    """Manifests that stay and that a run with `delete_untagged` would remove; what they alone hold stays too."""

    def blobs(self) -> Iterator[tuple[Digest, int]]:
        """The blobs that nothing refers to, with their sizes in bytes."""
        return self.candidates.unmarked()

    def doomed(self) -> Iterator[Doomed]:
        """Yield all that may be removed, in the order of a sweep."""
        yield from (self.doomed_manifest(each) for group in self.manifests for each in group)
        yield from map(self.doomed_link, self.links)
        yield from (self.doomed_blob(digest) for digest, _ in self.blobs())

    def doomed_manifest(self, manifest: DoomedManifest) -> Doomed:
        """Return a manifest as the coordinator sees it."""
        return self._doomed(layout.revision(manifest.repository, manifest.digest), manifest.digest)

    def doomed_link(self, link: DoomedLayer) -> Doomed:
        """Return a layer link as the coordinator sees it."""
        return self._doomed(layout.layer(link.repository, link.digest), link.target)

    def doomed_blob(self, digest: Digest) -> Doomed:
        """Return a blob as the coordinator sees it."""
        return self._doomed(layout.blob(digest), digest)

    def _doomed(self, path: StoragePath, content: Digest) -> Doomed:
        return Doomed(path, content, self.candidates.generation(content))


@dataclass(slots=True)
class Report:
    """What a run did, or with `dry_run` would have done. Sizes in bytes, times in seconds."""

    dry_run: bool = False
    repositories: int = 0
    blobs: int = 0
    """All that there were."""
    blobs_marked: int = 0
    manifests_removed: int = 0
    links_removed: int = 0
    blobs_removed: int = 0
    bytes_freed: int = 0
    repositories_removed: int = 0
    uploads_removed: int = 0
    bytes_freed_from_uploads: int = 0
    uploads: int = 0
    """Open ones that stay."""
    bytes_in_uploads: int = 0
    oldest_upload_idle_seconds: float = 0.0
    """Since the last byte of the one that nobody has gone on with for the longest time."""
    blobs_kept_by_leases: int = 0
    bytes_kept_by_leases: int = 0
    untagged_manifests_kept: int = 0
    """Those that a run with `delete_untagged` would have removed."""
    bytes_kept_by_untagged_manifests: int = 0
    """Of blobs that nothing else keeps, their own bytes among them."""
    leases_end_at: str | None = None
    """RFC 3339, UTC."""
    seconds: float = 0.0
    skipped: list[str] = field(default_factory=list)
    """One sentence for each thing that could not be looked at or removed."""


class Listener:
    """Who wants to see a run go on: overrides what it wants to hear of."""

    def __init__(self) -> None:
        self.reasons: list[str] = []
        """What was skipped."""

    def found(self, repositories: int) -> None:
        """So many more directories are looked at next; nothing is forked from here on."""

    def repository(self, name: RepositoryName) -> None:
        """Its manifests are marked next."""

    def no_repository(self, name: RepositoryName) -> None:
        """A directory is only a namespace that repositories are in, or vanished."""

    def marked_manifest(self, name: RepositoryName, digest: str) -> None:
        """A manifest that lives."""

    def marked_blob(self, name: RepositoryName, digest: str) -> None:
        """A blob that a manifest of this repository refers to."""

    def planned(self, plan: Plan) -> None:
        """Marking is over."""

    def removed(self, what: str, path: str) -> None:
        """`what` is "manifest", "layer link", "blob", "repository" or "upload", `path` is below the data directory."""

    def would_remove(self, what: str, name: RepositoryName, detail: str = "") -> None:
        """Tell of a dry run: `what` is "repository" or "upload", the second one with its id as `detail`."""

    def batch_is_over(self) -> None:
        """A batch of removals ended, and with it the lock that writers wait for."""

    def skipped(self, reason: str) -> None:
        """Something could not be looked at or removed, and stays."""
        self.reasons.append(reason)
