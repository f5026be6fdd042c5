"""The names under which a broken image is pulled."""

from collections import defaultdict
from contextlib import suppress
from functools import cached_property

from pyregistry.gc.references import DocumentDamaged, read_references
from pyregistry.oci.digest import Digest
from pyregistry.oci.errors import ManifestInvalid
from pyregistry.oci.names import RepositoryName, Tag
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.links import list_digests, read_link
from pyregistry.storage.seams.objects import Objects, PathNotFound


class Images:
    """The images of one repository. It reads only when asked, since most repositories have no damage."""

    def __init__(self, objects: Objects, name: RepositoryName) -> None:
        self._objects = objects
        self._name = name

    def that_need(self, digest: Digest) -> tuple[str, ...]:
        """Return the tags that reach a manifest, also through indexes; the manifest itself without a tag."""
        tags: set[str] = set()
        seen: set[str] = set()
        unvisited: list[str] = [digest]
        while unvisited:
            reached = unvisited.pop()
            if reached not in seen:
                seen.add(reached)
                tags.update(self._tags[reached])
                unvisited += self._above[reached]
        return tuple(f"{self._name}:{tag}" for tag in sorted(tags)) or (f"{self._name}@{digest}",)

    @cached_property
    def _tags(self) -> defaultdict[str, list[str]]:
        tags: defaultdict[str, list[str]] = defaultdict(list)
        for tag in self._objects.children(layout.tags(self._name)):
            with suppress(PathNotFound, ManifestInvalid, OSError):  # the second: no tag
                if (digest := read_link(self._objects, layout.tag_current_link(self._name, Tag(tag)))) is not None:
                    tags[digest].append(tag)
        return tags

    @cached_property
    def _above(self) -> defaultdict[str, list[str]]:
        above: defaultdict[str, list[str]] = defaultdict(list)
        for digest in list_digests(self._objects, layout.revisions(self._name)):
            with suppress(PathNotFound, DocumentDamaged, OSError):
                for child in read_references(self._objects, digest).children:
                    above[child].append(digest)
        return above
