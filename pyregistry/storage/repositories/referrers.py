"""The referrers of a manifest: an index in addition to the CNCF layout; no decision depends on it.

An entry counts only while its manifest exists. `referrer_pages` lists them.
"""

from contextlib import suppress

import msgspec

from pyregistry.oci.digest import Digest
from pyregistry.oci.document import Descriptor
from pyregistry.oci.manifest import MAX_ANNOTATIONS_BYTES, Manifest
from pyregistry.oci.names import RepositoryName, Tag
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.layout import StoragePath
from pyregistry.storage.seams.objects import Objects, PathNotFound

HEAD_BYTES = 2048
"""Bytes of an entry in front of its annotations, at most: a digest, a media type, and MAX_ARTIFACT_TYPE_BYTES."""
_ANNOTATIONS = b',"annotations":'


class Referrers:
    """The index of one repository."""

    def __init__(self, objects: Objects, name: RepositoryName) -> None:
        self._objects = objects
        self._name = name

    def add(self, subject: Digest, digest: Digest, manifest: Manifest, size: int) -> None:
        """Note that the manifest `digest` has this subject."""
        path = layout.referrer(self._name, subject, digest)
        self._objects.write(path, msgspec.json.encode(describe(digest, manifest, size)))

    def remove(self, subject: Digest, digest: Digest) -> None:
        """Remove one referrer."""
        with suppress(PathNotFound):
            self._objects.delete(layout.referrer(self._name, subject, digest))


def fallback_tag(subject: Digest) -> Tag:
    """Return the tag under which clients without the referrers API list them ("Referrers Tag Schema").

    The algorithm is cut to 32 characters and the encoded part to 64.
    """
    return Tag(f"{subject.algorithm}-{subject.encoded[:64]}")


def describe(digest: Digest, manifest: Manifest, size: int) -> Descriptor:
    """Return the entry of a manifest, whose size is in bytes."""
    return Descriptor(
        media_type=manifest.media_type,
        digest=str(digest),
        size=size,
        artifact_type=manifest.artifact_type,
        annotations=manifest.annotations,
    )


def read_entry(objects: Objects, path: StoragePath, limit: int = HEAD_BYTES + MAX_ANNOTATIONS_BYTES) -> Descriptor:
    """Return an entry, without its annotations if it has more than `limit` bytes.

    Raises PathNotFound, msgspec.DecodeError and UnicodeDecodeError.
    """
    content = objects.read(path, limit + 1)
    if len(content) > limit:  # written before there was a limit; only its head is used
        content = content.partition(_ANNOTATIONS)[0] + b"}"
    return msgspec.json.decode(content, type=Descriptor)
