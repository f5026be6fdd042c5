"""The seam between those who rely on stored content and those who remove it: writers and the garbage collection.

docs/gc.md has the protocol and its proof, docs/decisions/0051 the reason for the shape. Two ways lead to the same
promises. A local directory has locks and file times: a section keeps the collector out while it runs. An object store
has neither: a section reads a state, acts, and reads the state once more; if it changed, the work runs again. So the
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
"""The name that a collector holds for its whole run."""


LONGEST_RENEWAL = 300.0
"""Seconds: no server lets a lease become older before it renews it."""


def renewed_after(grace: float) -> float:
    """Seconds for which a lease need not be renewed: well below the grace, so that a push has most of it."""
    return min(LONGEST_RENEWAL, grace / 20)


@dataclass(frozen=True, slots=True)
class Unit:
    """A blob or a manifest of a repository: the smallest thing to rely on, to promise and to remove."""

    repository: RepositoryName
    digest: Digest
    is_manifest: bool = False

    @property
    def link(self) -> StoragePath:
        """The path of the link by which the repository has it."""
        path = layout.revision_link if self.is_manifest else layout.layer_link
        return path(self.repository, self.digest)


@dataclass(frozen=True, slots=True)
class Staged:
    """The verified bytes of an upload, at a path from which they come into place in one step."""

    path: StoragePath


class Generation(NamedTuple):
    """The state of a blob's content: it changes with every claim on the blob. Opaque, to be compared for equality.

    Two numbers of 64 bits, and the size in bytes.
    """

    first: int
    second: int
    size: int


class NotSafe(Exception):
    """The storage cannot keep a promise of the garbage collection here. Each argument is a reason."""


def nothing() -> None:
    """Do nothing."""


class Section(Protocol):
    """A writer's work, in which nothing that it relies on is removed. Blocking; raises OSError and Unavailable."""

    def rely_on(self, units: Sequence[Unit]) -> list[Unit]:
        """Keep these from the collector; return those that are missing.

        A blob is there if its link and its bytes are. Bytes of size 0 are missing, unless the digest is that of none.
        """

    def publish(self, unit: Unit, content: bytes | Staged, entry: Callable[[], None] = nothing) -> None:
        """Put verified content into place, then the link of `unit`, which begins a lease. Durable on return.

        Content that is there is replaced, which repairs it. `entry` writes what leads to the link; it runs between the
        two. Raises PathNotFound if the upload is gone.
        """

    def link(self, unit: Unit, source: Unit) -> None:
        """Link `unit` to the content of `source`, on which this section relies; this begins a lease."""

    def set_tags(self, unit: Unit, tags: Sequence[Tag]) -> None:
        """Let tags name a manifest that this section published."""

    def promise(self, unit: Unit) -> None:
        """Begin the lease of `unit` again, on which this section relies; raise PathNotFound."""

    def finish(self, units: Iterable[Unit]) -> list[Unit]:
        """End leases, when the manifest that uses these can be seen; return the units whose link is gone."""


class Quiet(Protocol):
    """A moment in which nothing is between two of its steps, and what a removal or a repair does in it."""

    def claim(self, digest: Digest) -> None:
        """Keep a blob from the collector, for a link that is written next; raise PathNotFound."""

    def quarantine(self, digest: Digest) -> None:
        """Put the bytes of a blob where nothing serves them; raise PathNotFound."""

    def prune(self, path: StoragePath) -> bool:
        """Remove the empty directories at and below a path; return True if nothing is left there."""


class Leases(Protocol):
    """The leases that a collection keeps."""

    def end_ns(self, unit: Unit, link: Stat) -> int:
        """Return when the lease of a link ends, in nanoseconds since the epoch; 0 for one that has ended."""


@dataclass(frozen=True, slots=True)
class Doomed:
    """A candidate for removal: a blob, or the link of a unit."""

    path: StoragePath
    """Everything at and below it goes."""
    content: Digest
    """The blob whose generation says whether something has relied on it."""
    generation: Generation | None
    """That of the content when the run began; None if it was not there."""


class Batch(Protocol):
    """Removals of a collector, bounded by the caller: writers may wait for the end of the batch."""

    def is_unchanged(self, digest: Digest, generation: Generation | None) -> bool:
        """Return True if a blob has the generation that it had, and nothing has relied on it since."""

    def may_remove(self, doomed: Sequence[Doomed]) -> bool:
        """Decide on all of these together; if True, no section relies on one of them from now on."""

    def remove(self, path: StoragePath) -> None:
        """Remove everything at and below a path in one step; raise PathNotFound. `free` returns the space."""

    def prune(self, path: StoragePath) -> bool:
        """Remove the empty directories at and below a path; return True if nothing is left there."""


class Collection(Protocol):
    """One run of the collector, from the first generation to the last removal. Blocking; raises OSError."""

    def generations(self, algorithm: str, prefix: str) -> Iterator[tuple[str, Generation]]:
        """Yield the blobs whose hexadecimal digest begins with `prefix`, in the order of their digests."""

    def barrier(self) -> None:
        """Return when all that earlier sections wrote can be seen. After the generations, before marking."""

    def leases(self) -> Leases:
        """Return the leases that count for this run. After the barrier."""

    def quiet(self, name: RepositoryName) -> AbstractContextManager[object]:
        """As Coordinator.quiet; a run that only looks waits for nothing."""

    def condemn(self, doomed: Iterable[Doomed]) -> bool:
        """Announce what this run may remove; return True if all has to be marked once more before it does."""

    def batch(self) -> AbstractContextManager[Batch]:
        """Remove something, until the block ends."""

    def settle(self) -> None:
        """Return when no removal so far can be undone: links before blobs."""

    def free(self) -> None:
        """Return the space of what was removed. In no batch."""

    def missing(self) -> str | None:
        """Say which part of the storage seems to be missing, whose content must not be taken for removed."""

    def note_parts(self, *, everything: bool) -> None:
        """Note the parts of the storage for later runs; with `everything` what is there is all there shall be."""

    def tidy(self) -> None:
        """Remove what interrupted writes left."""


class Coordinator(Protocol):
    """Agreement between writers and the collector, in all processes of an installation. Blocking, thread-safe.

    Methods raise OSError, and Unavailable after the request's time to wait.
    """

    def run(self, work: Callable[[Section], T], changing: RepositoryName | None = None) -> T:
        """Return what `work` returns, when nothing that it relied on was removed meanwhile.

        `work` may run again from its beginning. `changing` names a repository whose manifests or tags it changes.
        """

    def change(self, name: RepositoryName, work: Callable[[], T], look_back: Callable[[], None] = nothing) -> T:
        """Do `work`, which removes tags or manifests, while no other change of the repository does.

        Where changes cannot exclude each other, `look_back` runs afterwards: it removes what came meanwhile.
        """

    def is_promised(self, unit: Unit, seconds: float) -> bool:
        """Return True if the lease of `unit` began less than `seconds` ago. Raises PathNotFound."""

    def single(self, name: str, *, wait: bool) -> AbstractContextManager[None]:
        """Be the only holder of that name in the installation; without `wait` raise PathBusy."""

    def quiet(self, name: RepositoryName | None = None) -> AbstractContextManager[Quiet]:
        """Wait until no section and no batch is between two steps, and no change of that repository.

        For a second look at what may be a step of theirs, and for a repair of what is none.
        """

    def collection(
        self, grace: float, *, only_look: bool = False, even_unsafe: bool = False
    ) -> AbstractContextManager[Collection]:
        """Begin a run of the collector, which holds the name COLLECTOR; with `only_look` nothing is changed or locked.

        `grace` in seconds: leases are kept for so long. Raises PathBusy while that name is held, and unless
        `even_unsafe` NotSafe where the storage cannot keep a promise.
        """

    def leases(self, grace: float) -> Leases:
        """Return the leases that a removal with that grace in seconds keeps."""

    def note_renewal(self, seconds: float) -> None:
        """Note that a server lets leases become so old before it renews them. Before it serves."""

    def try_relying_on(self, digest: Digest) -> None:
        """Do what relying on a blob does, and change nothing. Raises PathNotFound, OSError."""
