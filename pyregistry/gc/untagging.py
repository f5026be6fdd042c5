"""Removal of tags with the manifests that nothing else needs: `pyregistry rm --delete-untagged`.

Manifests are removed by the rule of `gc --delete-untagged`. A tag, a young lease or another manifest keeps a manifest,
with all below it and its referrers. An existing untagged index keeps its children too. All is decided and done with the
lock of the repository held, as in DELETE. So no push is between two of its steps.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial

from pyregistry.gc.batches import BATCH
from pyregistry.gc.documents import Documents, current_link, list_links, try_link
from pyregistry.gc.groups import components_from_the_top
from pyregistry.gc.references import DocumentDamaged, References, parse, read_references
from pyregistry.oci.digest import Digest
from pyregistry.oci.names import RepositoryName, Tag
from pyregistry.storage.repositories.referrers import Referrers
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.coordinator import Coordinator, Unit
from pyregistry.storage.seams.objects import Objects, PathNotFound

_MAX_SPARSE_CHILD_BYTES = 4 * 1024 * 1024
"""Most bytes of a child that is not a manifest of the repository, but is read for its possible references."""


class Untagging:
    """The removal of tags and manifests of one repository. Blocks; methods raise OSError."""

    def __init__(self, objects: Objects, coordinator: Coordinator, name: RepositoryName, grace: float) -> None:
        """`grace` is that of a collection, in seconds."""
        self._objects = objects
        self._name = name
        self._grace = grace
        self._coordinator = coordinator
        self._references: dict[str, References | None] = {}
        self._links = Documents()
        self._referrers: dict[str, list[str]] = {}
        self.kept: dict[Digest, str] = {}
        """Manifests that lost a tag here and stay, each with the reason."""
        self.undecided: str | None = None
        """The reason why manifests were left: something cannot be read."""

    def remove(self, tags: Sequence[Tag], digests: Sequence[Digest]) -> Iterator[Tag | Digest]:
        """Remove tags, and manifests with the tags that name them; then all that they leave untagged.

        Yield each once it is removed, durably. What to do about `undecided` is for the caller.
        """
        seeds: dict[str, None] = dict.fromkeys(digests)
        for begin in range(0, len(tags), BATCH):
            batch = tags[begin : begin + BATCH]
            yield from self._coordinator.change(self._name, partial(self._remove_tags, batch, seeds))
        self._read_links(())  # so that less has to be read with the lock
        while True:
            removed = self._coordinator.change(self._name, partial(self._remove_some, seeds, digests))
            yield from removed
            if not removed:
                return

    def plan(self, tags: Sequence[Tag], digests: Sequence[Digest]) -> Iterator[Tag | Digest]:
        """Yield all that `remove` would remove, and change nothing."""
        named = list_links(self._objects, self._name, strict=True).tags
        seeds: dict[str, None] = dict.fromkeys(digests)
        seeds |= {digest: None for tag in tags if (digest := named.get(tag)) is not None}
        yield from tags
        self._read_links({*tags, *(tag for tag, digest in named.items() if digest in digests)})
        yield from self._garbage(seeds, digests)

    def _remove_tags(self, tags: Sequence[Tag], seeds: dict[str, None]) -> list[Tag]:
        return [tag for tag in tags if self._remove_tag(tag, seeds)]

    def _remove_tag(self, tag: Tag, seeds: dict[str, None]) -> bool:
        named, _ = try_link(self._objects, current_link(self._name, tag))
        with suppress(PathNotFound):
            self._objects.delete(layout.tag(self._name, tag))
            if named is not None:
                seeds[named] = None
            return True
        return False

    def _remove_some(self, seeds: Collection[str], digests: Sequence[Digest]) -> list[Digest]:
        """Remove one batch, so that writers need not wait for long; return it."""
        self._read_links(())
        garbage = self._garbage(seeds, digests)[:BATCH]
        for digest in garbage:
            for tag, named in self._links.tags.items():
                if named == digest:
                    _delete(self._objects, layout.tag(self._name, Tag(tag)))
            _delete(self._objects, layout.revision(self._name, digest))
            document = self._references.get(digest)
            if document is not None and document.subject is not None and (subject := parse(document.subject)):
                Referrers(self._objects, self._name).remove(subject, digest)
        return garbage

    def _read_links(self, without: Collection[str]) -> None:
        """List the links, and read the manifests that were not read before."""
        self._links = list_links(self._objects, self._name, strict=True)
        for tag in without:
            self._links.tags.pop(tag, None)
        referrers = defaultdict(list)
        for digest in self._links.revisions:
            document = self._read(digest)
            if document is not None and document.subject is not None:
                referrers[document.subject].append(digest)
        self._referrers = referrers

    def _garbage(self, seeds: Collection[str], digests: Collection[Digest]) -> list[Digest]:
        """Return the manifests to remove, an index before its children, a subject before its referrers."""
        revisions = self._links.revisions
        below = self._reach(seeds, ())
        self.undecided = self._unreadable(digests)
        if self.undecided is not None:
            return [digest for digest in digests if digest in revisions]
        roots = {digest: "" for digest in revisions if digest not in below}
        leases = self._coordinator.leases(self._grace)
        for digest, link in revisions.items():
            if leases.end_ns(Unit(self._name, Digest(digest), is_manifest=True), link):
                roots[digest] = "a push in progress may need it"
        roots |= {digest: f"the tag {tag} names it" for tag, digest in self._links.tags.items() if digest is not None}
        stays = self._reach((root for root in roots if root not in digests), digests)
        for seed in map(parse, seeds):
            if seed is not None and seed in stays and seed in revisions:
                self.kept[seed] = roots.get(seed) or f"the manifest {stays[seed]} needs it, or is its subject"
        garbage = {digest: list(self._edges(digest)) for digest in below if digest in revisions and digest not in stays}
        return [Digest(digest) for group in components_from_the_top(garbage) for digest in group]

    def _reach(self, roots: Iterable[str], blocked: Collection[str]) -> dict[str, str]:
        """Return all that the manifests reach, themselves included, each with its predecessor."""
        found = {root: root for root in roots}
        unvisited = list(found)
        while unvisited:
            digest = unvisited.pop()
            for each in self._edges(digest):
                if each not in found and each not in blocked:
                    found[each] = digest
                    unvisited.append(each)
        return found

    def _edges(self, digest: str) -> Iterator[str]:
        document = self._read(digest)
        if document is not None:
            known = self._links.revisions
            yield from (blob for blob in document.blobs if blob in known)
            yield from (child for child in document.children if child in known or self._is_small(child))
        yield from self._referrers.get(digest, ())

    def _read(self, digest: str) -> References | None:
        if self._references.get(digest) is None:
            self._references[digest] = None
            with suppress(PathNotFound, DocumentDamaged):
                self._references[digest] = read_references(self._objects, Digest(digest))
        return self._references[digest]

    def _is_small(self, digest: str) -> bool:
        parsed = parse(digest)
        with suppress(PathNotFound):
            return parsed is not None and self._objects.stat(layout.blob_data(parsed)).size <= _MAX_SPARSE_CHILD_BYTES
        return False

    def _unreadable(self, digests: Collection[Digest]) -> str | None:
        """Return a reason why it is unknown which manifests are needed; `digests` are removed anyway."""
        for digest in self._links.revisions:
            if self._references.get(digest) is None and digest not in digests:
                return f"the manifest {digest} cannot be read"
        for tag, named in self._links.tags.items():
            index = layout.child(layout.child(layout.tags(self._name), tag), "index")
            if named is None and next(self._objects.children(index), None) is not None:
                return f"the link of the tag {tag} cannot be read"
        return None


def _delete(objects: Objects, path: layout.StoragePath) -> None:
    with suppress(PathNotFound):  # an operator's `rm`, or a collection, was quicker
        objects.delete(path)
