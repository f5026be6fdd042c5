"""The registry: its repositories, and the catalog of them."""

from collections.abc import Iterator
from contextlib import suppress
from uuid import uuid4

from pyregistry.oci.digest import Digest
from pyregistry.oci.errors import BlobUnknown
from pyregistry.oci.names import RepositoryName
from pyregistry.storage import layout, leases
from pyregistry.storage.driver import Driver, PathNotFound
from pyregistry.storage.hashing import RunningHashes
from pyregistry.storage.links import exists, list_blobs
from pyregistry.storage.repository import Repository
from pyregistry.storage.rules import Rules
from pyregistry.storage.uploads import Upload
from pyregistry.storage.walking import walk_repositories


class Registry:
    """All repositories on one driver."""

    def __init__(self, driver: Driver, rules: Rules | None = None) -> None:
        self._driver = driver
        self._rules = rules or Rules()
        self._hashes = RunningHashes()
        self._touched: Digest | None = None

    def repository(self, name: RepositoryName) -> Repository:
        """A repository by its name, whether or not it exists."""
        return Repository(self._driver, name, self._rules, self._hashes)

    def room(self) -> int:
        """Bytes that uploads may still take. Blocks."""
        return self._driver.room()

    def try_reading(self) -> None:
        """Ask the storage something; raises OSError if it does not answer. Blocks."""
        self._driver.room()
        with suppress(PathNotFound):
            self._driver.stat(layout.REPOSITORIES)

    def try_writing(self) -> None:
        """Do what a push does: write, rename, remove, and touch a blob that is there. Raises OSError. Blocks.

        On each file system of the tree. Directories that are missing are not made: without `repositories/` garbage
        collection takes the volume for missing.
        """
        places = (layout.above(place) for place in self._driver.places()[1:])
        for directory in (layout.BLOBS, layout.REPOSITORIES, *places):
            path = layout.trial(directory if exists(self._driver, directory) else layout.TMP, uuid4().hex)
            self._driver.write(path, b"", durable=False)
            with suppress(PathNotFound):  # somebody tidies up
                self._driver.delete(path)
        self._try_touching()

    def _try_touching(self) -> None:
        try:
            if self._touched is None:
                self._touched = next(list_blobs(self._driver), None)
            if self._touched is not None:
                leases.try_touching(self._driver, self._touched)
        except PathNotFound:  # a garbage collection was quicker; the next time another one
            self._touched = None

    def catalog(self, after: str | None = None) -> Iterator[RepositoryName]:
        """The names of all repositories that hold something, those behind `after`. Blocks.

        In the order of their components, as if `/` were the lowest character: `a`, `a/b`, `a-b`. That is the order
        of a walk, so that a page reads no more than it shows, and none is left out between two pages (the CNCF
        registry compares and walks in two different orders).
        """
        for name in walk_repositories(self._driver, after):
            if not self.repository(name).is_empty():
                yield name

    def uploads(self) -> Iterator[Upload]:
        """The open uploads of all repositories, also of those that hold nothing else. Blocks."""
        for name in walk_repositories(self._driver):
            yield from self.repository(name).uploads()

    def find_blob(self, digest: Digest) -> Iterator[Repository]:
        """end-11 without `from`: the repositories that have this blob. Blocks."""
        try:
            self._driver.stat(layout.blob_data(digest))  # most questions end here, without a walk
        except PathNotFound:
            return
        for name in walk_repositories(self._driver):
            with suppress(BlobUnknown):
                repository = self.repository(name)
                repository.blob(digest)
                yield repository
