"""Marking: what lives. It changes nothing, and whatever it cannot read ends the run, unless that just vanished."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial

from pyregistry.gc.candidates import Candidates
from pyregistry.gc.documents import Documents, decode, list_revisions, read_documents
from pyregistry.gc.groups import groups_from_the_top
from pyregistry.gc.outcome import DoomedLayer, DoomedManifest, Kept, Listener, MarkFailed, Options, Plan
from pyregistry.gc.references import DocumentDamaged, References, parse, read_references
from pyregistry.gc.sharing import is_worth_it, shared
from pyregistry.oci.digest import CANONICAL, Digest
from pyregistry.oci.errors import NameInvalid
from pyregistry.oci.names import RepositoryName
from pyregistry.storage import layout, leases
from pyregistry.storage.driver import Driver, PathNotFound
from pyregistry.storage.links import exists, read_link
from pyregistry.storage.walking import walk_repositories

_NOTHING = References((), (), None)
_MAX_SPARSE_CHILD = 4 * 1024 * 1024
"""Bytes of a child that is no manifest of the repository, and is read all the same for what it may refer to."""


class Marker:
    """Goes through all repositories, and remembers of each what it needs to look again."""

    def __init__(
        self, driver: Driver, candidates: Candidates, options: Options, listener: Listener, now_ns: int
    ) -> None:
        self.driver = driver
        self.candidates = candidates
        self.options = options
        self.listener = listener
        self.kept = Kept()
        self.repositories: dict[RepositoryName, RepositoryMarks] = {}
        self.links: list[DoomedLayer] = []
        self._count = 0
        self.now_ns = now_ns

    def plan(self, processes: int = 1) -> Plan:
        """Mark all that lives; raises MarkFailed. `processes` as in `shared`: they read the manifests."""
        # Again until no new one appears: a repository may be pushed, or moved, while the walk goes on.
        while new := [name for name in self._names() if name not in self.repositories]:
            with self._read(new, processes) as read:
                self.listener.found(len(new))
                for name in new:
                    self._mark(name, read)
            processes = 1  # the listener may have a thread by now
        for size in self.candidates.held():
            self.kept.add(size)
        manifests = [group for marks in self.repositories.values() for group in marks.doomed_groups()]
        links = tuple(link for link in self.links if self.is_doomed(link))
        return Plan(self.candidates, self._count, tuple(manifests), links, self.kept)

    def is_doomed(self, link: DoomedLayer) -> bool:
        """Whether a layer link that its own repository does not need goes, by what is marked so far.

        It stays with its blob, as in the CNCF registry, unless its repository has nothing else.
        """
        return not self.candidates.is_marked(link.target) or not self.repositories[link.repository].has_living

    def maybe_empty(self) -> list[RepositoryName]:
        """The repositories in which no manifest is left, or will be; those within others first."""
        return [name for name, marks in reversed(self.repositories.items()) if marks.maybe_empty]

    def _names(self) -> list[RepositoryName]:
        try:
            return list(walk_repositories(self.driver, strict=True))
        except NameInvalid as error:
            raise MarkFailed(f"not all repositories can be looked at: {error.detail}") from error
        except OSError as error:
            raise MarkFailed(f"{error.filename}: {error.strerror}") from error

    @contextmanager
    def _read(self, names: list[RepositoryName], processes: int) -> Iterator[Iterator[Documents]]:
        if is_worth_it(len(self.candidates), processes):
            with shared(partial(read_documents, self.driver), names, processes) as read:
                yield map(decode, read)
        else:
            yield (list_revisions(self.driver, name) for name in names)

    def _mark(self, name: RepositoryName, read: Iterator[Documents]) -> None:
        marks = RepositoryMarks(self, name)
        try:
            documents = next(read)
            if marks.exists():
                self.listener.repository(name)
                self._count += 1
                marks.mark_roots(documents)
                self.links += marks.doomed_layers()
        except OSError as error:
            raise MarkFailed(f"{name}: {error.filename}: {error.strerror}") from error
        # All that is known of a repository without doomed manifests is that it was marked.
        marks.forget()
        self.repositories[name] = marks


class RepositoryMarks:
    """One repository: which of its manifests live."""

    def __init__(self, marker: Marker, name: RepositoryName) -> None:
        self.name = name
        self._marker = marker
        self._driver = marker.driver
        self._candidates = marker.candidates
        self._before = Documents()
        self._kept: set[str] = set()
        self._needed: set[str] = set()  # the blobs of those, for as long as the repository is looked at
        self._referrers: dict[str, list[str]] = defaultdict(list)
        self._documents: dict[str, References] = {}  # of doomed manifests
        self.has_living = False
        self.maybe_empty = False

    def exists(self) -> bool:
        """False for a namespace that repositories are in; raises OSError."""
        return exists(self._driver, layout.manifests(self.name)) or exists(self._driver, layout.layers(self.name))

    def mark_roots(self, documents: Documents) -> None:
        """Mark all that the roots reach; raises MarkFailed, OSError."""
        self._before = documents
        if not self._marker.options.delete_untagged:
            self.keep(documents.revisions)
            return
        self.keep(self._tagged())
        self.keep(self._leased_revisions())
        for digest in [digest for digest in documents.revisions if digest not in self._kept]:
            document = self._documents[digest] = self._read_doomed(digest)
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

    def keep(self, digests: Iterable[str]) -> None:
        """Mark manifests with all below them, referrers included; raises MarkFailed, OSError."""
        unvisited = list(digests)
        while unvisited:
            digest = unvisited.pop()
            if digest in self._kept:
                continue
            self._kept.add(digest)
            document = self._read(digest)
            if document is None:
                continue
            self.has_living = True
            self._candidates.mark(digest)
            self._marker.listener.marked_manifest(self.name, digest)
            self._mark_blobs(document)
            revisions = self._before.revisions
            unvisited += [blob for blob in document.blobs if blob in revisions]
            # What some index calls a manifest, and is none of this repository, may be gigabytes of a layer.
            unvisited += [child for child in document.children if child in revisions or self._is_small(child)]
            unvisited += self._referrers.get(digest, ())

    def doomed_groups(self) -> list[tuple[DoomedManifest, ...]]:
        """The manifests that nothing keeps, from the top down."""
        below = {
            digest: (*document.children, *document.blobs, *self._referrers.get(digest, ()))
            for digest, document in self._documents.items()
            if digest not in self._kept
        }
        return [
            tuple(DoomedManifest(self.name, Digest(digest)) for digest in group) for group in groups_from_the_top(below)
        ]

    def is_kept(self, digest: str) -> bool:
        """Whether a manifest of this repository lives."""
        return digest in self._kept

    def subject_of(self, digest: str) -> Digest | None:
        """What a doomed manifest refers to as its subject."""
        document = self._documents.get(digest)
        return parse(document.subject) if document is not None and document.subject is not None else None

    def forget(self) -> None:
        """Free what only a repository with doomed manifests needs later."""
        self._needed = set()
        self._before = Documents(self._before.revisions)  # the sweep reads again what it keeps
        self.maybe_empty = not self.has_living or not self._kept.issuperset(self._documents)
        if self._kept.issuperset(self._documents):
            self._before, self._kept, self._documents = Documents(), set(), {}
            self._referrers.clear()

    def doomed_layers(self) -> Iterator[DoomedLayer]:
        """The layer links that no lease holds and no manifest of this repository needs; raises OSError."""
        layers = layout.layers(self.name)
        for algorithm in self._driver.children(layers, strict=True):
            for encoded in self._driver.children(layout.child(layers, algorithm), strict=True):
                name = f"{algorithm}:{encoded}"
                if name in self._needed or (
                    self.has_living and algorithm == CANONICAL and self._candidates.is_marked(name)
                ):
                    continue
                digest = parse(name)
                if digest is not None and (doomed := self._look_at_layer(digest)) is not None:
                    yield doomed

    def _look_at_layer(self, digest: Digest) -> DoomedLayer | None:
        link = layout.layer_link(self.name, digest)
        try:
            stat = self._driver.stat(link)
            target = self.target(digest)
        except PathNotFound:
            return None
        if self.has_living and self._candidates.is_marked(target):
            return None
        if leases.is_young(stat, self._marker.options.grace, self._marker.now_ns):
            self._candidates.hold(target)
            self._marker.kept.until(stat.mtime_ns + round(self._marker.options.grace * 1e9))
            return None
        return DoomedLayer(self.name, digest, target)

    def _mark_blobs(self, document: References) -> None:
        for reference in (*document.blobs, *document.children):
            if reference not in self._needed:
                self._needed.add(reference)
                self._candidates.mark(reference)
            self._marker.listener.marked_blob(self.name, reference)
            if not reference.startswith("sha256:") and (digest := parse(reference)) is not None:
                self._candidates.mark(self._target_or_itself(digest))

    def target(self, digest: Digest) -> Digest:
        """Where a layer link leads; raises PathNotFound.

        In a tree of the CNCF registry the link for a sha512 names the sha256 under which the bytes are.
        """
        if digest.algorithm == CANONICAL:
            return digest
        return read_link(self._driver, layout.layer_link(self.name, digest)) or digest

    def _target_or_itself(self, digest: Digest) -> Digest:
        try:
            return self.target(digest)
        except PathNotFound:
            return digest

    def _is_small(self, reference: str) -> bool:
        size = self._candidates.size(reference)
        return size is not None and size <= _MAX_SPARSE_CHILD

    def _read(self, digest: str) -> References | None:
        """What a manifest that lives refers to; None if its bytes are not there. Raises MarkFailed, OSError."""
        if (known := self._before.references.get(digest)) is not None:
            return known
        try:
            return read_references(self._driver, Digest(digest))
        except PathNotFound:
            if digest in self._before.revisions:
                self._marker.listener.skipped(f"{self.name}: the manifest {digest} is not there")
            return None
        except DocumentDamaged as error:
            raise MarkFailed(
                f"{self.name}: the manifest {digest} is damaged, so nobody knows what it refers to; "
                "see pyregistry fsck --repair"
            ) from error

    def _read_doomed(self, digest: str) -> References:
        """What a manifest that nothing keeps refers to, for the order of the sweep; raises OSError."""
        if (known := self._before.references.get(digest)) is not None:
            return known
        try:
            return read_references(self._driver, Digest(digest))
        except (PathNotFound, DocumentDamaged):
            return _NOTHING

    def _leased_revisions(self) -> Iterator[str]:
        for digest, stat in self._before.revisions.items():
            if digest not in self._kept and leases.is_young(stat, self._marker.options.grace, self._marker.now_ns):
                if not self._candidates.is_marked(digest):
                    self._marker.kept.add(self._candidates.size(digest) or 0)
                self._marker.kept.until(stat.mtime_ns + round(self._marker.options.grace * 1e9))
                yield digest

    def _tagged(self) -> Iterator[str]:
        tags = layout.tags(self.name)
        for tag in self._driver.children(tags, strict=True):
            directory = layout.child(tags, tag)
            try:
                digest = read_link(self._driver, layout.child(layout.child(directory, "current"), layout.LINK))
            except PathNotFound:  # a tag that is being deleted, or made: then the record of its manifest changes
                continue
            if digest is not None:
                yield digest
                continue
            self._marker.listener.skipped(f"{self.name}: the link of the tag {tag} is torn, all that it named is kept")
            index = layout.child(directory, "index")
            for algorithm in self._driver.children(index, strict=True):
                for encoded in self._driver.children(layout.child(index, algorithm), strict=True):
                    if (named := parse(f"{algorithm}:{encoded}")) is not None:
                        yield named
