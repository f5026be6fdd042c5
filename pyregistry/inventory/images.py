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

_MAX_CONFIG_BYTES = 8 * 1024 * 1024
"""Most bytes of a config that is read for its platform."""


@dataclass(frozen=True, slots=True)
class TaggedImage:
    """The image that a tag names."""

    repository: RepositoryName
    tag: Tag
    digest: Digest | None
    """None for a tag whose link is torn."""
    media_type: str
    """Empty if the manifest is missing or damaged."""
    platforms: tuple[str, ...]
    size: int
    """Size of a pull of all platforms, in bytes."""
    pushed_at: int
    """Time at which the tag was set to it, in seconds since the epoch."""
    blobs: dict[str, int]
    """Digests and sizes of all its blobs and manifests."""


def tagged_images(objects: Objects, repository: Repository) -> Iterator[TaggedImage]:
    """Yield all tags of a repository in byte order. Blocks."""
    sizes: dict[str, int] = {}
    for entry in objects.children(layout.tags(repository.name)):
        with suppress(ManifestInvalid, PathNotFound):  # not a tag, or just deleted
            yield _image(objects, repository, Tag(entry), sizes)


def _image(objects: Objects, repository: Repository, tag: Tag, sizes: dict[str, int]) -> TaggedImage:
    # A tag's link never gets a lease, so its time is that of the push.
    pushed_at = objects.stat(layout.tag_current_link(repository.name, tag)).modified_ns // 10**9
    digest: Digest | None = None
    media_type = ""
    platforms: tuple[str, ...] = ()
    blobs: dict[str, int] = {}
    with suppress(ManifestUnknown):
        digest = repository.tagged(tag)
        stored = repository.manifest(digest)
        media_type = stored.media_type
        manifest = _Collecting(repository, sizes, blobs).collect(stored)
        platforms = _platforms(objects, manifest)
    return TaggedImage(repository.name, tag, digest, media_type, platforms, sum(blobs.values()), pushed_at, blobs)


class _Collecting:
    """Collects a manifest with all below it in `blobs`. `sizes` caches those of the repository's blobs."""

    def __init__(self, repository: Repository, sizes: dict[str, int], blobs: dict[str, int]) -> None:
        self._repository = repository
        self._sizes = sizes
        self._blobs = blobs

    def collect(self, stored: StoredManifest) -> Manifest:
        """Add it with all below it; return the parsed manifest."""
        manifest = read_manifest(stored.content)
        unread = self._add(stored, manifest)
        seen = {stored.digest}
        while unread:
            descriptor = unread.pop()
            digest = parse(descriptor.digest)
            if digest is None or digest in seen:  # an index may name it several times
                continue
            seen.add(digest)
            try:
                child = self._repository.manifest(digest)
            except ManifestUnknown:  # a sparse index, or a blob that BuildKit's cache lists among its manifests
                if not descriptor.may_be_manifest:
                    self._add_blob(descriptor)
                continue
            unread += self._add(child, read_manifest(child.content))
        return manifest

    def _add(self, stored: StoredManifest, manifest: Manifest) -> list[Descriptor]:
        """Add a manifest and its blobs; return its children."""
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
        """Return the size of the stored bytes; for a blob that is elsewhere, the size in the descriptor."""
        digest = parse(descriptor.digest)
        if digest is not None:
            with suppress(BlobUnknown):
                return self._repository.blob(digest).size
        return max(descriptor.size, 0)


def _name(platform: Platform) -> str:
    parts = (platform.os, platform.architecture, platform.variant)
    return "/".join(part for part in parts if part and isinstance(part, str))


def _platforms(objects: Objects, manifest: Manifest) -> tuple[str, ...]:
    """Return the platforms that an index lists, or the one in an image's config."""
    # RecursionError: a pusher may nest a config to any depth.
    with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError, PathNotFound):
        if manifest.is_index:
            named = (_name(child.platform) for child in manifest.children if child.platform is not None)
            return tuple(dict.fromkeys(name for name in named if name and not name.startswith("unknown/")))
        config = parse(manifest.blobs[0].digest) if manifest.blobs else None
        if config is not None:
            data = objects.read(layout.blob_data(config), _MAX_CONFIG_BYTES)
            name = _name(msgspec.json.decode(data, type=Platform))
            return (name,) if name else ()
    return ()
