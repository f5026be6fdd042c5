"""The images by repository and tag."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import msgspec

from pyregistry.gc.references import parse
from pyregistry.oci import media_types
from pyregistry.oci.digest import Digest
from pyregistry.oci.errors import ManifestInvalid, ManifestUnknown
from pyregistry.oci.manifest import Descriptor, Manifest, StoredManifest, read_manifest
from pyregistry.oci.names import RepositoryName, Tag
from pyregistry.storage import layout
from pyregistry.storage.driver import Driver, PathNotFound
from pyregistry.storage.repository import Repository

_MAX_CONFIG = 8 * 1024 * 1024
"""Bytes of a config that is read for its platform."""


class _Platform(msgspec.Struct):
    os: str = ""
    architecture: str = ""
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


class _Child(msgspec.Struct):
    platform: _Platform | None = None


class _Index(msgspec.Struct):
    manifests: list[_Child] = []


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


def tagged_images(driver: Driver, repository: Repository) -> Iterator[TaggedImage]:
    """All tags of a repository in byte order. Blocks."""
    for entry in driver.children(layout.tags(repository.name)):
        with suppress(ManifestInvalid, PathNotFound):  # no tag, or just deleted
            yield _image(driver, repository, Tag(entry))


def _image(driver: Driver, repository: Repository, tag: Tag) -> TaggedImage:
    # No lease is ever set on a tag's link, so its time is that of the push.
    pushed_at = driver.stat(layout.tag_current_link(repository.name, tag)).mtime_ns // 10**9
    digest: Digest | None = None
    media_type = ""
    platforms: tuple[str, ...] = ()
    blobs: dict[str, int] = {}
    with suppress(ManifestUnknown):
        digest = repository.tagged(tag)
        stored = repository.manifest(digest)
        media_type = stored.media_type
        manifest = _collect(repository, stored, blobs)
        platforms = _platforms(driver, manifest, stored.content)
    return TaggedImage(repository.name, tag, digest, media_type, platforms, sum(blobs.values()), pushed_at, blobs)


def _collect(repository: Repository, stored: StoredManifest, blobs: dict[str, int]) -> Manifest:
    """Into `blobs`: a manifest with all below it; returns what it says."""
    manifest = read_manifest(stored.content)
    unread = _add(stored, manifest, blobs)
    looked_at = {stored.digest}
    while unread:
        digest = unread.pop()
        if digest in looked_at:  # an index may name it any number of times
            continue
        looked_at.add(digest)
        with suppress(ManifestUnknown):  # of a sparse index, or the blob that BuildKit's cache has in its place
            child = repository.manifest(digest)
            unread += _add(child, read_manifest(child.content), blobs)
    return manifest


def _add(stored: StoredManifest, manifest: Manifest, blobs: dict[str, int]) -> list[Digest]:
    """Into `blobs`: a manifest and its blobs; returns its children."""
    blobs[stored.digest] = len(stored.content)
    for blob in manifest.blobs:
        blobs.setdefault(blob.digest, blob.size)
    return list(_children(manifest.children))


def _children(descriptors: tuple[Descriptor, ...]) -> Iterator[Digest]:
    for descriptor in descriptors:
        digest = parse(descriptor.digest)
        if digest is not None and descriptor.media_type in media_types.SUPPORTED:
            yield digest


def _platforms(driver: Driver, manifest: Manifest, content: bytes) -> tuple[str, ...]:
    """Of an index what it says, of an image what its config says."""
    # The third: any pusher may nest a config as deep as they like.
    with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError, PathNotFound):
        if manifest.is_index:
            children = msgspec.json.decode(content, type=_Index).manifests
            named = (str(child.platform) for child in children if child.platform is not None)
            return tuple(dict.fromkeys(name for name in named if name and not name.startswith("unknown/")))
        config = parse(manifest.blobs[0].digest) if manifest.blobs else None
        if config is not None:
            data = driver.read(layout.blob_data(config), _MAX_CONFIG)
            name = str(msgspec.json.decode(data, type=_Platform))
            return (name,) if name else ()
    return ()
