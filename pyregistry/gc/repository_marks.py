"""The live manifests and layers of one repository."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from pyregistry.gc.candidates import Candidates
from pyregistry.gc.documents import Documents, try_link
from pyregistry.gc.groups import components_from_the_top
from pyregistry.gc.references import DocumentDamaged, References, parse, read_references
from pyregistry.gc.types import GarbageLink, GarbageManifest, LeaseStats, MarkFailed, Options, ProgressObserver
from pyregistry.gc.unreadable import Unreadable
from pyregistry.oci.digest import CANONICAL, Digest
from pyregistry.oci.names import RepositoryName
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.coordinator import Collection, Leases, Unit
from pyregistry.storage.seams.links import exists, read_link
from pyregistry.storage.seams.objects import Objects, PathNotFound

_NOTHING = References((), (), None)
_MAX_SPARSE_CHILD_BYTES = 4 * 1024 * 1024
"""Most bytes of a child that is not a manifest of the repository, but is read for its possible references."""


class Run(Protocol):
    """The state of a run that all repositories share; `marking.Marker` has it."""

    objects: Objects
    collection: Collection
    leases: Leases
    candidates: Candidates
    options: Options
    observer: ProgressObserver
    leased: LeaseStats


class RepositoryMarks:
    """Marks of one repository: its live manifests."""

    def __init__(self, run: Run, name: RepositoryName) -> None:
        self.name = name
        self._run = run
        self._objects = run.objects
        self._candidates = run.candidates
        self._before = Documents()
        self._kept: set[str] = set()
        self._needed: set[str] = set()  # the blobs of those, until the repository is marked
        self._referrers: dict[str, list[str]] = defaultdict(list)
        self._documents: dict[str, References] = {}  # of garbage manifests
        self._unreadable = Unreadable(run.objects, run.collection, name, self._before)
        self._is_whole = False
        self.has_living = False
        self.maybe_empty = False
        self._untagged: frozenset[str] = frozenset()
        self.untagged_count = 0
        """Manifests that `--delete-untagged` would not keep."""

    def exists(self) -> bool:
        """Return False for a namespace that only contains repositories; raises OSError."""
        return exists(self._objects, layout.manifests(self.name)) or exists(self._objects, layout.layers(self.name))

    def mark_roots(self, documents: Documents) -> None:
        """Mark all that the roots reach; raises MarkFailed, OSError."""
        self._before = documents
        self._unreadable = Unreadable(self._objects, self._run.collection, self.name, documents)
        self.keep(self._tagged())
        self.keep(self._leased_revisions())
        self._keep_referrers()
        self._recheck()
        if not self._run.options.delete_untagged:
            self._keep_untagged()

    def _keep_untagged(self) -> None:
        """Mark the untagged manifests too, and count what they cost; raise MarkFailed, OSError."""
        self._untagged = frozenset(digest for digest in self._before.revisions if digest not in self._kept)
        self.keep(self._untagged, mark=self._candidates.mark_untagged)
        self._recheck()
        self.untagged_count = 0 if self._is_whole else len(self._untagged)

    def _keep_referrers(self) -> None:
        for digest in [digest for digest in self._before.revisions if digest not in self._kept]:
            document = self._documents[digest] = self._read(digest) or _NOTHING
            if document is not _NOTHING:  # otherwise it is a suspect
                self._before.references[digest] = document
            if document.subject is not None:
                self._referrers[document.subject].append(digest)
        self.keep(
            [
                digest
                for subject in list(self._referrers)
                if subject in self._kept
                for digest in self._referrers[subject]
            ]
        )

    def keep(self, digests: Iterable[str], mark: Callable[[str], object] | None = None) -> None:
        """Mark manifests with all below them, referrers included; raises MarkFailed, OSError."""
        mark = mark or self._candidates.mark
        unvisited = list(digests)
        while unvisited:
            digest = unvisited.pop()
            if digest in self._kept:
                continue
            self._kept.add(digest)
            mark(digest)
            document = self._read(digest)
            if document is None:
                continue
            self.has_living = True
            self._run.observer.marked_manifest(self.name, digest)
            self._mark_blobs(document, mark)
            revisions = self._before.revisions
            unvisited += [blob for blob in document.blobs if blob in revisions]
            # A child that is not a manifest of this repository may be gigabytes of a layer.
            unvisited += [child for child in document.children if child in revisions or self._is_small(child)]
            unvisited += self._referrers.get(digest, ())

    def require_read(self) -> None:
        """Raise MarkFailed if a kept manifest is no longer readable: its references are not marked."""
        if self._unreadable.suspects:
            raise MarkFailed(f"{self.name}: a manifest that is kept is no longer readable")

    def _recheck(self) -> None:
        while self._unreadable.suspects:
            self._recheck_once()

    def _recheck_once(self) -> None:
        found = self._unreadable.recheck()
        self._kept.difference_update(found.readable)
        self.keep(found.readable)
        for target in found.targets:
            self._candidates.mark(target)
        for sentence in found.sentences:
            self._run.observer.skipped(sentence)
        if found.hides_bytes:
            self._candidates.mark_all()
        if found.hides:
            self._is_whole = self.has_living = True
            self._kept.difference_update(self._untagged)
            self._needed.clear()
            self.keep(self._before.revisions)
            self.keep(found.named)

    def deletion_order(self) -> list[tuple[GarbageManifest, ...]]:
        """Return the manifests that nothing keeps, from the top down."""
        below = {
            digest: (*document.children, *document.blobs, *self._referrers.get(digest, ()))
            for digest, document in self._documents.items()
            if digest not in self._kept
        }
        return [
            tuple(GarbageManifest(self.name, Digest(digest)) for digest in group)
            for group in components_from_the_top(below)
        ]

    def is_kept(self, digest: str) -> bool:
        """Return True if a manifest of this repository lives."""
        return digest in self._kept

    def subject_of(self, digest: str) -> Digest | None:
        """Return the subject of a garbage manifest."""
        document = self._documents.get(digest)
        return parse(document.subject) if document is not None and document.subject is not None else None

    def shrink(self) -> None:
        """Drop the state that only a repository with garbage manifests needs later."""
        self._needed = set()
        self._untagged = frozenset()
        self._before = Documents(self._before.revisions)  # the sweep reads kept manifests again
        # A manifest that was readable may be damaged by then.
        self._unreadable = Unreadable(self._objects, self._run.collection, self.name, self._before)
        self.maybe_empty = not self.has_living or not self._kept.issuperset(self._documents)
        if self._kept.issuperset(self._documents):
            self._before, self._kept, self._documents = Documents(), set(), {}
            self._referrers.clear()

    def garbage_links(self) -> Iterator[GarbageLink]:
        """Yield the layer links without a lease that no manifest of this repository needs; raises OSError."""
        layers = layout.layers(self.name)
        for algorithm in self._objects.children(layers, strict=True):
            for encoded in self._objects.children(layout.child(layers, algorithm), strict=True):
                name = f"{algorithm}:{encoded}"
                if self._is_whole:
                    self._keep_layer(name)
                    continue
                if name in self._needed or (
                    self.has_living and algorithm == CANONICAL and self._candidates.is_marked(name)
                ):
                    continue
                digest = parse(name)
                if digest is not None and (garbage := self._check_layer(digest)) is not None:
                    yield garbage

    def _keep_layer(self, name: str) -> None:
        if name not in self._needed and (digest := parse(name)) is not None:
            target = try_link(self._objects, layout.layer_link(self.name, digest))[0] or digest
            for each in dict.fromkeys((digest, target)):
                self._candidates.mark(each)
                self._run.observer.marked_blob(self.name, each)

    def _check_layer(self, digest: Digest) -> GarbageLink | None:
        link = layout.layer_link(self.name, digest)
        try:
            stat = self._objects.stat(link)
            target = self.target(digest)
        except PathNotFound:
            return None
        if self.has_living and self._candidates.is_marked(target):
            return None
        end_ns = self._run.leases.end_ns(Unit(self.name, digest), stat)
        if end_ns:
            self._candidates.mark_leased(target)
            self._run.leased.until(end_ns)
            return None
        return GarbageLink(self.name, digest, target)

    def _mark_blobs(self, document: References, mark: Callable[[str], object]) -> None:
        for reference in (*document.blobs, *document.children):
            if reference not in self._needed:
                self._needed.add(reference)
                mark(reference)
            self._run.observer.marked_blob(self.name, reference)
            if not reference.startswith("sha256:") and (digest := parse(reference)) is not None:
                self._mark_target(digest, mark)

    def target(self, digest: Digest) -> Digest:
        """Return the digest of a layer link; raise PathNotFound.

        In a tree of the CNCF registry the link for a sha512 names the sha256 that stores the bytes.
        """
        if digest.algorithm == CANONICAL:
            return digest
        return read_link(self._objects, layout.layer_link(self.name, digest)) or digest

    def _mark_target(self, digest: Digest, mark: Callable[[str], object]) -> None:
        target, _ = try_link(self._objects, layout.layer_link(self.name, digest))
        if target is not None:
            mark(target)
        elif self._candidates.size(digest) is None and exists(self._objects, layout.layer(self.name, digest)):
            self._unreadable.alias(digest)

    def _is_small(self, reference: str) -> bool:
        size = self._candidates.size(reference)
        return size is not None and size <= _MAX_SPARSE_CHILD_BYTES

    def _read(self, digest: str) -> References | None:
        """Return the references of a manifest; if it is unreadable, None and a later second check. Raise OSError."""
        if (known := self._before.references.get(digest)) is not None:
            return known
        try:
            return read_references(self._objects, Digest(digest))
        except (PathNotFound, DocumentDamaged):
            self._unreadable.manifest(digest)
            return None

    def _leased_revisions(self) -> Iterator[str]:
        for digest, stat in self._before.revisions.items():
            if digest in self._kept:
                continue
            end_ns = self._run.leases.end_ns(Unit(self.name, Digest(digest), is_manifest=True), stat)
            if not end_ns:
                continue
            if self._run.options.delete_untagged:
                self._count_leased(digest, end_ns)
            yield digest

    def _count_leased(self, digest: str, end_ns: int) -> None:
        if not self._candidates.is_marked(digest):
            self._run.leased.add(self._candidates.size(digest) or 0)
        self._run.leased.until(end_ns)

    def _tagged(self) -> Iterator[str]:
        revisions = self._before.revisions
        for digest in filter(None, self._before.tags.values()):
            stat = revisions.get(digest)
            if stat is None or not stat.is_file:  # pushed since the list was read, or its link is missing
                self._unreadable.manifest(digest)
            yield digest
