"""The referrers API: a page of descriptors, whose cost the reader chooses and not a pusher.

A page is made from digests: those of our index, and those that clients listed under a tag. Clients do that if they find
no referrers API (the "referrers tag schema"; the spec wants them included). Only the manifests of the page are read,
each once, and no more than MAX_WORK_BYTES bytes. Facts about the manifests of such a list are cached by their digests.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock
from typing import NamedTuple, Protocol

import msgspec

from pyregistry.common.bounded_cache import BoundedCache
from pyregistry.oci.digest import Digest
from pyregistry.oci.document import Descriptor
from pyregistry.oci.errors import DigestInvalid, ManifestInvalid, ManifestUnknown
from pyregistry.oci.manifest import StoredManifest, read_manifest
from pyregistry.oci.names import RepositoryName, Tag
from pyregistry.storage.repositories.referrers import HEAD_BYTES, describe, fallback_tag, read_entry
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.links import is_file
from pyregistry.storage.seams.objects import Objects, PathNotFound

PAGE_BYTES = 4 * 1024 * 1024
"""Most bytes of descriptors; clients accept an index of that size."""
MAX_WORK_BYTES = 8 * 1024 * 1024
"""Bytes read for one page, which ends there: two manifests of 4 MiB, or 8,000 entries of our index."""
_STAT_COST_BYTES = 1024
"""Cost of a stat, in bytes."""
_LISTED = 20_000
"""Digests of clients' lists that a worker caches, three megabytes of them."""
_FACTS_BYTES = 4 * 1024 * 1024
_FACT_BYTES = 500
"""Memory for the facts of one manifest without its annotations, in bytes."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The requested content of a page."""

    artifact_type: str | None = None
    """None: every type."""
    after: str = ""
    """Digest after which the page begins, in the order of their text."""
    count: int | None = None
    size: int = PAGE_BYTES
    """Most bytes of descriptors; but at least one descriptor, unless `count` is 0."""


class Page(NamedTuple):
    """Descriptors as JSON, in the order of their digests."""

    descriptors: list[bytes]
    last: str | None
    """Digest after which the next page begins; None for the last page."""


class ManifestReader(Protocol):
    """The manifests of a repository; both methods raise ManifestUnknown."""

    def tagged(self, tag: Tag) -> Digest:
        """Return the digest that a tag names."""

    def manifest(self, reference: Digest) -> StoredManifest:
        """Return the manifest, verified against its digest."""


class Fact(NamedTuple):
    """Facts about a manifest; they never change, since its digest fixes its bytes."""

    subject: str | None
    descriptor: Descriptor | None
    """None for a manifest without a subject."""
    weight: int


class ReferrerCache:
    """Cache of the manifests in clients' lists that this process read. Safe for use from several threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._facts = BoundedCache[str, Fact](limit=_FACTS_BYTES, weigh=lambda fact: fact.weight, by_use=True)
        self._lists = BoundedCache[str, tuple[str, ...]](
            limit=_LISTED, weigh=lambda digests: len(digests) + 1, by_use=True
        )

    def listed(self, digest: Digest) -> tuple[str, ...] | None:
        """Return the digests in the index of this digest, if they are cached."""
        with self._lock:
            return self._lists.get(digest)

    def store_list(self, digest: Digest, listed: tuple[str, ...]) -> None:
        """Cache the digests in an index."""
        with self._lock:
            self._lists.put(digest, listed)

    def fact(self, digest: str) -> Fact | None:
        """Return the facts about a manifest, if they are cached."""
        with self._lock:
            return self._facts.get(digest)

    def store_fact(self, digest: str, fact: Fact) -> None:
        """Cache the facts about a manifest."""
        with self._lock:
            self._facts.put(digest, fact)


class ReferrerPages:
    """The lists of referrers of one repository."""

    def __init__(
        self, objects: Objects, name: RepositoryName, manifests: ManifestReader, memory: ReferrerCache
    ) -> None:
        self._objects = objects
        self._name = name
        self._manifests = manifests
        self._memory = memory
        self._work = 0

    def page(self, subject: Digest, wanted: Wanted) -> Page:
        """Return the page of the referrers in our index and in the clients' list. Blocks."""
        if wanted.count == 0:
            return Page([], None)
        descriptors: list[bytes] = []
        shown = checked = ""
        left = wanted.size
        for digest, found in self._matching(subject, wanted):
            if found is not None:
                encoded = msgspec.json.encode(found)
                left -= len(encoded) + 1
                if len(descriptors) == wanted.count or (descriptors and left < 0):
                    return Page(descriptors, shown or None)
                descriptors.append(encoded)
                shown = digest
            checked = digest
            if self._work > MAX_WORK_BYTES:
                return Page(descriptors, checked)
        return Page(descriptors, None)

    def _matching(self, subject: Digest, wanted: Wanted) -> Iterator[tuple[str, Descriptor | None]]:
        """Yield every digest in order, with its descriptor if that is wanted."""
        indexed, listed = set(self._indexed(subject)), self._listed_by_clients(subject)
        for text in sorted(digest for digest in indexed.union(listed) if digest > wanted.after):
            try:
                digest = Digest(text)
            except DigestInvalid:
                continue
            self._work += _STAT_COST_BYTES
            found = None
            if is_file(self._objects, layout.revision_link(self._name, digest)):
                found = self._of_index(subject, digest, wanted.artifact_type) if text in indexed else None
                if found is None and text in listed:
                    found = self._of_list(subject, digest)
            is_wanted = found is not None and wanted.artifact_type in (None, found.artifact_type)
            yield text, found if is_wanted else None

    def _indexed(self, subject: Digest) -> Iterator[str]:
        directory = layout.referrers(self._name, subject)
        for algorithm in self._objects.children(directory):
            for encoded in self._objects.children(layout.child(directory, algorithm)):
                yield f"{algorithm}:{encoded}"

    def _of_index(self, subject: Digest, digest: Digest, artifact_type: str | None) -> Descriptor | None:
        """Return the entry; of one with another type its head is enough."""
        path = layout.referrer(self._name, subject, digest)
        with suppress(PathNotFound, msgspec.DecodeError, UnicodeDecodeError):  # removed meanwhile, or torn
            if artifact_type is not None:
                head = read_entry(self._objects, path, HEAD_BYTES)
                if head.artifact_type != artifact_type:
                    return head
            found = read_entry(self._objects, path)
            self._work += sum(len(key) + len(value) for key, value in (found.annotations or {}).items())
            return found
        return None

    def _listed_by_clients(self, subject: Digest) -> frozenset[str]:
        with suppress(ManifestUnknown, ManifestInvalid):
            digest = self._manifests.tagged(fallback_tag(subject))
            listed = self._memory.listed(digest)
            if listed is None:
                index = read_manifest(self._read(digest))
                listed = tuple({child.digest for child in index.children})
                self._memory.store_list(digest, listed)
            elif not is_file(self._objects, layout.revision_link(self._name, digest)):
                return frozenset()
            return frozenset(listed)
        return frozenset()

    def _of_list(self, subject: Digest, digest: Digest) -> Descriptor | None:
        fact = self._memory.fact(digest)
        if fact is None:
            with suppress(ManifestUnknown, ManifestInvalid):
                fact = self._read_fact(digest)
        return fact.descriptor if fact is not None and fact.subject == subject else None

    def _read_fact(self, digest: Digest) -> Fact:
        content = self._read(digest)
        manifest = read_manifest(content)
        fact = Fact(None, None, _FACT_BYTES)
        if manifest.subject is not None:
            descriptor = describe(digest, manifest, len(content))
            fact = Fact(
                manifest.subject.digest, descriptor, _FACT_BYTES + 2 * len(msgspec.json.encode(descriptor.annotations))
            )
        self._memory.store_fact(digest, fact)
        return fact

    def _read(self, digest: Digest) -> bytes:
        content = self._manifests.manifest(digest).content
        self._work += len(content)
        return content
