"""The registry: its repositories, and the catalog of them."""

from collections.abc import Iterator
from contextlib import suppress
from contextvars import copy_context
from typing import Protocol
from uuid import uuid4

from pyregistry.common.overriding import override
from pyregistry.oci.digest import Digest
from pyregistry.oci.errors import BlobUnknown, Unavailable
from pyregistry.oci.names import RepositoryName
from pyregistry.storage.repositories.referrer_pages import ReferrerCache
from pyregistry.storage.repositories.repository import Repository
from pyregistry.storage.repositories.walking import walk_in_steps
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.coordinator import Coordinator
from pyregistry.storage.seams.links import exists, has_bytes, list_blobs
from pyregistry.storage.seams.objects import Objects, PathNotFound
from pyregistry.storage.seams.rules import Rules
from pyregistry.storage.seams.uploads import Upload, Uploads
from pyregistry.threads.fair_scheduler import Steps
from pyregistry.threads.wait_budget import limit_waits


class View(Protocol):
    """The repositories that one caller may see."""

    @property
    def shows_all(self) -> bool:
        """True if there is nothing that the caller may not see."""

    def shows(self, name: RepositoryName) -> bool:
        """True if the caller may see this repository."""

    def reaches(self, namespace: str) -> bool:
        """False if the caller may see nothing below this namespace; the empty one holds everything."""


class _Everything(View):
    """The view of the service itself and of its command line."""

    shows_all = True

    @override
    def shows(self, name: RepositoryName) -> bool:
        return True

    @override
    def reaches(self, namespace: str) -> bool:
        return True


EVERYTHING = _Everything()


class Registry:
    """All repositories of a storage."""

    def __init__(self, objects: Objects, rules: Rules, uploads: Uploads, coordinator: Coordinator) -> None:
        self._objects = objects
        self._rules = rules
        self._uploads = uploads
        self._coordinator = coordinator
        self._touched: Digest | None = None
        self._memory = ReferrerCache()

    def repository(self, name: RepositoryName) -> Repository:
        """A repository by its name, whether or not it exists."""
        return Repository(self._objects, name, self._rules, self._uploads, self._memory, self._coordinator)

    def available_bytes(self) -> int:
        """Bytes that uploads may still take. Blocks."""
        return self._objects.available_bytes()

    def is_short_of_space(self, size: int) -> bool:
        """Return True if uploads may not take `size` more bytes on one of the file systems. Blocks."""
        paths = (layout.REPOSITORIES, *self._objects.private_directories()[1:])
        return any(self._objects.available_bytes(path) < size for path in paths)

    def try_reading(self) -> None:
        """Ask the storage something; raises OSError if it does not answer. Blocks."""
        self._objects.available_bytes()
        with suppress(PathNotFound):
            self._objects.stat(layout.REPOSITORIES)

    def try_writing(self) -> None:
        """Do what a push does: write, rename, remove, and touch a blob that is there. Raises OSError. Blocks.

        On each file system of the tree. Directories that are missing are not made: without `repositories/` garbage
        collection takes the volume for missing.
        """
        places = (layout.above(place) for place in self._objects.private_directories()[1:])
        for directory in (layout.BLOBS, layout.REPOSITORIES, *places):
            path = layout.trial(directory if exists(self._objects, directory) else layout.TMP, uuid4().hex)
            self._objects.write(path, b"x", durable=False)  # a full disk has space for a name
            with suppress(PathNotFound):  # someone tidies up
                self._objects.delete(path)
        self._try_touching()

    def _try_touching(self) -> None:
        try:
            if self._touched is None:
                self._touched = next(list_blobs(self._objects), None)
            if self._touched is not None:
                self._coordinator.try_relying_on(self._touched)
        except PathNotFound:  # a garbage collection removed it first: try another one next time
            self._touched = None

    def try_locks(self, seconds: float) -> bool:
        """Return True if a writer gets the locks that every push needs within these seconds. Blocks."""
        return copy_context().run(self._try_locks, seconds)

    def _try_locks(self, seconds: float) -> bool:
        limit_waits(seconds)
        with suppress(Unavailable):
            return self._coordinator.run(lambda section: True)
        return False

    def catalog(self, after: str | None = None) -> Iterator[RepositoryName]:
        """Yield the names of all repositories that hold something, those after `after`. Blocks.

        In the order of their components, as if `/` were the lowest character: `a`, `a/b`, `a-b`. That is the order
        of a walk: a page reads no more than it shows, and no name is left out between two pages. The CNCF registry
        compares in one order and walks in another.
        """
        return (name for name in self.list_catalog(after, EVERYTHING) if name is not None)

    def list_catalog(self, after: str | None, view: View) -> Steps[RepositoryName]:
        """The same as steps of a walk, and only what `view` shows: the disk is asked for nothing else."""
        for name in walk_in_steps(self._objects, after, view.reaches):
            shown = name is not None and view.shows(name) and not self.repository(name).is_empty()
            yield name if shown else None

    def uploads(self) -> Iterator[Upload]:
        """The open uploads of all repositories, also of those that hold nothing else. Blocks."""
        return (upload for upload in self.list_uploads() if upload is not None)

    def list_uploads(self) -> Steps[Upload]:
        """The same as steps of a walk."""
        for name in walk_in_steps(self._objects, None, EVERYTHING.reaches):
            yield None
            if name is not None:
                yield from self.repository(name).uploads()

    def list_having(self, digest: Digest, view: View) -> Steps[Repository]:
        """end-11 without `from`: the repositories of the view that have this blob, as steps of a walk.

        Without a blob of that digest there is nothing to walk for. That may show only to a caller who may read
        everything: to others the time would tell that it is somewhere.
        """
        if view.shows_all and not has_bytes(self._objects, digest):
            return
        for name in walk_in_steps(self._objects, None, view.reaches):
            yield self._with_blob(name, digest) if name is not None and view.shows(name) else None

    def _with_blob(self, name: RepositoryName, digest: Digest) -> Repository | None:
        with suppress(BlobUnknown):
            repository = self.repository(name)
            repository.blob(digest)
            return repository
        return None
