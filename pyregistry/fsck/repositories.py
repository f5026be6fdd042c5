"""Checks of all repositories, one after the other."""

from collections.abc import Callable, Iterator

from pyregistry.fsck.entries import Listing, unreadable
from pyregistry.fsck.findings import Finding, Kind
from pyregistry.fsck.images import Images
from pyregistry.fsck.links import LinkChecks
from pyregistry.fsck.manifests import ManifestChecks
from pyregistry.fsck.scope import CheckScope
from pyregistry.fsck.sizes import settle_wrong_size
from pyregistry.fsck.uploads import upload_findings
from pyregistry.gc.references import parse
from pyregistry.oci.digest import ALGORITHMS, Digest
from pyregistry.oci.errors import ManifestInvalid, NameInvalid
from pyregistry.oci.names import NAME_COMPONENTS, RepositoryName, Tag
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.layout import StoragePath
from pyregistry.storage.seams.links import exists
from pyregistry.storage.seams.objects import Entry
from pyregistry.storage.seams.reserved import is_reserved

_PARTS = frozenset({"_layers", "_manifests", "_uploads", "_referrers"})


def walk(listing: Listing, make: "Callable[[RepositoryName], RepositoryCheck]") -> Iterator[Finding]:
    """Yield the findings of all repositories, and of the foreign entries between them."""
    yield from _walk(listing, layout.REPOSITORIES, (), make)


def _walk(
    listing: Listing, path: StoragePath, parents: tuple[str, ...], make: "Callable[[RepositoryName], RepositoryCheck]"
) -> Iterator[Finding]:
    ours: list[Entry] = []
    yield from listing.names(path, lambda entry: entry.is_directory and _may_be_ours(entry.name, parents), ours)
    parts = {entry.name for entry in ours} & _PARTS
    if parts:
        try:
            name = RepositoryName("/".join(parents))
        except NameInvalid:
            sentence = "this repository's name is invalid for every client, and garbage collection refuses to run"
            yield Finding(Kind.BAD_NAME, path, sentence)
        else:
            yield from make(name).findings(parts)
    if len(parents) < NAME_COMPONENTS:
        for entry in ours:
            if entry.name not in _PARTS:
                yield from _walk(listing, layout.child(path, entry.name), (*parents, entry.name), make)


def _may_be_ours(name: str, parents: tuple[str, ...]) -> bool:
    if name.startswith("_"):
        return name in _PARTS
    return len(parents) < NAME_COMPONENTS and not is_reserved(name)


class RepositoryCheck:
    """The checks of one repository; the ids of its uploads are added to `uploads`."""

    def __init__(self, listing: Listing, name: RepositoryName, scope: CheckScope, uploads: set[str]) -> None:
        self._listing = listing
        self._objects = listing.objects
        self._name = name
        self._uploads = uploads
        self._hashed = scope.hashed
        lost = Images(self._objects, name).that_need
        self.links = LinkChecks(self._objects, name, lost)
        self.manifests = ManifestChecks(self._objects, name, scope.rules, lost, scope.corrupt)

    def findings(self, parts: set[str]) -> Iterator[Finding]:
        """Yield all findings of the repository."""
        if ("_layers" in parts) != ("_manifests" in parts) and (finding := self._check_shape()) is not None:
            yield finding
        yield from self._manifests()
        yield from self._tags()
        yield from self._layers()  # behind the manifests, of which a repair may have quarantined a blob
        yield from self._referrers()
        yield from upload_findings(self._listing, self._name, self._uploads)

    def _check_shape(self) -> Finding | None:
        layers, manifests = layout.layers(self._name), layout.manifests(self._name)
        if exists(self._objects, layers) == exists(self._objects, manifests):
            return None
        kind, path = Kind.NO_MANIFESTS, manifests
        sentence = "the CNCF registry 3.x does not see this repository"
        if exists(self._objects, manifests):
            kind, path = Kind.NO_LAYERS, layers
            sentence = "the garbage collection of the CNCF registry 2.8 would remove what this repository refers to"
        return Finding(kind, path, sentence, repository=self._name, recheck=self._check_shape)

    def _layers(self) -> Iterator[Finding]:
        directory = layout.layers(self._name)
        yield from self._listing.unexpected(directory, frozenset(ALGORITHMS))
        strays: list[Finding] = []
        for digest in self._digests(directory, strays):
            yield from self._guarded(layout.layer(self._name, digest), self._layer(digest))
        yield from strays

    def _layer(self, digest: Digest) -> Iterator[Finding | None]:
        yield self.links.layer(digest)

    def _manifests(self) -> Iterator[Finding]:
        yield from self._listing.unexpected(layout.manifests(self._name), frozenset({"revisions", "tags"}))
        directory = layout.revisions(self._name)
        yield from self._listing.unexpected(directory, frozenset(ALGORITHMS))
        strays: list[Finding] = []
        for digest in self._digests(directory, strays):
            yield from self._guarded(layout.revision(self._name, digest), self._manifest(digest))
        yield from strays

    def _manifest(self, digest: Digest) -> Iterator[Finding | None]:
        yield self.links.revision(digest)
        if not exists(self._objects, layout.revision_link(self._name, digest)):
            return  # deleted: the CNCF registry leaves the directory
        read = self.manifests.read(digest)
        if isinstance(read, Finding):
            yield read
        if not isinstance(read, tuple):
            return
        for finding in self.manifests.references(digest, read[0]):
            yield settle_wrong_size(self._objects, finding, self._hashed)
        yield self.manifests.referrer(digest, read)

    def _tags(self) -> Iterator[Finding]:
        directory = layout.tags(self._name)
        tags: list[Entry] = []
        yield from self._listing.names(directory, _is_tag, tags)
        for entry in tags:
            yield from self._guarded(layout.child(directory, entry.name), self._tag(Tag(entry.name)))

    def _tag(self, tag: Tag) -> Iterator[Finding | None]:
        yield from self._listing.unexpected(layout.tag(self._name, tag), frozenset({"current", "index"}))
        yield from self._listing.unexpected(layout.tag_current(self._name, tag), frozenset({layout.LINK}))
        # Before the links of its index: where one of them is repaired it looks like the newest.
        yield self.links.tag(tag)
        strays: list[Finding] = []
        for digest in self._digests(layout.tag_index(self._name, tag), strays):
            yield self.links.tag_index(tag, digest)
        yield from strays

    def _referrers(self) -> Iterator[Finding]:
        for subject in self._digests(layout.all_referrers(self._name), [], leaf=None):
            path = layout.referrers(self._name, subject)
            yield from self._guarded(path, self._listed_referrers(subject))

    def _listed_referrers(self, subject: Digest) -> Iterator[Finding | None]:
        for digest in self._digests(layout.referrers(self._name, subject), [], leaf=None):
            yield self.manifests.listed_referrer(subject, digest)

    def _digests(self, path: StoragePath, strays: list[Finding], leaf: str | None = layout.LINK) -> Iterator[Digest]:
        """Yield the digests that have a directory below `path`; add findings about other entries to `strays`."""
        for algorithm in ALGORITHMS:
            directory = layout.child(path, algorithm)
            for entry in list(self._listing.entries(directory)):
                if isinstance(entry, Finding):
                    strays.append(entry)
                elif not entry.is_directory or (digest := parse(f"{algorithm}:{entry.name}")) is None:
                    strays += self._listing.stray(directory, entry)
                else:
                    if leaf is not None:
                        # "signatures": next to the links of manifests of the first format
                        expected = frozenset({leaf, "signatures"})
                        strays += self._listing.unexpected(layout.child(directory, entry.name), expected)
                    yield digest

    def _guarded(self, path: StoragePath, findings: Iterator[Finding | None]) -> Iterator[Finding]:
        """Yield the findings, or the one that something could not be read."""
        try:
            for finding in findings:
                if finding is not None:
                    yield finding
        except OSError as error:
            yield unreadable(path, error)


def _is_tag(entry: Entry) -> bool:
    if not entry.is_directory:
        return False
    try:
        Tag(entry.name)
    except ManifestInvalid:
        return False
    return True
