"""A repository: what the handlers see of the storage. Blocking, but for its uploads."""

import re
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from hashlib import blake2b

from pyregistry.oci.digest import CANONICAL, EMPTY_DIGESTS, Digest
from pyregistry.oci.errors import (
    BlobUnknown,
    BlobUploadUnknown,
    DigestInvalid,
    ManifestBlobUnknown,
    ManifestInvalid,
    ManifestTooLarge,
    ManifestUnknown,
    NameUnknown,
)
from pyregistry.oci.manifest import Descriptor, Manifest, StoredManifest, parse_manifest, read_manifest
from pyregistry.oci.names import RepositoryName, Tag, UploadId
from pyregistry.storage import layout
from pyregistry.storage.driver import Driver, PathNotFound, Source
from pyregistry.storage.hashing import RunningHashes
from pyregistry.storage.links import ensure_shape, link_blob, read_link, resolve_link, write_link
from pyregistry.storage.referrers import Referrers
from pyregistry.storage.uploads import Upload


@dataclass(frozen=True, slots=True)
class Rules:
    """What the storage accepts. Sizes in bytes."""

    max_manifest_size: int = 4 * 1024 * 1024
    max_blob_size: int = 100 * 1024**3
    require_blobs: bool = True
    """False: an image may refer to blobs that are not here (a sparse image)."""
    required_platforms: frozenset[tuple[str, str]] | None = None
    """Operating system and architecture of the manifests of an index that must be here; None: all of them must."""
    allowed_urls: tuple[re.Pattern[str], ...] = ()
    """What the `urls` of a layer must match one of, if there are any; searched for, not matched from the beginning."""
    denied_urls: tuple[re.Pattern[str], ...] = ()

    def accept_url(self, url: str) -> bool:
        """Whether a layer may be fetched from there."""
        if any(pattern.search(url) for pattern in self.denied_urls):
            return False
        return not self.allowed_urls or any(pattern.search(url) for pattern in self.allowed_urls)

    def require_child(self, child: Descriptor) -> bool:
        """Whether this manifest of an index must be here."""
        if self.required_platforms is None:
            return True
        platform = child.platform
        return platform is not None and (platform.os, platform.architecture) in self.required_platforms


@dataclass(frozen=True, slots=True)
class PushedManifest:
    """What a push stored."""

    digest: Digest
    subject: Digest | None


class Repository:
    """One repository of a registry; it exists as soon as something was pushed to it."""

    def __init__(self, driver: Driver, name: RepositoryName, rules: Rules, hashes: RunningHashes) -> None:
        self.name = name
        self._driver = driver
        self._rules = rules
        self._hashes = hashes
        self._referrers = Referrers(driver, name)

    # Blobs

    def blob(self, digest: Digest) -> Source:
        """How to send a blob; raises BlobUnknown.

        HEAD, GET, mount and manifest PUT all ask here, so that none of them can promise what another denies.
        """
        return self.find_blob(digest)[1]

    def find_blob(self, digest: Digest) -> tuple[Digest, Source]:
        """The digest under which the bytes of a blob are, and how to send them; raises BlobUnknown."""
        try:
            target = resolve_link(self._driver, layout.layer_link(self.name, digest), digest)
            source = self._driver.source(layout.blob_data(target))
        except PathNotFound as error:
            raise BlobUnknown({"digest": digest}) from error
        if source.size == 0 and target not in EMPTY_DIGESTS:  # what a crash of another server may leave
            raise BlobUnknown({"digest": digest})
        return target, source

    def mount_blob(self, digest: Digest, source: "Repository") -> None:
        """end-11: make a blob of `source` known here; raises BlobUnknown."""
        target, _ = source.find_blob(digest)
        link_blob(self._driver, self.name, digest, target)

    def unlink_blob(self, digest: Digest) -> None:
        """end-10: forget a blob here, and nowhere else; raises BlobUnknown. Garbage collection frees the bytes."""
        self.blob(digest)
        with suppress(PathNotFound):  # another request was quicker
            self._driver.delete(layout.layer(self.name, digest))

    def start_upload(self, algorithm: str = CANONICAL) -> Upload:
        """end-4: a new upload."""
        return Upload.start(self._driver, self._hashes, self.name, self._rules.max_blob_size, algorithm)

    def upload(self, upload_id: UploadId) -> Upload:
        """An upload of this repository, by its id; whether it exists shows at its first use."""
        return Upload(self._driver, self._hashes, self.name, upload_id, self._rules.max_blob_size)

    def uploads(self) -> Iterator[Upload]:
        """The open uploads."""
        for child in self._driver.children(layout.uploads(self.name)):
            with suppress(BlobUploadUnknown):  # not ours
                yield self.upload(UploadId(child))

    # Manifests and tags

    def manifest(self, reference: Tag | Digest) -> StoredManifest:
        """end-3; raises ManifestUnknown."""
        digest = reference if isinstance(reference, Digest) else self.tagged(reference)
        try:
            self._driver.stat(layout.revision_link(self.name, digest))
            content = self._driver.read(layout.blob_data(digest), self._rules.max_manifest_size + 1)
        except PathNotFound as error:
            raise ManifestUnknown({"reference": reference}) from error
        # A damaged manifest is absent rather than served: the next push of it heals it.
        if len(content) > self._rules.max_manifest_size or Digest.of(content, digest.algorithm) != digest:
            raise ManifestUnknown({"reference": reference})
        try:
            return StoredManifest(digest, read_manifest(content).media_type, content)
        except ManifestInvalid as error:  # a schema 1 image in a tree from another registry
            raise ManifestUnknown({"reference": reference}) from error

    def tagged(self, tag: Tag) -> Digest:
        """The digest that a tag names; raises ManifestUnknown, also for a torn link."""
        with suppress(PathNotFound):
            digest = read_link(self._driver, layout.tag_current_link(self.name, tag))
            if digest is not None:
                return digest
        raise ManifestUnknown({"reference": tag})

    def put_manifest(
        self, reference: Tag | Digest, content: bytes, content_type: str | None, tags: Sequence[Tag] = ()
    ) -> PushedManifest:
        """end-7: store a manifest and let the tags name it.

        Raises ManifestTooLarge, ManifestInvalid, ManifestTypeUnsupported, ManifestBlobUnknown, and DigestInvalid if
        `reference` is the digest of something else.
        """
        if len(content) > self._rules.max_manifest_size:
            raise ManifestTooLarge(f"a manifest has at most {self._rules.max_manifest_size} bytes here")
        digest = Digest.of(content, reference.algorithm if isinstance(reference, Digest) else CANONICAL)
        if isinstance(reference, Tag):
            tags = (reference, *tags)
        elif reference != digest:
            raise DigestInvalid("the manifest received has another digest")
        manifest = parse_manifest(content, content_type)
        with self._lock():
            self._check_references(manifest)
            self._store_manifest(digest, content, manifest, tags)
        return PushedManifest(digest, Digest(manifest.subject.digest) if manifest.subject else None)

    def _store_manifest(self, digest: Digest, content: bytes, manifest: Manifest, tags: Sequence[Tag]) -> None:
        # Content before link before tag: what a reader or a crash can see is always complete.
        self._driver.write(layout.blob_data(digest), content)
        ensure_shape(self._driver, self.name)
        if manifest.subject is not None:
            self._referrers.add(Digest(manifest.subject.digest), digest, manifest, len(content))
        write_link(self._driver, layout.revision_link(self.name, digest), digest)
        for tag in tags:
            write_link(self._driver, layout.tag_index_link(self.name, tag, digest), digest)
            write_link(self._driver, layout.tag_current_link(self.name, tag), digest)

    def delete_manifest(self, digest: Digest) -> None:
        """end-9: forget a manifest here, and the tags that name it; raises ManifestUnknown."""
        with self._lock():
            subject = self._subject_of(digest)
            for tag in self.tags():
                with suppress(ManifestUnknown):
                    if self.tagged(tag) == digest:
                        self._delete(layout.tag(self.name, tag))
            self._delete(layout.revision(self.name, digest))
            if subject is not None:
                self._referrers.remove(subject, digest)

    def _subject_of(self, digest: Digest) -> Digest | None:
        # A manifest whose content is damaged or foreign can be deleted all the same.
        try:
            self._driver.stat(layout.revision_link(self.name, digest))
        except PathNotFound as error:
            raise ManifestUnknown({"reference": digest}) from error
        with suppress(ManifestUnknown, DigestInvalid):
            subject = read_manifest(self.manifest(digest).content).subject
            return Digest(subject.digest) if subject is not None else None
        return None

    def delete_tag(self, tag: Tag) -> None:
        """end-9: forget a tag, and nothing else; raises ManifestUnknown."""
        with self._lock():
            self.tagged(tag)
            self._delete(layout.tag(self.name, tag))

    def tags(self, after: str | None = None) -> Iterator[Tag]:
        """end-8: the tags behind `after`, in byte order; nothing for a repository that does not exist."""
        for child in self._driver.children(layout.tags(self.name), after):
            with suppress(ManifestInvalid, ManifestUnknown):  # not ours, or left by a deletion that was cut off
                tag = Tag(child)
                self.tagged(tag)
                yield tag

    def referrers(self, subject: Digest) -> list[Descriptor]:
        """end-12: descriptors of the manifests here that have this subject, in the order of their digests."""
        return self._referrers.of(subject, self.manifest)

    def exists(self) -> bool:
        """True if it has a manifest or a tag, or had one: the same question as the CNCF registry's."""
        try:
            self._driver.stat(layout.manifests(self.name))
        except PathNotFound:
            return False
        return True

    def require(self) -> None:
        """Raise NameUnknown unless the repository exists."""
        if not self.exists():
            raise NameUnknown({"name": self.name})

    def is_empty(self) -> bool:
        """True if it has neither a tag nor a manifest: such a repository is not in the catalog."""
        if next(self._driver.children(layout.tags(self.name)), None) is not None:
            return False
        revisions = layout.revisions(self.name)
        for algorithm in self._driver.children(revisions):
            directory = layout.child(revisions, algorithm)
            for encoded in self._driver.children(directory):
                with suppress(PathNotFound):  # the CNCF registry leaves the directory of a deleted manifest
                    self._driver.stat(layout.child(layout.child(directory, encoded), layout.LINK))
                    return False
        return True

    def _check_references(self, manifest: Manifest) -> None:
        rules = self._rules
        for url in (url for blob in manifest.blobs for url in blob.urls or ()):
            if not rules.accept_url(url):
                raise ManifestInvalid(f"layers from this place are not accepted here: {url}")
        missing = []
        if rules.require_blobs:
            missing += [blob for blob in manifest.blobs if blob.distributable and not self._has_blob(blob)]
        missing += [child for child in manifest.children if rules.require_child(child) and not self._has_child(child)]
        if missing:
            raise ManifestBlobUnknown(*(descriptor.digest for descriptor in missing))

    def _has_blob(self, descriptor: Descriptor) -> bool:
        try:
            size = self.blob(Digest(descriptor.digest)).size
        except BlobUnknown:
            return False
        if size != descriptor.size:
            raise ManifestInvalid(f"{descriptor.digest} has {size} bytes, the manifest says {descriptor.size}")
        return True

    def _has_child(self, descriptor: Descriptor) -> bool:
        """BuildKit's cache index has blobs among its manifests, so either will do."""
        digest = Digest(descriptor.digest)
        with suppress(PathNotFound):
            self._driver.stat(layout.revision_link(self.name, digest))
            self._driver.stat(layout.blob_data(digest))
            return True
        return self._has_blob(descriptor)

    def _delete(self, path: layout.StoragePath) -> None:
        with suppress(PathNotFound):  # an operator's `rm` was quicker
            self._driver.delete(path)

    def _lock(self) -> AbstractContextManager[None]:
        """One change of tags and manifests at a time: a delete by digest must not take a tag that just moved on."""
        stripe = blake2b(self.name.encode(), digest_size=1).hexdigest()
        return self._driver.lock(f"repo-{stripe}", exclusive=True)
