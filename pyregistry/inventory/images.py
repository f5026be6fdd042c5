"""The images by repository and tag."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import msgspec

from pyregistry.gc.references import parse
from pyregistry.oci.digest import Digest
from pyregistry.oci.document import Descriptor, Platform
from pyregistry.oci.errors import BlobUnknown, ManifestInvalid, ManifestUnknown
from pyregistry.oci.manifest import Manifest, StoredManifest, read_manifest
from pyregistry.oci.names import RepositoryName, Tag
from pyregistry.storage.repositories.repository import Repository
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.objects import Objects, PathNotFound

_MAX_CONFIG = 8 * 1024 * 1024
"""Bytes of a config that is read for its platform."""


@dataclass(frozen=True, slots=True)
class TaggedImage:
    """What a tag names."""

    repository: RepositoryName
    tag: Tag
    digest: Digest | None
    """None for a tag whose link is torn."""
    media_type: str
    """Empty if the manifest is not there, or damaged."""
    platforms: tuple[str, ...]
    size: int
    """Of all that a pull of every platform brings, in bytes."""
    pushed_at: int
    """When the tag was set to it, in seconds since the epoch."""
    blobs: dict[str, int]
    """The digests and sizes of all that it consists of."""


def tagged_images(driver: Objects, repository: Repository) -> Iterator[TaggedImage]:
    """All tags of a repository in byte order. Blocks."""
    sizes: dict[str, int] = {}
    for entry in driver.children(layout.tags(repository.name)):
        with suppress(ManifestInvalid, PathNotFound):  # no tag, or just deleted
            yield _image(driver, repository, Tag(entry), sizes)


def _image(driver: Objects, repository: Repository, tag: Tag, sizes: dict[str, int]) -> TaggedImage:
    # No lease is ever set on a tag's link, so its time is that of the push.
    pushed_at = driver.stat(layout.tag_current_link(repository.name, tag)).modified_ns // 10**9
    digest: Digest | None = None
    media_type = ""
    platforms: tuple[str, ...] = ()
    blobs: dict[str, int] = {}
    with suppress(ManifestUnknown):
        digest = repository.tagged(tag)
        stored = repository.manifest(digest)
        media_type = stored.media_type
        manifest = _Collecting(repository, sizes, blobs).collect(stored)
        platforms = _platforms(driver, manifest)
    return TaggedImage(repository.name, tag, digest, media_type, platforms, sum(blobs.values()), pushed_at, blobs)


class _Collecting:
    """Into `blobs`: a manifest with all below it. `sizes` are those of the repository's blobs that were looked at."""

    def __init__(self, repository: Repository, sizes: dict[str, int], blobs: dict[str, int]) -> None:
        self._repository = repository
        self._sizes = sizes
        self._blobs = blobs

    def collect(self, stored: StoredManifest) -> Manifest:
        """Add it; return what it says."""
        manifest = read_manifest(stored.content)
        unread = self._add(stored, manifest)
        looked_at = {stored.digest}
        while unread:
            descriptor = unread.pop()
            digest = parse(descriptor.digest)
            if digest is None or digest in looked_at:  # an index may name it any number of times
                continue
            looked_at.add(digest)
            try:
                child = self._repository.manifest(digest)
            except ManifestUnknown:  # of a sparse index, or the blob that BuildKit's cache has in its place
                if not descriptor.may_be_manifest:
                    self._add_blob(descriptor)
                continue
            unread += self._add(child, read_manifest(child.content))
        return manifest

    def _add(self, stored: StoredManifest, manifest: Manifest) -> list[Descriptor]:
        """A manifest and its blobs; returns its children."""
        self._blobs[stored.digest] = len(stored.content)
        for blob in manifest.blobs:
            self._add_blob(blob)
        return list(manifest.children)

    def _add_blob(self, descriptor: Descriptor) -> None:
        if descriptor.digest in self._blobs:
            return
        size = self._sizes.get(descriptor.digest)
        if size is None:
            size = self._sizes[descriptor.digest] = self._size(descriptor)
        self._blobs[descriptor.digest] = size

    def _size(self, descriptor: Descriptor) -> int:
        """Of the bytes that are here, whatever the manifest says; of a blob that is elsewhere, what it says."""
        digest = parse(descriptor.digest)
        if digest is not None:
            with suppress(BlobUnknown):
                return self._repository.blob(digest).size
        return max(descriptor.size, 0)


def _name(platform: Platform) -> str:
    parts = (platform.os, platform.architecture, platform.variant)
    return "/".join(part for part in parts if part and isinstance(part, str))


def _platforms(driver: Objects, manifest: Manifest) -> tuple[str, ...]:
    """Of an index what it says, of an image what its config says."""
    # The third: any pusher may nest a config as deep as they like.
    with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError, PathNotFound):
        if manifest.is_index:
            named = (_name(child.platform) for child in manifest.children if child.platform is not None)
            return tuple(dict.fromkeys(name for name in named if name and not name.startswith("unknown/")))
        config = parse(manifest.blobs[0].digest) if manifest.blobs else None
        if config is not None:
            data = driver.read(layout.blob_data(config), _MAX_CONFIG)
            name = _name(msgspec.json.decode(data, type=Platform))
            return (name,) if name else ()
    return ()
