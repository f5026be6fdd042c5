"""Checks of the links of a repository, one at a time: each returns a finding or None."""

from collections.abc import Callable
from contextlib import suppress

from pyregistry.fsck.findings import Finding, Kind, Recheck
from pyregistry.oci.digest import CANONICAL, Digest
from pyregistry.oci.names import RepositoryName, Tag
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.layout import StoragePath
from pyregistry.storage.seams.links import exists, has_bytes, is_no_file, is_revision, list_digests, read_link
from pyregistry.storage.seams.objects import Objects, PathNotFound

Lost = Callable[[Digest], tuple[str, ...]]
"""The images of the repository that need a manifest, by the names under which they are pulled."""


class LinkChecks:
    """The checks of one repository's links."""

    def __init__(self, objects: Objects, name: RepositoryName, lost: Lost) -> None:
        self._objects = objects
        self._name = name
        self._lost = lost

    def layer(self, digest: Digest) -> Finding | None:
        """Check a layer link; one for a sha512 may name the sha256 under which the bytes are."""
        path = layout.layer_link(self._name, digest)
        target, is_there = self._read(path)
        if not is_there:
            return self._no_file(path, (), lambda: self.layer(digest))
        torn = target is None or (target != digest and digest.algorithm == CANONICAL)
        if has_bytes(self._objects, digest if torn or target is None else target):
            return self._torn(path, digest) if torn else self._padded(path, target, lambda: self.layer(digest))
        if is_no_file(self._objects, layout.blob_data(target or digest)):
            return None  # a finding of its own: what it led to may come back, and then the link is needed
        return Finding(
            Kind.DANGLING_LAYER,
            path,
            "a layer link whose blob is not there",
            repository=self._name,
            digest=digest,
            recheck=lambda: self.layer(digest),
        )

    def revision(self, digest: Digest) -> Finding | None:
        """Check that a revision link is whole and its manifest there; not the content of the manifest."""
        path, data = layout.revision_link(self._name, digest), layout.blob_data(digest)
        target, is_there = self._read(path)
        for each in (path, data):
            if is_no_file(self._objects, each):
                return self._no_file(each, self._lost(digest), lambda: self.revision(digest))
        if not is_there:
            return None
        if has_bytes(self._objects, digest):
            is_whole = target == digest
            return self._padded(path, target, lambda: self.revision(digest)) if is_whole else self._torn(path, digest)
        return Finding(
            Kind.MISSING_MANIFEST,
            path,
            f"the manifest {digest} is not there; push it again",
            lost=self._lost(digest),
            repository=self._name,
            digest=digest,
            recheck=lambda: self.revision(digest),
        )

    def tag(self, tag: Tag) -> Finding | None:
        """Check the manifest that a tag names now."""
        path = layout.tag_current_link(self._name, tag)
        target, is_there = self._read(path)
        name = f"{self._name}:{tag}"
        if not is_there:
            return self._no_file(path, (name,), lambda: self.tag(tag)) or self._unfinished(tag)
        if target is None:
            sentence = f"the link of the tag {name} is torn"
            return self._of_tag(Kind.TORN_TAG, path, sentence, tag)
        if is_revision(self._objects, self._name, target) or self._may_come_back(target):
            return self._padded(path, target, lambda: self.tag(tag))
        sentence = f"the tag {name} names {target}, which is not there"
        return self._of_tag(Kind.DANGLING_TAG, path, sentence, tag, target)

    def tag_index(self, tag: Tag, digest: Digest) -> Finding | None:
        """Check one digest that a tag ever named; its manifest may have been deleted since."""
        path = layout.tag_index_link(self._name, tag, digest)
        target, is_there = self._read(path)
        if not is_there or target == digest:
            return self._padded(path, target, lambda: self.tag_index(tag, digest))
        return self._torn(path, digest, tag)

    def newest_in_index(self, tag: Tag) -> Digest | None:
        """Return the manifest that a tag named last, of those that are there: a torn tag is set to it."""
        newest: tuple[int, Digest] | None = None
        for digest in list_digests(self._objects, layout.tag_index(self._name, tag)):
            with suppress(PathNotFound):
                stat = self._objects.stat(layout.tag_index_link(self._name, tag, digest))
                if is_revision(self._objects, self._name, digest):
                    found = (stat.modified_ns, digest)
                    newest = max(newest or found, found)
        return newest[1] if newest is not None else None

    def _may_come_back(self, digest: Digest) -> bool:
        """Return True for a manifest behind a symbolic link that leads nowhere, which is a finding of its own."""
        paths = (layout.revision_link(self._name, digest), layout.blob_data(digest))
        return all(exists(self._objects, path) for path in paths)

    def _no_file(self, path: StoragePath, lost: tuple[str, ...], recheck: Recheck) -> Finding | None:
        if not is_no_file(self._objects, path):
            return None
        sentence = "a symbolic link that leads nowhere, or no file; bring back what it led to"
        return Finding(Kind.NO_FILE, path, sentence, lost, self._name, recheck=recheck)

    def _torn(self, path: StoragePath, digest: Digest, tag: Tag | None = None) -> Finding:
        def recheck() -> Finding | None:
            if tag is not None:
                return self.tag_index(tag, digest)
            return self.layer(digest) if path == layout.layer_link(self._name, digest) else self.revision(digest)

        sentence = f"this link should say {digest}"
        return Finding(Kind.TORN_LINK, path, sentence, repository=self._name, digest=digest, tag=tag, recheck=recheck)

    def _padded(self, path: StoragePath, target: Digest | None, recheck: Recheck) -> Finding | None:
        """Return a finding for a link that we read and the CNCF registry does not."""
        if target is None or self._size(path) in {len(target), None}:
            return None
        sentence = f"this link has white space around {target}, which the CNCF registry refuses"
        return Finding(Kind.PADDED_LINK, path, sentence, repository=self._name, digest=target, recheck=recheck)

    def _size(self, path: StoragePath) -> int | None:
        with suppress(PathNotFound):
            return self._objects.stat(path).size
        return None

    def _unfinished(self, tag: Tag) -> Finding | None:
        if not exists(self._objects, layout.tag(self._name, tag)):
            return None
        sentence = "a tag that names nothing, left by a push or a deletion that was cut off"
        return self._of_tag(Kind.UNFINISHED_TAG, layout.tag(self._name, tag), sentence, tag)

    def _of_tag(self, kind: Kind, path: StoragePath, sentence: str, tag: Tag, digest: Digest | None = None) -> Finding:
        lost = () if kind is Kind.UNFINISHED_TAG else (f"{self._name}:{tag}",)
        return Finding(kind, path, sentence, lost, self._name, digest, tag, recheck=lambda: self.tag(tag))

    def _read(self, path: StoragePath) -> tuple[Digest | None, bool]:
        """Return the digest in a link, None for a torn one; and True if the link is there."""
        try:
            return read_link(self._objects, path), True
        except PathNotFound:
            return None, False
