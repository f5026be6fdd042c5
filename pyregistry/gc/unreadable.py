"""Tags and manifests that are unreadable: no run removes their possible references, which a repair may need.

A suspect is checked again in a section in which no writer and no deletion is between two steps. A push writes a tag's
index before its link, and a deletion removes tags before the manifest.
"""

import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

from pyregistry.gc import batches
from pyregistry.gc.documents import Documents, current_link, try_link
from pyregistry.gc.references import DocumentDamaged, parse, read_references
from pyregistry.oci.digest import Digest
from pyregistry.oci.names import RepositoryName
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.coordinator import Collection
from pyregistry.storage.seams.layout import StoragePath
from pyregistry.storage.seams.links import exists, has_bytes, is_file, is_no_file
from pyregistry.storage.seams.objects import Objects, PathNotFound

_SHOWN_TAGS = 5
"""Tags of one manifest that a sentence lists; there may be thousands."""
_KEPT = "the whole repository is kept until this is repaired, see pyregistry fsck"


@dataclass(slots=True)
class Found:
    """The result of a second check."""

    readable: list[str] = field(default_factory=list)
    """Digests of manifests that are readable now."""
    targets: list[Digest] = field(default_factory=list)
    """Digests of blobs, from links that are readable now."""
    sentences: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    """Tags whose own link is unreadable."""
    named: list[str] = field(default_factory=list)
    """All digests that these tags ever named."""
    hides: bool = False
    """True if references of the repository's manifests are unknown."""
    hides_bytes: bool = False
    """True if it is unknown which digest stores some bytes."""


class Unreadable:
    """The suspects of one repository: content that was unreadable at the first check."""

    def __init__(self, objects: Objects, collection: Collection, name: RepositoryName, documents: Documents) -> None:
        self._objects = objects
        self._collection = collection
        self._name = name
        self._documents = documents
        self._tags = [tag for tag, digest in documents.tags.items() if digest is None]
        self._manifests: list[str] = []
        self._aliases: list[Digest] = []
        self._seen: set[str] = set()

    @property
    def suspects(self) -> bool:
        """True while something waits for a second check."""
        return bool(self._tags or self._manifests or self._aliases)

    def manifest(self, digest: str) -> None:
        """Add a manifest that was unreadable, or that a tag names without a link."""
        if digest not in self._seen:
            self._seen.add(digest)
            self._manifests.append(digest)

    def alias(self, digest: Digest) -> None:
        """Add a blob whose link should name the digest that stores its bytes."""
        if digest not in self._seen:
            self._seen.add(digest)
            self._aliases.append(digest)

    def recheck(self) -> Found:
        """Check each suspect again, in short batches between which writers continue; raise OSError."""
        found = Found()
        checks = deque(self._checks(found))
        self._tags, self._manifests, self._aliases = [], [], []
        while checks:
            with self._collection.quiet(self._name):
                begin, left = time.monotonic(), batches.BATCH
                while checks and left and time.monotonic() - begin < batches.BATCH_SECONDS:
                    checks.popleft()()
                    left -= 1
            time.sleep(batches.PAUSE_SECONDS)
        for tag in found.tags:
            found.named += self._ever_named(tag)
        return found

    def _checks(self, found: Found) -> Iterator[Callable[[], None]]:
        """Yield the checks that need writers to wait; do the others at once."""
        for tag in self._tags:
            yield partial(self._check_tag, tag, found)
        by_digest: dict[str, list[str]] = defaultdict(list)
        for tag, named in self._documents.tags.items() if self._manifests else ():
            by_digest[named or ""].append(tag)
        for digest in self._manifests:
            tags = sorted(tag for tag in by_digest.get(digest, ()) if self._names(tag, digest))
            if not self._is_decided(digest, tags, found):
                yield partial(self._check_manifest, digest, tags, found)
        for alias in self._aliases:
            yield partial(self._check_alias, alias, found)

    def _check_tag(self, tag: str, found: Found) -> None:
        digest, reason = try_link(self._objects, current_link(self._name, tag))
        if digest is not None:
            found.readable.append(digest)
            return
        if reason is None:
            if next(self._ever_named(tag), None) is None:  # left by an interrupted push or deletion
                return
            reason = "is missing"
        found.hides = True
        found.tags.append(tag)
        found.sentences.append(f"{self._name}: the link of the tag {tag} {reason}; {_KEPT}")

    def _is_decided(self, digest: str, tags: list[str], found: Found) -> bool:
        """Return False if a push or a deletion between two steps may look the same.

        They never look like damage: published content is complete.
        """
        try:
            # Cached: at a third check it could be missing again, and there is no fourth.
            self._documents.references[digest] = read_references(self._objects, Digest(digest))
        except PathNotFound:
            return False
        except DocumentDamaged as error:
            self._hide(digest, tags, str(error), found)
            return True
        if tags and not is_file(self._objects, self._link(digest)):
            return False
        found.readable.append(digest)
        return True

    def _check_manifest(self, digest: str, tags: list[str], found: Found) -> None:
        if not any(self._names(tag, digest) for tag in tags):  # mostly the first one does
            tags = []
        if digest not in self._documents.references:
            try:
                self._documents.references[digest] = read_references(self._objects, Digest(digest))
            except PathNotFound:
                if tags or exists(self._objects, self._link(digest)):  # otherwise deleted meanwhile
                    nowhere = is_no_file(self._objects, layout.blob_data(Digest(digest)))
                    reason = "is a broken symbolic link, or not a file" if nowhere else "is missing"
                    self._hide(digest, tags, reason, found)
                return
            except DocumentDamaged as error:
                self._hide(digest, tags, str(error), found)
                return
        found.readable.append(digest)
        if tags and not is_file(self._objects, self._link(digest)):
            which = self._described(digest, tags)
            found.sentences.append(f"{which} is not linked in this repository; it is kept with all its content")

    def _hide(self, digest: str, tags: list[str], reason: str, found: Found) -> None:
        found.hides = True
        found.sentences.append(f"{self._described(digest, tags)} {reason}; {_KEPT}")

    def _described(self, digest: str, tags: list[str]) -> str:
        which = f"{self._name}: the manifest {digest}"
        named = " and ".join(tags[:_SHOWN_TAGS])
        if len(tags) > _SHOWN_TAGS:
            named += f" and {len(tags) - _SHOWN_TAGS} more"
        return f"{which}, which the tag {named} names," if tags else which

    def _link(self, digest: str) -> StoragePath:
        return layout.revision_link(self._name, Digest(digest))

    def _names(self, tag: str, digest: str) -> bool:
        return try_link(self._objects, current_link(self._name, tag))[0] == digest

    def _check_alias(self, digest: Digest, found: Found) -> None:
        target, reason = try_link(self._objects, layout.layer_link(self._name, digest))
        if target is not None:
            found.targets.append(target)
        elif exists(self._objects, layout.layer(self._name, digest)) and not has_bytes(self._objects, digest):
            found.hides = found.hides_bytes = True
            found.sentences.append(
                f"{self._name}: the link of {digest} {reason or 'is missing'}, so its bytes are unknown; "
                "until it is repaired, no blob is removed"
            )

    def _ever_named(self, tag: str) -> Iterator[str]:
        index = layout.child(layout.child(layout.tags(self._name), tag), "index")
        for algorithm in self._objects.children(index, strict=True):
            for encoded, stat in self._objects.scan(layout.child(index, algorithm), layout.LINK, strict=True):
                if stat is not None and (digest := parse(f"{algorithm}:{encoded}")) is not None:
                    yield digest
