"""The referrers of a manifest: an index of its own beside the CNCF layout, and never needed to decide anything.

An entry counts only while the manifest that it describes is there. Clients that did not find a referrers API kept a
list of their own under a tag (the "referrers tag schema"); the spec wants what is listed there to be included.
"""

from collections.abc import Callable
from contextlib import suppress

import msgspec

from pyregistry.oci.digest import Digest
from pyregistry.oci.errors import DigestInvalid, ManifestInvalid, ManifestUnknown
from pyregistry.oci.manifest import Descriptor, Manifest, StoredManifest, read_manifest
from pyregistry.oci.names import RepositoryName, Tag
from pyregistry.storage import layout
from pyregistry.storage.driver import Driver, PathNotFound

_TORN = (msgspec.DecodeError, UnicodeDecodeError)

Lookup = Callable[[Tag | Digest], StoredManifest]
"""Repository.manifest."""


class Referrers:
    """The index of one repository."""

    def __init__(self, driver: Driver, name: RepositoryName) -> None:
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

    def of(self, subject: Digest, lookup: Lookup) -> list[Descriptor]:
        """All that the index and the fallback tag name, in the order of their digests."""
        found = {descriptor.digest: descriptor for descriptor in self._indexed(subject)}
        for digest in self._listed_by_clients(subject, lookup):
            if digest not in found:
                found |= self._check_listed(subject, digest, lookup)
        return [found[digest] for digest in sorted(found)]

    def _indexed(self, subject: Digest) -> list[Descriptor]:
        descriptors = []
        directory = layout.referrers(self._name, subject)
        for algorithm in self._driver.children(directory):
            for encoded in self._driver.children(layout.child(directory, algorithm)):
                with suppress(PathNotFound, DigestInvalid, *_TORN):  # the first: removed meanwhile
                    digest = Digest(f"{algorithm}:{encoded}")
                    self._driver.stat(layout.revision_link(self._name, digest))
                    data = self._driver.read(layout.referrer(self._name, subject, digest))
                    descriptors.append(msgspec.json.decode(data, type=Descriptor))
        return descriptors

    def _listed_by_clients(self, subject: Digest, lookup: Lookup) -> list[str]:
        # The algorithm is cut to 32 characters and the encoded part to 64: "Referrers Tag Schema".
        with suppress(ManifestUnknown, ManifestInvalid):
            listed = read_manifest(lookup(Tag(f"{subject.algorithm}-{subject.encoded[:64]}")).content)
            return [descriptor.digest for descriptor in listed.children]
        return []

    def _check_listed(self, subject: Digest, digest: str, lookup: Lookup) -> dict[str, Descriptor]:
        with suppress(ManifestUnknown, ManifestInvalid, DigestInvalid):
            stored = lookup(Digest(digest))
            manifest = read_manifest(stored.content)
            if manifest.subject is not None and manifest.subject.digest == subject:
                return {digest: describe(stored.digest, manifest, len(stored.content))}
        return {}


def describe(digest: Digest, manifest: Manifest, size: int) -> Descriptor:
    """The entry of a manifest, whose size is in bytes."""
    return Descriptor(
        media_type=manifest.media_type,
        digest=str(digest),
        size=size,
        artifact_type=manifest.artifact_type,
        annotations=manifest.annotations,
    )
