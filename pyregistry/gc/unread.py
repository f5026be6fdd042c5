"""Tags and manifests that cannot be read: no run takes what they may refer to, so that a repair finds all it needs.

What looks so is looked at again in a section in which no writer is between two of its steps, and no deletion: a push
writes a tag's index before what the tag names, and a deletion removes tags before the manifest.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

from pyregistry.gc.documents import Documents, current_link, try_link
from pyregistry.gc.references import DocumentDamaged, parse, read_references
from pyregistry.oci.digest import Digest
from pyregistry.oci.names import RepositoryName
from pyregistry.storage import layout, leases
from pyregistry.storage.driver import Driver, PathNotFound
from pyregistry.storage.links import exists, has_bytes, is_file, is_no_file
from pyregistry.storage.locking import repository_lock

_KEPT = "all that this repository has is kept until it is mended, see pyregistry fsck"


@dataclass(slots=True)
class Found:
    """What a second look found."""

    readable: list[str] = field(default_factory=list)
    """Digests of manifests that can be read after all."""
    targets: list[Digest] = field(default_factory=list)
    """Blobs whose digest a link says after all."""
    sentences: list[str] = field(default_factory=list)
    named: list[str] = field(default_factory=list)
    """All digests that a tag ever named whose own link cannot be read."""
    hides: bool = False
    """Nothing says what the repository's manifests refer to."""
    hides_bytes: bool = False
    """Nothing says under which digest some bytes are."""


class Unread:
    """The suspects of one repository: what could not be read at the first look."""

    def __init__(self, driver: Driver, name: RepositoryName, documents: Documents) -> None:
        self._driver = driver
        self._name = name
        self._documents = documents
        self._tags = [tag for tag, digest in documents.tags.items() if digest is None]
        self._manifests: list[str] = []
        self._aliases: list[Digest] = []
        self._seen: set[str] = set()

    @property
    def suspects(self) -> bool:
        """True while something waits for a second look."""
        return bool(self._tags or self._manifests or self._aliases)

    def manifest(self, digest: str) -> None:
        """Add a manifest that could not be read, or that a tag names without a link."""
        if digest not in self._seen:
            self._seen.add(digest)
            self._manifests.append(digest)

    def alias(self, digest: Digest) -> None:
        """Add a blob whose link should say under which other digest its bytes are."""
        if digest not in self._seen:
            self._seen.add(digest)
            self._aliases.append(digest)

    def look_again(self, *, locked: bool) -> Found:
        """Look at each suspect once more; raises OSError."""
        found = Found()
        with ExitStack() as held:
            if locked:
                held.enter_context(leases.exclusive_section(self._driver))
                held.enter_context(repository_lock(self._driver, self._name))
            for tag in self._tags:
                self._look_at_tag(tag, found)
            for digest in self._manifests:
                self._look_at_manifest(digest, found)
            for alias in self._aliases:
                self._look_at_alias(alias, found)
        self._tags, self._manifests, self._aliases = [], [], []
        return found

    def _look_at_tag(self, tag: str, found: Found) -> None:
        digest, reason = try_link(self._driver, current_link(self._name, tag))
        if digest is not None:
            found.readable.append(digest)
            return
        named = list(self._ever_named(tag))
        if reason is None:
            if not named:  # empty directories, which a push or a deletion leaves that was cut off
                return
            reason = "is missing"
        found.hides = True
        found.named += named
        found.sentences.append(f"{self._name}: the link of the tag {tag} {reason}; {_KEPT}")

    def _look_at_manifest(self, digest: str, found: Found) -> None:
        tags = self._tags_of(digest)
        link = layout.revision_link(self._name, Digest(digest))
        which = f"{self._name}: the manifest {digest}"
        if tags:
            which += f", which the tag {' and '.join(tags)} names,"
        try:
            # Remembered: at a third look it could be gone again, and nothing would ask a fourth time.
            self._documents.references[digest] = read_references(self._driver, Digest(digest))
        except PathNotFound:
            if not tags and not exists(self._driver, link):  # deleted meanwhile
                return
            nowhere = is_no_file(self._driver, layout.blob_data(Digest(digest)))
            reason = "is a symbolic link that leads nowhere, or no file" if nowhere else "is not there"
        except DocumentDamaged as error:
            reason = str(error)
        else:
            found.readable.append(digest)
            if tags and not is_file(self._driver, link):
                found.sentences.append(f"{which} is not linked in this repository; it is kept with all that it needs")
            return
        found.hides = True
        found.sentences.append(f"{which} {reason}; {_KEPT}")

    def _look_at_alias(self, digest: Digest, found: Found) -> None:
        target, reason = try_link(self._driver, layout.layer_link(self._name, digest))
        if target is not None:
            found.targets.append(target)
        elif exists(self._driver, layout.layer(self._name, digest)) and not has_bytes(self._driver, digest):
            found.hides = found.hides_bytes = True
            found.sentences.append(
                f"{self._name}: the link of {digest} {reason or 'is missing'}, so nothing says which bytes it has; "
                "until it is mended, no blob is removed"
            )

    def _tags_of(self, digest: str) -> list[str]:
        tags = (tag for tag, named in self._documents.tags.items() if named == digest)
        return sorted(tag for tag in tags if try_link(self._driver, current_link(self._name, tag))[0] == digest)

    def _ever_named(self, tag: str) -> Iterator[str]:
        index = layout.child(layout.child(layout.tags(self._name), tag), "index")
        for algorithm in self._driver.children(index, strict=True):
            for encoded, looks in self._driver.scan(layout.child(index, algorithm), layout.LINK, strict=True):
                if looks is not None and (digest := parse(f"{algorithm}:{encoded}")) is not None:
                    yield digest
