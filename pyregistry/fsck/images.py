"""The names under which an image is pulled: who has to be told that it is broken."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property

from pyregistry.gc.references import DocumentDamaged, parse, read_references
from pyregistry.oci.digest import Digest
from pyregistry.oci.names import RepositoryName
from pyregistry.storage import layout
from pyregistry.storage.driver import Driver, PathNotFound
from pyregistry.storage.links import read_link


class Images:
    """Of one repository. Nothing is read before it is asked for, since most repositories have no damage."""

    def __init__(self, driver: Driver, name: RepositoryName) -> None:
        self._driver = driver
        self._name = name

    def that_need(self, digest: Digest) -> tuple[str, ...]:
        """The tags that reach a manifest, through indexes too; the manifest itself if there are none."""
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
        directory = layout.tags(self._name)
        for tag in self._driver.children(directory):
            path = layout.child(layout.child(layout.child(directory, tag), "current"), layout.LINK)
            with suppress(PathNotFound, OSError):
                if (digest := read_link(self._driver, path)) is not None:
                    tags[digest].append(tag)
        return tags

    @cached_property
    def _above(self) -> defaultdict[str, list[str]]:
        above: defaultdict[str, list[str]] = defaultdict(list)
        for digest in list_digests(self._driver, layout.revisions(self._name)):
            with suppress(PathNotFound, DocumentDamaged, OSError):
                for child in read_references(self._driver, digest).children:
                    above[child].append(digest)
        return above


def list_digests(driver: Driver, path: layout.StoragePath) -> Iterator[Digest]:
    """The digests that have a directory below `path`, by algorithm."""
    for algorithm in driver.children(path):
        for encoded in driver.children(layout.child(path, algorithm)):
            if (digest := parse(f"{algorithm}:{encoded}")) is not None:
                yield digest
