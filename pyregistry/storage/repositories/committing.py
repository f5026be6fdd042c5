"""A manifest PUT after parsing: one section that checks all references of the manifest, and publishes it.

The proof of the garbage collection rests on the order of the steps (docs/gc.md): stat and touch, content, link, tag,
and the end of the leases last. A writer that is killed in between leaves leases, which expire. If they ended earlier,
it would leave blobs that another push relies on with neither a lease nor a manifest.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from pyregistry.oci.digest import Digest
from pyregistry.oci.errors import DigestInvalid, ManifestBlobUnknown, ManifestInvalid
from pyregistry.oci.manifest import MAX_DOCUMENT_BYTES, Manifest, read_manifest
from pyregistry.oci.names import RepositoryName, Tag
from pyregistry.storage.repositories.referrers import Referrers
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.coordinator import Section, Unit
from pyregistry.storage.seams.links import stat_file
from pyregistry.storage.seams.objects import Objects, PathNotFound
from pyregistry.storage.seams.rules import Rules

MAX_ENDED = 2_000
"""Most blobs and manifests below the children of an index whose leases are ended."""
_MAX_READ_BYTES = 8 * 1024 * 1024
"""Most bytes of manifests that are read to find them. Leases beyond these bounds expire by themselves. The section must
stay short, because a collector, and with it every writer, waits for its end."""


@dataclass(frozen=True, slots=True)
class CheckedManifest:
    """A manifest that may be stored if all that it refers to exists."""

    reference: Tag | Digest
    digest: Digest
    content: bytes
    manifest: Manifest


class ManifestCommit:
    """The commit of one manifest. Its methods are called in this order, in one section."""

    def __init__(
        self, section: Section, objects: Objects, name: RepositoryName, rules: Rules, checked: CheckedManifest
    ) -> None:
        self._section = section
        self._objects = objects
        self._name = name
        self._rules = rules
        self._digest = checked.digest
        self._content = checked.content
        self._manifest = checked.manifest
        self._claimed: list[Unit] = []

    def check_references(self) -> None:
        """Rely on all that the manifest refers to.

        Raises ManifestBlobUnknown, which names what is missing. Sizes are not compared: some clients write wrong ones,
        and the digest identifies the content.
        """
        rules, manifest = self._rules, self._manifest
        required = {blob.digest for blob in manifest.blobs if rules.require_blobs and blob.distributable}
        required |= {child.digest for child in manifest.children if rules.require_child(child)}
        # Optional content is relied on too, if it exists: a later manifest of the repository may refer to it.
        missing = self._missing_blobs(dict.fromkeys(blob.digest for blob in manifest.blobs))
        missing += self._missing_children(dict.fromkeys(child.digest for child in manifest.children))
        missing = [digest for digest in missing if digest in required]
        if missing:
            raise ManifestBlobUnknown(*missing)

    def store(self, tags: Sequence[Tag]) -> None:
        """Write content before link before tag: what a reader or a crash can see is always complete."""
        unit = Unit(self._name, self._digest, is_manifest=True)
        self._section.publish(unit, self._content, self._add_to_subject)
        self._section.set_tags(unit, tags)

    def end_leases(self, *, tagged: bool) -> None:
        """End the leases of all that the manifest refers to, also through its children.

        Raises ManifestBlobUnknown for content that an operator's `rm` has removed meanwhile.
        """
        removed = self._section.finish(self._claimed)
        if removed:
            raise ManifestBlobUnknown(removed[0].digest)
        if self._manifest.children:
            self._end_below()
        if tagged:
            self._section.finish([Unit(self._name, self._digest, is_manifest=True)])

    def _missing_blobs(self, digests: Iterable[str]) -> list[Digest]:
        return self._claim([Unit(self._name, Digest(digest)) for digest in digests])

    def _missing_children(self, digests: Iterable[str]) -> list[Digest]:
        """Return digests that are neither a manifest nor a blob: BuildKit's cache index lists blobs as manifests."""
        units = [Unit(self._name, Digest(digest), is_manifest=True) for digest in digests]
        return self._missing_blobs(self._claim(units))

    def _claim(self, units: Sequence[Unit]) -> list[Digest]:
        missing = self._section.claim(units)
        absent = set(missing)
        self._claimed += [unit for unit in units if unit not in absent]
        return [unit.digest for unit in missing]

    def _add_to_subject(self) -> None:
        if self._manifest.subject is not None:
            subject = Digest(self._manifest.subject.digest)
            Referrers(self._objects, self._name).add(subject, self._digest, self._manifest, len(self._content))

    def _end_below(self) -> None:
        # A client that finds a child by HEAD does not PUT it. So no other request ends the leases of its layers.
        unread = list(dict.fromkeys(Digest(child.digest) for child in self._manifest.children))
        read = {self._digest, *unread}
        ended: set[Digest] = set()
        left = _MAX_READ_BYTES
        while unread and left > 0:
            content = self._read_child(unread.pop())
            left -= len(content)
            for digest in _references(content) - ended:
                if len(ended) == MAX_ENDED:
                    return
                ended.add(digest)
                # If it is missing, it was promised to no push.
                self._section.finish([Unit(self._name, digest), Unit(self._name, digest, is_manifest=True)])
                if digest not in read:
                    read.add(digest)
                    unread.append(digest)

    def _read_child(self, digest: Digest) -> bytes:
        """Return the content, empty if it is not a manifest of this repository."""
        with suppress(PathNotFound):
            stat_file(self._objects, layout.revision_link(self._name, digest))
            return self._objects.read(layout.blob_data(digest), MAX_DOCUMENT_BYTES)
        return b""


def _references(content: bytes) -> set[Digest]:
    """Return the references of a manifest; nothing for other content."""
    found: set[Digest] = set()
    with suppress(ManifestInvalid):
        manifest = read_manifest(content)
        for descriptor in (*manifest.blobs, *manifest.children):
            with suppress(DigestInvalid):
                found.add(Digest(descriptor.digest))
    return found
