"""A manifest PUT, once the document is understood: one section that sees all that it refers to, and publishes it.

The order of the steps is what the proof of the garbage collection rests on (docs/gc.md): look and touch, content, link,
tag, and the end of the leases last. A writer that is killed on the way leaves leases, which run out; were they ended
earlier, it would leave blobs that another push counts on with neither a lease nor a manifest.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

from pyregistry.oci.digest import Digest
from pyregistry.oci.errors import DigestInvalid, ManifestBlobUnknown, ManifestInvalid
from pyregistry.oci.manifest import MAX_DOCUMENT, Manifest, read_manifest
from pyregistry.oci.names import RepositoryName, Tag
from pyregistry.storage import layout, leases
from pyregistry.storage.driver import Driver, PathNotFound
from pyregistry.storage.layout import StoragePath
from pyregistry.storage.links import ensure_shape, find_bytes, stat_file, write_link
from pyregistry.storage.referrers import Referrers
from pyregistry.storage.rules import Rules

MAX_ENDED = 2_000
"""Blobs and manifests below the children of an index whose leases are ended."""
_MAX_READ = 8 * 1024 * 1024
"""Bytes of manifests that are read to find them. What is beyond either bound runs out by itself, since a collector, and
with it every writer, waits for the end of this section."""


class ManifestCommit:
    """One manifest on its way into a repository. Its methods are called in this order, in one commit section."""

    def __init__(self, driver: Driver, name: RepositoryName, rules: Rules, digest: Digest, manifest: Manifest) -> None:
        self._driver = driver
        self._name = name
        self._rules = rules
        self._digest = digest
        self._manifest = manifest
        self._relied_on: dict[StoragePath, Digest] = {}
        self._found: dict[str, bool] = {}
        """The digests that the manifest refers to: False if it is not here. It never has both blobs and children."""

    def check_references(self) -> None:
        """Find all that the manifest refers to, and touch it.

        Raises ManifestBlobUnknown, which names what is missing. Sizes are not compared: clients that write wrong ones
        are in use, and the digest says what is wanted.
        """
        rules, manifest = self._rules, self._manifest
        missing: dict[str, None] = {}
        # Also what need not be here is touched if it is: a later manifest of the repository may rely on it.
        for blob in manifest.blobs:
            if not self._has(blob.digest, self._rely_on_blob) and rules.require_blobs and blob.distributable:
                missing[blob.digest] = None
        for child in manifest.children:
            if not self._has(child.digest, self._rely_on_child) and rules.require_child(child):
                missing[child.digest] = None
        if missing:
            raise ManifestBlobUnknown(*missing)

    def store(self, content: bytes, tags: Sequence[Tag]) -> None:
        """Content before link before tag: what a reader or a crash can see is always complete."""
        driver, name, digest, manifest = self._driver, self._name, self._digest, self._manifest
        revision = layout.revision_link(name, digest)
        with leases.written_alone(driver, revision):
            leases.write(driver, digest, content)
            ensure_shape(driver, name)
            if manifest.subject is not None:
                Referrers(driver, name).add(Digest(manifest.subject.digest), digest, manifest, len(content))
            write_link(driver, revision, digest)
        for tag in tags:
            write_link(driver, layout.tag_index_link(name, tag, digest), digest)
            write_link(driver, layout.tag_current_link(name, tag), digest)

    def end_leases(self, *, tagged: bool) -> None:
        """End the leases of all that the manifest refers to, also through its children.

        Raises ManifestBlobUnknown for what an operator's `rm` took since it was found.
        """
        for path, digest in self._relied_on.items():
            try:
                leases.end(self._driver, path)
            except PathNotFound as error:
                raise ManifestBlobUnknown(digest) from error
        if self._manifest.children:
            self._end_below()
        if tagged:
            with suppress(PathNotFound):
                leases.end(self._driver, layout.revision_link(self._name, self._digest))

    def _has(self, text: str, rely_on: Callable[[Digest], bool]) -> bool:
        """Rely on a blob or child once, however often the manifest names it."""
        found = self._found.get(text)
        if found is None:
            found = self._found[text] = rely_on(Digest(text))
        return found

    def _rely_on_blob(self, digest: Digest) -> bool:
        link = layout.layer_link(self._name, digest)
        try:
            target, _ = find_bytes(self._driver, link, digest, partial(stat_file, self._driver))
            leases.rely_on(self._driver, link, target)  # it may have been taken back meanwhile
        except PathNotFound:
            return False
        self._relied_on[link] = digest
        return True

    def _rely_on_child(self, digest: Digest) -> bool:
        """BuildKit's cache index has blobs among its manifests, so either will do."""
        link = layout.revision_link(self._name, digest)
        try:
            stat_file(self._driver, link)
            if stat_file(self._driver, layout.blob_data(digest)).size == 0:
                return False
            leases.rely_on(self._driver, link, digest)
        except PathNotFound:
            return self._rely_on_blob(digest)
        self._relied_on[link] = digest
        return True

    def _end_below(self) -> None:
        # A client that finds a child by HEAD does not PUT it, so that nobody else would end the leases of its layers.
        unread = list(dict.fromkeys(Digest(child.digest) for child in self._manifest.children))
        read = {self._digest, *unread}
        ended: set[Digest] = set()
        room = _MAX_READ
        while unread and room > 0:
            content = self._read_child(unread.pop())
            room -= len(content)
            for digest in _references(content) - ended:
                if len(ended) == MAX_ENDED:
                    return
                ended.add(digest)
                self._end(digest)
                if digest not in read:
                    read.add(digest)
                    unread.append(digest)

    def _end(self, digest: Digest) -> None:
        for link in (layout.layer_link(self._name, digest), layout.revision_link(self._name, digest)):
            with suppress(PathNotFound):  # not here, or no longer: nobody was promised that it is
                leases.end(self._driver, link)

    def _read_child(self, digest: Digest) -> bytes:
        """Nothing for what is no manifest of this repository."""
        with suppress(PathNotFound):
            stat_file(self._driver, layout.revision_link(self._name, digest))
            return self._driver.read(layout.blob_data(digest), MAX_DOCUMENT)
        return b""


def _references(content: bytes) -> set[Digest]:
    """What a manifest refers to; nothing for what is none."""
    found: set[Digest] = set()
    with suppress(ManifestInvalid):
        manifest = read_manifest(content)
        for descriptor in (*manifest.blobs, *manifest.children):
            with suppress(DigestInvalid):
                found.add(Digest(descriptor.digest))
    return found
