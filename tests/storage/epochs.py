"""A coordinator without locks, as an object store needs it: markers, and a state that is read again.

Each section reads the state of the collector before its work and once more behind it; if that changed, the work runs
again. A collector announces what it may remove and marks once more. Then one of the two creates the marker of a thing:
the writer that rescues it, or the collector that deletes it.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from hashlib import blake2b
from typing import TypeVar

from pyregistry.oci.digest import CANONICAL, EMPTY_DIGESTS, Digest
from pyregistry.oci.errors import Unavailable
from pyregistry.oci.names import RepositoryName, Tag
from pyregistry.storage.local.coordinator import LocalQuiet
from pyregistry.storage.local.driver import Driver, inode_of
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.coordinator import COLLECTOR, Garbage, Generation, Quiet, Section, Staged, Unit, nothing
from pyregistry.storage.seams.layout import StoragePath
from pyregistry.storage.seams.links import exists, link_blob, read_link, stat_file, write_link
from pyregistry.storage.seams.objects import PathNotFound, Stat

T = TypeVar("T")

_STATE = StoragePath(".pyregistry/gc/state")
_IDLE = b"idle "
_RESCUED, _DELETING = b"rescued", b"deleting"


class _ChangedError(Exception):
    """The state is another one than at the beginning of the section."""


class EpochCoordinator:
    def __init__(self, driver: Driver) -> None:
        self._driver = driver

    def run(self, work: Callable[[Section], T], changing: RepositoryName | None = None) -> T:
        uploads: dict[StoragePath, bytes] = {}
        while True:
            section = EpochSection(self._driver, self.state(), uploads)
            try:
                result = work(section)
                section.confirm()
            except _ChangedError:
                continue
            for path in uploads:
                with suppress(PathNotFound):
                    self._driver.delete(path)
            return result

    def change(self, name: RepositoryName, work: Callable[[], T], look_back: Callable[[], None] = nothing) -> T:
        result = work()
        look_back()
        return result

    def is_leased(self, unit: Unit, seconds: float) -> bool:
        stat_file(self._driver, unit.link)
        return EpochLeases(self._driver, seconds).end_ns(unit) > 0

    def single(self, name: str, *, wait: bool) -> AbstractContextManager[None]:
        return self._driver.lock(name, exclusive=True, wait=wait)

    def quiet(self, name: RepositoryName | None = None) -> AbstractContextManager[Quiet]:
        return nullcontext(LocalQuiet(self._driver))

    @contextmanager
    def collection(
        self, grace: float, *, dry_run: bool = False, even_unsafe: bool = False
    ) -> Iterator["EpochCollection"]:
        if dry_run:
            yield EpochCollection(self._driver, b"", grace)
            return
        with self.single(COLLECTOR, wait=False):
            epoch = b"%d" % time.monotonic_ns()
            idle = _IDLE + epoch  # another one each time: a section that saw the last one must not take it for that
            self._driver.write(_STATE, idle + b" begins")  # also after a run that was killed
            yield EpochCollection(self._driver, epoch, grace)
            self._driver.write(_STATE, idle)

    def leases(self, grace: float) -> "EpochLeases":
        return EpochLeases(self._driver, grace)

    def note_renewal(self, seconds: float) -> None:
        pass

    def try_relying_on(self, digest: Digest) -> None:
        self._driver.stat(layout.blob_data(digest))

    def state(self) -> bytes:
        with suppress(PathNotFound):
            return self._driver.read(_STATE)
        return _IDLE


class EpochSection:
    def __init__(self, driver: Driver, state: bytes, uploads: dict[StoragePath, bytes]) -> None:
        self._driver = driver
        self._state = state
        self._uploads = uploads
        self._content_of: dict[Unit, Digest] = {}
        self._published: list[Unit] = []
        self._condemned: frozenset[str] = frozenset()
        if not state.startswith(_IDLE):
            with suppress(PathNotFound):
                self._condemned = frozenset(driver.read(_condemned(state)).decode().split("\n"))

    def claim(self, units: Sequence[Unit]) -> list[Unit]:
        return [unit for unit in units if not self._claim(unit)]

    def publish(self, unit: Unit, content: bytes | Staged, entry: Callable[[], None] = nothing) -> None:
        if isinstance(content, Staged):
            if content.path not in self._uploads:
                self._uploads[content.path] = self._driver.read(content.path)
            content = self._uploads[content.path]
        self._require(unit, unit.digest)
        self._driver.write(layout.blob_data(unit.digest), content)
        entry()
        if unit.is_manifest:
            write_link(self._driver, unit.link, unit.digest)
        else:
            link_blob(self._driver, unit.repository, unit.digest)
        self.renew(unit)
        self._published.append(unit)

    def link(self, unit: Unit, source: Unit) -> None:
        self._require(unit, self._content_of[source])
        link_blob(self._driver, unit.repository, unit.digest, self._content_of[source])
        self.renew(unit)

    def set_tags(self, unit: Unit, tags: Sequence[Tag]) -> None:
        self.confirm()
        for tag in tags:
            write_link(self._driver, layout.tag_index_link(unit.repository, tag, unit.digest), unit.digest)
            write_link(self._driver, layout.tag_current_link(unit.repository, tag), unit.digest)

    def renew(self, unit: Unit) -> None:
        self._driver.write(_lease(unit), b"")

    def finish(self, units: Iterable[Unit]) -> list[Unit]:
        gone = []
        for unit in units:
            with suppress(PathNotFound):
                self._driver.delete(_lease(unit))
            if not exists(self._driver, unit.link):
                gone.append(unit)
        return gone

    def confirm(self) -> None:
        """Read the state again."""
        if EpochCoordinator(self._driver).state() != self._state:
            raise _ChangedError
        if not all(exists(self._driver, unit.link) for unit in self._published):
            raise _ChangedError

    def _claim(self, unit: Unit) -> bool:
        content = unit.digest
        with suppress(PathNotFound):
            if content.algorithm != CANONICAL and not unit.is_manifest:
                content = read_link(self._driver, unit.link) or content
            if not self._rescue(unit, content):
                return False
            stat_file(self._driver, unit.link)
            size = stat_file(self._driver, layout.blob_data(content)).size
            self._content_of[unit] = content
            return size > 0 or content in EMPTY_DIGESTS
        return False

    def _require(self, unit: Unit, content: Digest) -> None:
        """Rescue what is written; wait for the end of the epoch if that is just being deleted."""
        if self._rescue(unit, content):
            return
        with self._driver.lock(COLLECTOR, exclusive=True):
            if EpochCoordinator(self._driver).state() == self._state:
                raise Unavailable("a garbage collection was cut off: try again after the next one")
        raise _ChangedError

    def _rescue(self, unit: Unit, content: Digest) -> bool:
        return all(
            create_marker(self._driver, self._state, path, _RESCUED) == _RESCUED
            for path in (_removed_with(unit), layout.blob(content))
            if path in self._condemned
        )


class EpochLeases:
    def __init__(self, driver: Driver, seconds: float) -> None:
        self._driver = driver
        self._seconds = seconds
        self._now_ns = time.time_ns()

    def end_ns(self, unit: Unit, link: Stat | None = None) -> int:
        with suppress(PathNotFound):
            end_ns = self._driver.stat(_lease(unit)).modified_ns + round(self._seconds * 1e9)
            return end_ns if self._seconds and end_ns > self._now_ns else 0
        return 0


class EpochCollection:
    def __init__(self, driver: Driver, epoch: bytes, grace: float) -> None:
        self._driver = driver
        self._epoch = epoch
        self._grace = grace

    def generations(self, algorithm: str, prefix: str) -> Iterator[tuple[str, Generation]]:
        path = layout.child(layout.child(layout.BLOBS, algorithm), prefix)
        for encoded, stat in self._driver.scan(path, layout.DATA):
            if stat is not None and stat.is_file:
                yield encoded, _generation(stat)

    def barrier(self) -> None:
        pass

    def leases(self) -> EpochLeases:
        return EpochLeases(self._driver, self._grace)

    def quiet(self, name: RepositoryName) -> AbstractContextManager[None]:
        return nullcontext()

    def condemn(self, garbage: Iterable[Garbage]) -> bool:
        paths = [each.path for each in garbage]
        if paths:
            self._driver.write(_condemned(self._epoch), "\n".join(paths).encode())
            self._driver.write(_STATE, self._epoch)
        return bool(paths)

    @contextmanager
    def batch(self) -> Iterator["EpochBatch"]:
        yield EpochBatch(self._driver, self._epoch)

    def settle(self) -> None:
        pass

    def free(self) -> None:
        self._driver.empty_trash()

    def missing(self) -> str | None:
        return None

    def note_parts(self, *, everything: bool) -> None:
        pass

    def tidy(self) -> None:
        pass


class EpochBatch:
    def __init__(self, driver: Driver, epoch: bytes) -> None:
        self._driver = driver
        self._epoch = epoch

    def is_unchanged(self, digest: Digest, generation: Generation | None) -> bool:
        now = None
        with suppress(PathNotFound):
            now = _generation(self._driver.stat(layout.blob_data(digest)))
        with suppress(PathNotFound):
            if self._driver.read(_marker(self._epoch, layout.blob(digest))) == _RESCUED:
                return False
        return now == generation

    def may_remove(self, garbage: Sequence[Garbage]) -> bool:
        return all(create_marker(self._driver, self._epoch, each.path, _DELETING) == _DELETING for each in garbage)

    def remove(self, path: StoragePath) -> None:
        self._driver.discard(path)

    def prune(self, path: StoragePath) -> bool:
        return self._driver.prune(path)


def create_marker(driver: Driver, epoch: bytes, path: StoragePath, content: bytes) -> bytes:
    """Create the marker of a thing unless there is one; return its content. In one step, as an object store does it."""
    marker = _marker(epoch, path)
    with driver.lock("marker", exclusive=True):
        with suppress(PathNotFound):
            return driver.read(marker)
        driver.write(marker, content)
        return content


def _generation(stat: Stat) -> Generation:
    return Generation(inode_of(stat), 0, stat.size)


def _removed_with(unit: Unit) -> StoragePath:
    path = layout.revision if unit.is_manifest else layout.layer
    return path(unit.repository, unit.digest)


def _condemned(epoch: bytes) -> StoragePath:
    return StoragePath(f".pyregistry/gc/{epoch.decode()}/condemned")


def _marker(epoch: bytes, path: StoragePath) -> StoragePath:
    return StoragePath(f".pyregistry/gc/{epoch.decode()}/m/{blake2b(path.encode(), digest_size=16).hexdigest()}")


def _lease(unit: Unit) -> StoragePath:
    return StoragePath(f".pyregistry/leases/{blake2b(unit.link.encode(), digest_size=16).hexdigest()}")
