"""Checks of the manifests of a repository, and of their references."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cached_property

import msgspec

from pyregistry.fsck.findings import Finding, Kind
from pyregistry.fsck.links import Lost
from pyregistry.gc.references import parse
from pyregistry.oci import media_types
from pyregistry.oci.digest import EMPTY_DIGESTS, Digest
from pyregistry.oci.document import Descriptor
from pyregistry.oci.errors import ManifestInvalid
from pyregistry.oci.manifest import MAX_DOCUMENT_BYTES, Manifest, read_manifest
from pyregistry.oci.names import RepositoryName
from pyregistry.storage.repositories.referrers import describe, fallback_tag, read_entry
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.links import exists, is_revision, read_link, resolve_link
from pyregistry.storage.seams.objects import Objects, PathNotFound
from pyregistry.storage.seams.rules import Rules

ManifestRead = tuple[Manifest, int]
"""A manifest with its size in bytes."""


class ManifestChecks:
    """The checks of one repository's manifests. `corrupt` are blobs that a scrub found damaged."""

    def __init__(
        self, objects: Objects, name: RepositoryName, rules: Rules, lost: Lost, corrupt: frozenset[Digest]
    ) -> None:
        self._objects = objects
        self._name = name
        self._rules = rules
        self._lost = lost
        self._corrupt = corrupt
        self._listed: tuple[Digest | None, frozenset[str]] = (None, frozenset())
        """The last list of a client's that was read: its digest, and the digests in it."""
        self._whole: set[tuple[str, int]] = set()  # blobs of this size that were seen in this repository

    def read(self, digest: Digest) -> ManifestRead | Finding | None:
        """Return a manifest with its size in bytes, or a finding about it; None if it is not there."""
        path = layout.blob_data(digest)
        try:
            content = self._objects.read(path, MAX_DOCUMENT_BYTES + 1)
            if len(content) <= MAX_DOCUMENT_BYTES and Digest.of(content, digest.algorithm) != digest:
                content = self._objects.read(path, MAX_DOCUMENT_BYTES + 1)  # a second look before it is called damaged
        except PathNotFound:
            return None
        if len(content) > MAX_DOCUMENT_BYTES:
            return self._of_manifest(Kind.UNKNOWN_MANIFEST, digest, f"{digest} is too large for a manifest")
        if Digest.of(content, digest.algorithm) != digest:
            sentence = f"the manifest {digest} is damaged; push it again"
            return self._of_manifest(Kind.DAMAGED_MANIFEST, digest, sentence)
        try:
            return read_manifest(content), len(content)
        except ManifestInvalid:
            sentence = f"{digest} is no manifest that this registry serves"
            return self._of_manifest(Kind.UNKNOWN_MANIFEST, digest, sentence)

    def manifest(self, digest: Digest) -> Finding | None:
        """Check the bytes of a manifest."""
        read = self.read(digest)
        return read if isinstance(read, Finding) else None

    def references(self, digest: Digest, manifest: Manifest) -> Iterator[Finding]:
        """Yield the findings about its references."""
        if manifest.media_type not in media_types.SUPPORTED:
            return
        for descriptor in _once(manifest.blobs):
            if (descriptor.digest, descriptor.size) not in self._whole:
                finding = self._blob(digest, descriptor)
                if finding is not None:
                    yield finding
                else:
                    self._whole.add((descriptor.digest, descriptor.size))
        for descriptor in _once(manifest.children):
            if (finding := self._child(digest, descriptor)) is not None:
                yield finding

    def referrer(self, digest: Digest, read: ManifestRead) -> Finding | None:
        """Check that the referrers of its subject name this manifest."""
        manifest, size = read
        subject = parse(manifest.subject.digest) if manifest.subject is not None else None
        if subject is None or not is_revision(self._objects, self._name, digest):
            return None
        path = layout.referrer(self._name, subject, digest)
        with suppress(PathNotFound, msgspec.DecodeError, UnicodeDecodeError):
            if read_entry(self._objects, path) == describe(digest, manifest, size):
                return None
        if not exists(self._objects, path) and str(digest) in self._listed_by_clients(subject):
            return None  # the referrers API shows what a client listed under a tag
        return Finding(
            Kind.MISSING_REFERRER if self._is_listing else Kind.UNLISTED_REFERRER,
            path,
            f"the referrers of {subject} do not tell of {digest}",
            repository=self._name,
            digest=digest,
            recheck=lambda: self.referrer(digest, read),
        )

    def listed_referrer(self, subject: Digest, digest: Digest) -> Finding | None:
        """Check that a listed referrer is there and has that subject."""
        path = layout.referrer(self._name, subject, digest)
        if not exists(self._objects, path):
            return None
        if is_revision(self._objects, self._name, digest):
            read = self.read(digest)
            if not isinstance(read, tuple):  # that is a finding of its own
                return None
            if read[0].subject is not None and read[0].subject.digest == subject:
                return None
        return Finding(
            Kind.STALE_REFERRER,
            path,
            f"{digest} is no longer a referrer of {subject}",
            repository=self._name,
            digest=digest,
            recheck=lambda: self.listed_referrer(subject, digest),
        )

    @cached_property
    def _is_listing(self) -> bool:
        """False where this registry never took a referrer, so that none is missing; the first repair changes that."""
        return exists(self._objects, layout.all_referrers(self._name))

    def _listed_by_clients(self, subject: Digest) -> frozenset[str]:
        link = layout.tag_current_link(self._name, fallback_tag(subject))
        with suppress(PathNotFound):
            digest = read_link(self._objects, link)
            if digest is not None and self._listed[0] != digest and is_revision(self._objects, self._name, digest):
                read = self.read(digest)
                children = read[0].children if isinstance(read, tuple) else ()
                self._listed = digest, frozenset(child.digest for child in children)
            return self._listed[1] if self._listed[0] == digest else frozenset()
        return frozenset()

    def _of_manifest(self, kind: Kind, digest: Digest, sentence: str) -> Finding:
        return Finding(
            kind,
            layout.blob_data(digest),
            sentence,
            lost=self._lost(digest) if kind is Kind.DAMAGED_MANIFEST else (),
            repository=self._name,
            digest=digest,
            recheck=lambda: self.manifest(digest),
        )

    def _blob(self, manifest: Digest, descriptor: Descriptor) -> Finding | None:
        digest = parse(descriptor.digest)
        if digest is None or not is_revision(self._objects, self._name, manifest):
            return None
        target, is_linked = self._target(digest)
        size = self._size(target)
        is_needed = self._rules.require_blobs and descriptor.distributable
        if size < 0 or not is_linked:
            if not is_needed:
                return None
            kind = Kind.MISSING_BLOB if size < 0 else Kind.UNLINKED_BLOB
            state = "is not there" if size < 0 else "is not in this repository"
            return self._of_reference(kind, manifest, descriptor, f"{state}; push it again")
        if target in self._corrupt or (size == 0 and target not in EMPTY_DIGESTS):
            return self._of_reference(Kind.MISSING_BLOB, manifest, descriptor, "is damaged; push it again")
        if size != descriptor.size:
            return self._of_reference(Kind.WRONG_SIZE, manifest, descriptor, _wrong_size(size, descriptor))
        return None

    def _child(self, manifest: Digest, descriptor: Descriptor) -> Finding | None:
        digest = parse(descriptor.digest)
        if digest is None or not is_revision(self._objects, self._name, manifest):
            return None
        target, is_linked = digest, exists(self._objects, layout.revision_link(self._name, digest))
        if not is_linked or self._size(digest) < 0:  # BuildKit's cache index has blobs among its manifests
            target, is_linked = self._target(digest)
        size = self._size(target)
        if not is_linked or size < 0 or (size == 0 and target not in EMPTY_DIGESTS):
            if not self._rules.require_child(descriptor):
                return None
            state = "is empty" if is_linked and size == 0 else "is not there"
            return self._of_reference(
                Kind.MISSING_CHILD, manifest, descriptor, f"{state}; push it again", is_child=True
            )
        if size != descriptor.size:
            return self._of_reference(
                Kind.WRONG_SIZE, manifest, descriptor, _wrong_size(size, descriptor), is_child=True
            )
        return None

    def _of_reference(
        self, kind: Kind, manifest: Digest, descriptor: Descriptor, state: str, *, is_child: bool = False
    ) -> Finding:
        digest = Digest(descriptor.digest)
        look = self._child if is_child else self._blob
        return Finding(
            kind,
            layout.blob_data(digest),
            f"the {'manifest' if is_child else 'blob'} {digest} of the manifest {manifest} {state}",
            lost=self._lost(manifest),
            repository=self._name,
            digest=digest,
            recheck=lambda: look(manifest, descriptor),
        )

    def _target(self, digest: Digest) -> tuple[Digest, bool]:
        try:
            return resolve_link(self._objects, layout.layer_link(self._name, digest), digest), True
        except PathNotFound:
            return digest, False

    def _size(self, digest: Digest) -> int:
        """Return its bytes; -1 if no file is there."""
        with suppress(PathNotFound):
            stat = self._objects.stat(layout.blob_data(digest))
            return stat.size if stat.is_file else -1
        return -1


def _once(descriptors: Iterable[Descriptor]) -> Iterable[Descriptor]:
    """Return equal descriptors once: a manifest of 4 MiB may name a layer fifty thousand times."""
    found: dict[tuple[object, ...], Descriptor] = {}
    for each in descriptors:
        system = each.platform and (each.platform.os, each.platform.architecture)
        found[each.digest, each.size, each.distributable, system] = each
    return found.values()


def _wrong_size(size: int, descriptor: Descriptor) -> str:
    return f"has {size} bytes instead of {descriptor.size}"
