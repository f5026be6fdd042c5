"""A repository: the storage as the handlers see it. Blocking, except for its uploads."""

import errno
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass

from pyregistry.oci.digest import CANONICAL, Digest
from pyregistry.oci.errors import (
    BlobUnknown,
    DigestInvalid,
    ManifestInvalid,
    ManifestTooLarge,
    ManifestUnknown,
    NameUnknown,
)
from pyregistry.oci.manifest import MAX_DOCUMENT_BYTES, StoredManifest, parse_manifest, read_manifest
from pyregistry.oci.names import RepositoryName, Tag, UploadId
from pyregistry.storage.repositories.committing import CheckedManifest, ManifestCommit
from pyregistry.storage.repositories.referrer_pages import Page, ReferrerCache, ReferrerPages, Wanted
from pyregistry.storage.repositories.referrers import Referrers
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.coordinator import Coordinator, Section, Unit, renewed_after
from pyregistry.storage.seams.links import exists, find_bytes, read_link, stat_file
from pyregistry.storage.seams.objects import Objects, PathNotFound, Source
from pyregistry.storage.seams.rules import Rules
from pyregistry.storage.seams.uploads import Upload, Uploads
from pyregistry.storage.uploads.batches import require_space

_LARGE_BYTES = 256 * 1024
_LARGE_AT_ONCE = threading.BoundedSemaphore(2)
"""Limit for concurrent parsing of larger documents: each takes several times its size in memory."""


@dataclass(frozen=True, slots=True)
class PushedManifest:
    """The result of a manifest push."""

    digest: Digest
    subject: Digest | None
    media_type: str
    tags: tuple[Tag, ...]
    previous: Mapping[str, Digest]
    """Digests that the tags named before, without those of new tags; empty unless requested."""


class Repository:
    """One repository of a registry; the first push creates it."""

    def __init__(  # noqa: PLR0913, PLR0917 - one for each seam
        self,
        objects: Objects,
        name: RepositoryName,
        rules: Rules,
        uploads: Uploads,
        memory: ReferrerCache,
        coordinator: Coordinator,
    ) -> None:
        self.name = name
        self._objects = objects
        self._coordinator = coordinator
        self._rules = rules
        self._uploads = uploads
        self._memory = memory
        self._referrers = Referrers(objects, name)

    # Blobs

    def blob(self, digest: Digest) -> Source:
        """Return the source of a blob (end-2); raises BlobUnknown.

        HEAD, GET, mount and manifest PUT all use this, so that they agree on which blobs exist.
        """
        return self.find_blob(digest)[1]

    def blob_with_lease(self, digest: Digest) -> Source:
        """Do as `blob` for a HEAD, and renew the lease so that a push can still use the blob."""
        source = self.blob(digest)
        try:
            self._renew(Unit(self.name, digest))
        except PathNotFound as error:
            raise BlobUnknown({"digest": digest}) from error
        return source

    def find_blob(self, digest: Digest) -> tuple[Digest, Source]:
        """Return the digest that stores the bytes of a blob, and their source; raises BlobUnknown."""
        try:
            return find_bytes(self._objects, layout.layer_link(self.name, digest), digest, self._objects.source)
        except PathNotFound as error:
            raise BlobUnknown({"digest": digest}) from error

    def mount_blob(self, digest: Digest, source: "Repository") -> int:
        """Link a blob of `source` in this repository (end-11), and return its size; raises BlobUnknown."""
        there = Unit(source.name, digest)

        def mount(section: Section) -> int:
            found = source.blob(digest)
            if section.claim([there]):
                raise BlobUnknown({"digest": digest})
            section.link(Unit(self.name, digest), there)
            return found.size

        return self._coordinator.run(mount)

    def unlink_blob(self, digest: Digest) -> int:
        """Unlink a blob from this repository only (end-10), and return its size; raises BlobUnknown.

        Garbage collection frees the bytes.
        """

        def unlink() -> int:
            found = self.blob(digest)
            self._delete(layout.layer(self.name, digest))
            return found.size

        return self._coordinator.change(self.name, unlink)

    def start_upload(self, algorithm: str = CANONICAL, owner: str | None = None, size: int = 1) -> Upload:
        """Begin an upload (end-4), owned by that user if there is one; `size` bytes are announced.

        Raises StorageFull.
        """
        return self._uploads.begin(self.name, UploadId(str(uuid.uuid4())), algorithm, owner, size)

    def upload(self, upload_id: UploadId) -> Upload:
        """Return an upload of this repository by its id; its first use shows whether it exists."""
        return self._uploads.open(self.name, upload_id)

    def uploads(self) -> Iterator[Upload]:
        """Yield the open uploads."""
        return self._uploads.list(self.name)

    # Manifests and tags

    def manifest(self, reference: Tag | Digest) -> StoredManifest:
        """Return a manifest (end-3); raises ManifestUnknown."""
        digest = reference if isinstance(reference, Digest) else self.tagged(reference)
        try:
            stat_file(self._objects, layout.revision_link(self.name, digest))
            content = self._objects.read(layout.blob_data(digest), MAX_DOCUMENT_BYTES + 1)
        except PathNotFound as error:
            raise ManifestUnknown({"reference": reference}) from error
        # A damaged manifest counts as missing: the next push repairs it.
        if len(content) > MAX_DOCUMENT_BYTES or Digest.of(content, digest.algorithm) != digest:
            raise ManifestUnknown({"reference": reference})
        try:
            with _LARGE_AT_ONCE if len(content) > _LARGE_BYTES else nullcontext():
                return StoredManifest(digest, read_manifest(content).media_type, content)
        except ManifestInvalid as error:  # a schema 1 image in a tree from another registry
            raise ManifestUnknown({"reference": reference}) from error

    def manifest_with_lease(self, digest: Digest) -> StoredManifest:
        """Do as `manifest` for a HEAD by digest, and renew the lease so that a push can still use it."""
        stored = self.manifest(digest)
        try:
            self._renew(Unit(self.name, digest, is_manifest=True))
        except PathNotFound as error:
            raise ManifestUnknown({"reference": digest}) from error
        return stored

    def tagged(self, tag: Tag) -> Digest:
        """Return the digest that a tag names; raises ManifestUnknown, also for a torn link."""
        with suppress(PathNotFound):
            digest = read_link(self._objects, layout.tag_current_link(self.name, tag))
            if digest is not None:
                return digest
        raise ManifestUnknown({"reference": tag})

    def put_manifest(
        self,
        reference: Tag | Digest,
        content: bytes,
        content_type: str | None,
        tags: Sequence[Tag] = (),
        note_previous: bool = False,
    ) -> PushedManifest:
        """Store a manifest (end-7) and point the tags to it.

        Raises ManifestTooLarge, ManifestInvalid, ManifestTypeUnsupported, ManifestBlobUnknown, StorageFull, and
        DigestInvalid if `reference` is another digest.
        """
        return self.put_checked(self.check_manifest(reference, content, content_type), tags, note_previous)

    def check_manifest(self, reference: Tag | Digest, content: bytes, content_type: str | None) -> CheckedManifest:
        """Do the part of a push without storage, which is CPU work; raise as `put_manifest` does."""
        if len(content) > self._rules.max_manifest_size:
            raise ManifestTooLarge(f"a manifest has at most {self._rules.max_manifest_size} bytes here")
        digest = Digest.of(content, reference.algorithm if isinstance(reference, Digest) else CANONICAL)
        if isinstance(reference, Digest) and reference != digest:
            raise DigestInvalid("the manifest received has another digest")
        manifest = parse_manifest(content, content_type)
        self._rules.check_urls(manifest)
        return CheckedManifest(reference, digest, content, manifest)

    def put_checked(
        self, checked: CheckedManifest, tags: Sequence[Tag] = (), note_previous: bool = False
    ) -> PushedManifest:
        """Do the rest of a push; raise ManifestInvalid, ManifestBlobUnknown and StorageFull.

        With `note_previous` read what each tag named before.
        """
        digest, content, manifest = checked.digest, checked.content, checked.manifest
        if isinstance(checked.reference, Tag):
            tags = (checked.reference, *tags)
        require_space(self._objects, layout.repository(self.name), len(content))

        def commit(section: Section) -> dict[str, Digest]:
            steps = ManifestCommit(section, self._objects, self.name, self._rules, checked)
            steps.check_references()
            previous = self._named_by(tags) if note_previous else {}
            steps.store(tags)
            steps.end_leases(tagged=bool(tags))
            return previous

        previous = self._coordinator.run(commit, changing=self.name)
        subject = Digest(manifest.subject.digest) if manifest.subject else None
        return PushedManifest(digest, subject, manifest.media_type, tuple(dict.fromkeys(tags)), previous)

    def _named_by(self, tags: Sequence[Tag]) -> dict[str, Digest]:
        found: dict[str, Digest] = {}
        for tag in tags:
            with suppress(ManifestUnknown):
                found[tag] = self.tagged(tag)
        return found

    def delete_manifest(self, digest: Digest) -> tuple[Tag, ...]:
        """Remove a manifest and the tags that name it (end-9), and return these; raises ManifestUnknown."""
        deleted: dict[Tag, None] = {}

        def remove_tags() -> None:
            for tag, named in self._tagged():
                if named == digest:
                    self._delete(layout.tag(self.name, tag))
                    deleted[tag] = None

        def remove() -> None:
            subject = self._subject_of(digest)
            remove_tags()
            self._delete(layout.revision(self.name, digest))
            if subject is not None:
                self._referrers.remove(subject, digest)

        self._coordinator.change(self.name, remove, look_back=remove_tags)
        return tuple(deleted)

    def _subject_of(self, digest: Digest) -> Digest | None:
        # A manifest with damaged or foreign content can be deleted as well.
        try:
            self._objects.stat(layout.revision_link(self.name, digest))
        except PathNotFound as error:
            raise ManifestUnknown({"reference": digest}) from error
        with suppress(ManifestUnknown, DigestInvalid):
            subject = read_manifest(self.manifest(digest).content).subject
            return Digest(subject.digest) if subject is not None else None
        return None

    def delete_tag(self, tag: Tag) -> Digest:
        """Remove a tag only (end-9), and return the digest that it named; raises ManifestUnknown."""

        def remove() -> Digest:
            named = self.tagged(tag)
            self._delete(layout.tag(self.name, tag))
            return named

        return self._coordinator.change(self.name, remove)

    def tags(self, after: str | None = None) -> Iterator[Tag]:
        """Yield the tags after `after` in byte order (end-8); nothing if the repository does not exist."""
        return (tag for tag, _ in self._tagged(after))

    def _tagged(self, after: str | None = None) -> Iterator[tuple[Tag, Digest]]:
        for child in self._objects.children(layout.tags(self.name), after):
            with suppress(ManifestInvalid, ManifestUnknown):  # not ours, or left by an interrupted deletion
                tag = Tag(child)
                yield tag, self.tagged(tag)

    def referrers(self, subject: Digest, wanted: Wanted) -> Page:
        """Return descriptors of the manifests with this subject (end-12), in the order of their digests."""
        return ReferrerPages(self._objects, self.name, self, self._memory).page(subject, wanted)

    def exists(self) -> bool:
        """Return True if it has, or had, a manifest or a tag, as in the CNCF registry."""
        return exists(self._objects, layout.manifests(self.name))

    def require(self) -> None:
        """Raise NameUnknown unless the repository exists."""
        if not self.exists():
            raise NameUnknown({"name": self.name})

    def is_empty(self) -> bool:
        """Return True if it has neither a tag nor a manifest: such a repository is not in the catalog."""
        if next(self._objects.children(layout.tags(self.name)), None) is not None:
            return False
        revisions = layout.revisions(self.name)
        for algorithm in self._objects.children(revisions):
            directory = layout.child(revisions, algorithm)
            for encoded in self._objects.children(directory):
                with suppress(PathNotFound):  # the CNCF registry leaves the directory of a deleted manifest
                    self._objects.stat(layout.child(layout.child(directory, encoded), layout.LINK))
                    return False
        return True

    def _renew(self, unit: Unit) -> None:
        """Renew the lease of a blob or manifest; raises PathNotFound."""
        # Only the lease decides, never the time of the data: a blob that a manifest used a minute ago is young, but
        # its lease has ended.
        if self._coordinator.is_leased(unit, renewed_after(self._rules.grace)):
            return

        def renew(section: Section) -> None:
            if section.claim([unit]):
                raise PathNotFound(unit.link)
            section.renew(unit)

        try:
            self._coordinator.run(renew)
        except OSError as error:
            # A read-only registry can be pulled from. Safety does not depend on this lease, so the request succeeds.
            if error.errno not in (errno.EPERM, errno.EACCES, errno.EROFS, errno.ENOSPC, errno.EDQUOT):
                raise

    def _delete(self, path: layout.StoragePath) -> None:
        with suppress(PathNotFound):  # an operator's `rm` was quicker
            self._objects.delete(path)
