"""The coordination of writers, which rely on stored content, and the garbage collection, which removes it.

docs/gc.md has the protocol and its proof, docs/decisions/0051 the reason for the shape. Two implementations give the
same guarantees. A local directory has locks and file times: a section excludes the collector while it runs. An object
store has neither: a section reads a state, acts, and reads the state again. If it changed, the work runs again. So the
work of a section may run more than once, and every verb may be repeated.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeVar

from pyregistry.oci.digest import Digest
from pyregistry.oci.names import RepositoryName, Tag
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.layout import StoragePath
from pyregistry.storage.seams.objects import Stat

T = TypeVar("T")

COLLECTOR = "gc"
"""Name that a collector locks for its whole run."""


MAX_RENEWAL_SECONDS = 300.0
"""Seconds after which every server renews a lease at the latest."""


def renewed_after(grace: float) -> float:
    """Return the seconds for which a lease need not be renewed: well below the grace, so that a push has most of it."""
    return min(MAX_RENEWAL_SECONDS, grace / 20)


@dataclass(frozen=True, slots=True)
class Unit:
    """A blob or a manifest of a repository: the unit of relying, promising and removing."""

    repository: RepositoryName
    digest: Digest
    is_manifest: bool = False

    @property
    def link(self) -> StoragePath:
        """Path of its link in the repository."""
        path = layout.revision_link if self.is_manifest else layout.layer_link
        return path(self.repository, self.digest)


@dataclass(frozen=True, slots=True)
class Staged:
    """The verified bytes of an upload, at a path from which one step publishes them."""

    path: StoragePath


class Generation(NamedTuple):
    """The state of a blob's content: it changes with every claim on the blob. Opaque, to be compared for equality.

    Two numbers of 64 bits, and the size in bytes.
    """

    first: int
    second: int
    size: int


class NotSafe(Exception):
    """The storage cannot keep a guarantee of the garbage collection here. Each argument is a reason."""


def nothing() -> None:
    """Do nothing."""


class Section(Protocol):
    """Work of a writer, while no content that it relies on is removed. Blocking; raises OSError and Unavailable."""

    def claim(self, units: Sequence[Unit]) -> list[Unit]:
        """Protect these from the collector; return the missing ones.

        A blob exists if its link and its bytes do. An empty file is missing, unless the digest is that of no bytes.
        """

    def publish(self, unit: Unit, content: bytes | Staged, entry: Callable[[], None] = nothing) -> None:
        """Write verified content, then the link of `unit`, which begins a lease. Durable on return.

        Existing content is replaced, which repairs it. Between the two, `entry` writes what leads to the link. Raises
        PathNotFound if the upload was removed.
        """

    def link(self, unit: Unit, source: Unit) -> None:
        """Link `unit` to the content of `source`, on which this section relies; this begins a lease."""

    def set_tags(self, unit: Unit, tags: Sequence[Tag]) -> None:
        """Point tags to a manifest that this section published."""

    def renew(self, unit: Unit) -> None:
        """Renew the lease of `unit`, on which this section relies; raise PathNotFound."""

    def finish(self, units: Iterable[Unit]) -> list[Unit]:
        """End leases, once the manifest that uses these is visible; return the units whose link was removed."""


class Quiet(Protocol):
    """A moment in which no section, batch or change is unfinished, for removals and repairs."""

    def claim(self, digest: Digest) -> None:
        """Keep a blob from the collector, for a link that is written next; raise PathNotFound."""

    def quarantine(self, digest: Digest) -> None:
        """Put the bytes of a blob where nothing serves them; raise PathNotFound."""

    def prune(self, path: StoragePath) -> bool:
        """Remove the empty directories at and below a path; return True if nothing is left there."""


class Leases(Protocol):
    """The leases that a collection keeps."""

    def end_ns(self, unit: Unit, link: Stat) -> int:
        """Return the end of a link's lease, in nanoseconds since the epoch; 0 if it has ended."""


@dataclass(frozen=True, slots=True)
class Garbage:
    """A candidate for removal: a blob, or the link of a unit."""

    path: StoragePath
    """Everything at and below it is removed."""
    content: Digest
    """The blob whose generation changes when a section relies on it."""
    generation: Generation | None
    """That of the content when the run began; None if it was missing."""


class Batch(Protocol):
    """Removals of a collector, bounded by the caller: writers may wait for the end of the batch."""

    def is_unchanged(self, digest: Digest, generation: Generation | None) -> bool:
        """Return True if a blob still has this generation, and no section has relied on it since."""

    def may_remove(self, garbage: Sequence[Garbage]) -> bool:
        """Decide on all of these together; if True, no later section relies on one of them."""

    def remove(self, path: StoragePath) -> None:
        """Remove everything at and below a path in one step; raise PathNotFound. `free` returns the space."""

    def prune(self, path: StoragePath) -> bool:
        """Remove the empty directories at and below a path; return True if nothing is left."""


class Collection(Protocol):
    """One run of the collector, from the first generation to the last removal. Blocking; raises OSError."""

    def generations(self, algorithm: str, prefix: str) -> Iterator[tuple[str, Generation]]:
        """Yield the blobs whose hexadecimal digest begins with `prefix`, in the order of their digests."""

    def barrier(self) -> None:
        """Wait until all writes of earlier sections are visible. After the generations, before marking."""

    def leases(self) -> Leases:
        """Return the leases that this run keeps. After the barrier."""

    def quiet(self, name: RepositoryName) -> AbstractContextManager[object]:
        """Do as Coordinator.quiet; with `dry_run` do not wait."""

    def condemn(self, garbage: Iterable[Garbage]) -> bool:
        """Announce the candidates for removal; return True if all has to be marked again before the removal."""

    def batch(self) -> AbstractContextManager[Batch]:
        """Begin a batch of removals, until the block ends."""

    def settle(self) -> None:
        """Make all removals so far durable: links before blobs."""

    def free(self) -> None:
        """Free the space of removed content. Not within a batch."""

    def missing(self) -> str | None:
        """Return which part of the storage seems to be missing, if any: its content must not count as removed."""

    def note_parts(self, *, everything: bool) -> None:
        """Note the parts of the storage for later runs; with `everything` the present parts are all there are."""

    def tidy(self) -> None:
        """Remove leftovers of interrupted writes."""


class Coordinator(Protocol):
    """Agreement between writers and the collector, in all processes of an installation. Blocking, thread-safe.

    Methods raise OSError, and Unavailable after the request's time to wait.
    """

    def run(self, work: Callable[[Section], T], changing: RepositoryName | None = None) -> T:
        """Return the result of `work`; nothing that it relied on was removed meanwhile.

        `work` may run again from its beginning. `changing` is a repository whose manifests or tags it changes.
        """

    def change(self, name: RepositoryName, work: Callable[[], T], look_back: Callable[[], None] = nothing) -> T:
        """Do `work`, which removes tags or manifests, while no other change of the repository runs.

        Where changes cannot exclude each other, `look_back` runs afterwards: it removes what was added meanwhile.
        """

    def is_leased(self, unit: Unit, seconds: float) -> bool:
        """Return True if the lease of `unit` began less than `seconds` ago. Raises PathNotFound."""

    def single(self, name: str, *, wait: bool) -> AbstractContextManager[None]:
        """Lock that name in the whole installation; without `wait` raise PathBusy."""

    def quiet(self, name: RepositoryName | None = None) -> AbstractContextManager[Quiet]:
        """Wait until no section, no batch and no change of that repository is between two steps.

        For checking again what may be an intermediate state, and for repairs.
        """

    def collection(
        self, grace: float, *, dry_run: bool = False, even_unsafe: bool = False
    ) -> AbstractContextManager[Collection]:
        """Begin a run of the collector, which locks the name COLLECTOR; with `dry_run` nothing is changed or locked.

        Leases are kept for `grace` seconds. Raises PathBusy while that name is locked, and NotSafe, unless
        `even_unsafe`, if the storage cannot keep a guarantee.
        """

    def leases(self, grace: float) -> Leases:
        """Return the leases that a removal keeps for `grace` seconds."""

    def note_renewal(self, seconds: float) -> None:
        """Note the age at which a server renews leases. Before it serves."""

    def try_relying_on(self, digest: Digest) -> None:
        """Do as relying on a blob does, but change nothing. Raises PathNotFound, OSError."""
