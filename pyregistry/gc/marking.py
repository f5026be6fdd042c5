"""Marking of live content. It changes nothing.

A repository with an unreadable tag or manifest is kept as a whole. Anything else that is unreadable ends the run,
unless it was just removed. docs/gc.md has the table.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from pyregistry.common.system_errors import in_words
from pyregistry.gc.candidates import Candidates
from pyregistry.gc.documents import Documents, decode, list_links, read_documents
from pyregistry.gc.parallel import parallel_map, worth_forking
from pyregistry.gc.repository_marks import RepositoryMarks
from pyregistry.gc.types import GarbageLink, LeaseStats, MarkFailed, Options, Plan, ProgressObserver
from pyregistry.oci.errors import NameInvalid
from pyregistry.oci.names import RepositoryName
from pyregistry.storage.repositories.walking import walk_repositories
from pyregistry.storage.seams.coordinator import Collection
from pyregistry.storage.seams.objects import Objects


class Marker:
    """Marks all repositories, and keeps of each what the sweep needs for its second check."""

    def __init__(
        self,
        objects: Objects,
        collection: Collection,
        candidates: Candidates,
        options: Options,
        observer: ProgressObserver,
    ) -> None:
        """To be made after the barrier of the collection."""
        self.objects = objects
        self.collection = collection
        self.leases = collection.leases()
        self.candidates = candidates
        self.options = options
        self.observer = observer
        self.leased = LeaseStats()
        self.repositories: dict[RepositoryName, RepositoryMarks] = {}
        self.links: list[GarbageLink] = []
        self._count = 0

    def plan(self, processes: int = 1) -> Plan:
        """Mark all live content; raises MarkFailed. `processes` as in `parallel_map`: they read the manifests."""
        # Again until no new one appears: a repository may be pushed, or moved, during the walk.
        while new := [name for name in self._names() if name not in self.repositories]:
            with self._read(new, processes) as read:
                self.observer.found(len(new))
                for name in new:
                    self._mark(name, read)
            processes = 1  # the observer may have started a thread
        for size in self.candidates.leased_sizes():
            self.leased.add(size)
        manifests = [group for marks in self.repositories.values() for group in marks.deletion_order()]
        links = tuple(link for link in self.links if self.is_garbage(link))
        untagged = sum(marks.untagged_count for marks in self.repositories.values())
        return Plan(self.candidates, self._count, tuple(manifests), links, self.leased, untagged)

    def is_garbage(self, link: GarbageLink) -> bool:
        """Return True if a layer link that its repository does not need is garbage, by the marks so far.

        It stays if its blob stays, as in the CNCF registry, unless its repository has nothing else.
        """
        return not self.candidates.is_marked(link.target) or not self.repositories[link.repository].has_living

    def maybe_empty(self) -> list[RepositoryName]:
        """Return the repositories in which no manifest is left, or will be; nested ones first."""
        return [name for name, marks in reversed(self.repositories.items()) if marks.maybe_empty]

    def _names(self) -> list[RepositoryName]:
        try:
            return list(walk_repositories(self.objects, strict=True))
        except NameInvalid as error:
            raise MarkFailed(f"not all repositories can be looked at: {error.detail}") from error
        except OSError as error:
            raise MarkFailed(in_words(error)) from error

    @contextmanager
    def _read(self, names: list[RepositoryName], processes: int) -> Iterator[Iterator[Documents]]:
        strict = self.options.delete_untagged  # otherwise marking needs no tags, in a tree without damage
        if worth_forking(len(self.candidates), processes):
            with parallel_map(partial(read_documents, self.objects, strict=strict), names, processes) as read:
                yield map(decode, read)
        else:
            yield (list_links(self.objects, name, strict=strict) for name in names)

    def _mark(self, name: RepositoryName, read: Iterator[Documents]) -> None:
        marks = RepositoryMarks(self, name)
        try:
            documents = next(read)
            if marks.exists():
                self.observer.repository(name)
                self._count += 1
                marks.mark_roots(documents)
                self.links += marks.garbage_links()
            else:
                self.observer.no_repository(name)
        except OSError as error:
            raise MarkFailed(f"{name}: {in_words(error)}") from error
        marks.shrink()  # drop the state that the sweep will not need
        self.repositories[name] = marks
