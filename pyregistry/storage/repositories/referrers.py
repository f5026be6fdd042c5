"""The referrers of a manifest: an index of its own beside the CNCF layout, and never needed to decide anything.

An entry counts only while the manifest that it describes is there. `referrer_pages` lists them.
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

HEAD = 2048
"""Bytes of an entry in front of its annotations, at most: a digest, a media type, and MAX_ARTIFACT_TYPE_BYTES."""
_ANNOTATIONS = b',"annotations":'


class Referrers:
    """The index of one repository."""

    def __init__(self, driver: Objects, name: RepositoryName) -> None:
        self._driver = driver
        self._name = name

    def add(self, subject: Digest, digest: Digest, manifest: Manifest, size: int) -> None:
        """Note that the manifest `digest` has this subject."""
        path = layout.referrer(self._name, subject, digest)
        self._driver.write(path, msgspec.json.encode(describe(digest, manifest, size)))

    def remove(self, subject: Digest, digest: Digest) -> None:
        """Forget one referrer."""
        with suppress(PathNotFound):
            self._driver.delete(layout.referrer(self._name, subject, digest))


def fallback_tag(subject: Digest) -> Tag:
    """Return the tag under which clients list referrers where they find no API for it ("Referrers Tag Schema").

    The algorithm is cut to 32 characters and the encoded part to 64.
    """
    return Tag(f"{subject.algorithm}-{subject.encoded[:64]}")


def describe(digest: Digest, manifest: Manifest, size: int) -> Descriptor:
    """The entry of a manifest, whose size is in bytes."""
    return Descriptor(
        media_type=manifest.media_type,
        digest=str(digest),
        size=size,
        artifact_type=manifest.artifact_type,
        annotations=manifest.annotations,
    )


def read_entry(driver: Objects, path: StoragePath, limit: int = HEAD + MAX_ANNOTATIONS_BYTES) -> Descriptor:
    """Return an entry, without its annotations if it has more than `limit` bytes.

    Raises PathNotFound, msgspec.DecodeError and UnicodeDecodeError.
    """
    content = driver.read(path, limit + 1)
    if len(content) > limit:  # written before there was a bound; its head is all that is read of it
        content = content.partition(_ANNOTATIONS)[0] + b"}"
    return msgspec.json.decode(content, type=Descriptor)
