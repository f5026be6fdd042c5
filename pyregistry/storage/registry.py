"""The registry: its repositories, and the catalog of them."""

from collections.abc import Iterator
from contextlib import suppress
from uuid import uuid4

from pyregistry.oci.digest import Digest
from pyregistry.oci.errors import BlobUnknown
from pyregistry.oci.names import RepositoryName
from pyregistry.storage import layout
from pyregistry.storage.driver import Driver, PathNotFound
from pyregistry.storage.hashing import RunningHashes
from pyregistry.storage.referrer_pages import ReferrerMemory
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
        self._memory = ReferrerMemory()

    def repository(self, name: RepositoryName) -> Repository:
        """A repository by its name, whether or not it exists."""
        return Repository(self._driver, name, self._rules, self._hashes, self._memory)

    def room(self) -> int:
        """Bytes that uploads may still take. Blocks."""
        return self._driver.room()

    def try_reading(self) -> None:
        """Ask the storage something; raises OSError if it does not answer. Blocks."""
        self._driver.room()
        with suppress(PathNotFound):
            self._driver.stat(layout.REPOSITORIES)

    def try_writing(self) -> None:
        """Write and remove something small; raises OSError if that is impossible. Blocks."""
        path = layout.child(layout.TMP, f"try-{uuid4().hex}")
        self._driver.write(path, b"", durable=False)
        with suppress(PathNotFound):  # somebody tidies up
            self._driver.delete(path)

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
