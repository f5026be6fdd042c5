"""The coordinator of a directory. Locks keep writers and the collector apart; file times are generations and leases.

The steps are those of docs/gc.md, whose proof they carry.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from typing import TypeVar

from pyregistry.common.overriding import override
from pyregistry.oci.digest import CANONICAL, EMPTY_DIGESTS, Digest
from pyregistry.oci.names import RepositoryName, Tag
from pyregistry.storage.local import ground, leases, volumes
from pyregistry.storage.local.driver import Driver, inode_of
from pyregistry.storage.local.locking import repository_lock
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.coordinator import (
    COLLECTOR,
    Batch,
    Collection,
    Coordinator,
    Garbage,
    Generation,
    Leases,
    NotSafe,
    Quiet,
    Section,
    Staged,
    Unit,
    nothing,
)
from pyregistry.storage.seams.layout import StoragePath
from pyregistry.storage.seams.links import ensure_shape, link_blob, read_link, write_link
from pyregistry.storage.seams.objects import PathNotFound, Stat

T = TypeVar("T")

_64_BITS = 2**64 - 1
_TEMPORARY_SECONDS = 86_400.0
"""No write takes longer between its temporary file and the rename."""


class LocalCoordinator(Coordinator):
    """Coordinator of a directory."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver

    @override
    def run(self, work: Callable[[Section], T], changing: RepositoryName | None = None) -> T:
        with ExitStack() as stack:
            stack.enter_context(leases.commit_section(self._driver))
            if changing is not None:
                stack.enter_context(repository_lock(self._driver, changing))
            return work(LocalSection(self._driver))

    @override
    def change(self, name: RepositoryName, work: Callable[[], T], look_back: Callable[[], None] = nothing) -> T:
        with repository_lock(self._driver, name):
            return work()

    @override
    def is_leased(self, unit: Unit, seconds: float) -> bool:
        return leases.is_young(self._driver.stat(unit.link), seconds, time.time_ns())

    @override
    def single(self, name: str, *, wait: bool) -> AbstractContextManager[None]:
        return self._driver.lock(name, exclusive=True, wait=wait)

    @contextmanager
    @override
    def quiet(self, name: RepositoryName | None = None) -> Iterator[Quiet]:
        with ExitStack() as stack:
            stack.enter_context(leases.exclusive_section(self._driver))
            if name is not None:
                stack.enter_context(repository_lock(self._driver, name))
            yield LocalQuiet(self._driver)

    @contextmanager
    @override
    def collection(self, grace: float, *, dry_run: bool = False, even_unsafe: bool = False) -> Iterator[Collection]:
        collection = LocalCollection(self, self._driver, grace, dry_run=dry_run)
        if dry_run:
            yield collection
            return
        with self.single(COLLECTOR, wait=False):
            if not even_unsafe:
                self._require_safe()
            self._driver.empty_trash()  # left by a run that was killed
            with leases.marks_of_touches(self._driver):
                yield collection

    @override
    def leases(self, grace: float, now_ns: int | None = None) -> Leases:
        kept = leases.kept_for(grace, leases.noted_renewal(self._driver))
        return LocalLeases(kept, time.time_ns() if now_ns is None else now_ns)

    def _require_safe(self) -> None:
        reasons = list(ground.doubts(self._driver))
        if reasons:
            raise NotSafe(*reasons)

    @override
    def note_renewal(self, seconds: float) -> None:
        leases.note_renewal(self._driver, seconds)

    @override
    def try_relying_on(self, digest: Digest) -> None:
        leases.try_touching(self._driver, digest)


class LocalSection(Section):
    """A section that holds the commit lock shared, so that the collector removes nothing."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._collecting: bool | None = None
        self._content_of: dict[Unit, Digest] = {}
        self._installed: set[StoragePath] = set()

    @override
    def claim(self, units: Sequence[Unit]) -> list[Unit]:
        return [unit for unit in units if not self._claim(unit)]

    @override
    def publish(self, unit: Unit, content: bytes | Staged, entry: Callable[[], None] = nothing) -> None:
        driver = self._driver
        # The lock of the link comes first, so that no wait for it can end between the two.
        with leases.written_alone(driver, unit.link):
            if isinstance(content, bytes):
                leases.write(driver, unit.digest, content, collecting=self._is_collecting())
            elif content.path not in self._installed:
                leases.install(driver, content.path, unit.digest, collecting=self._is_collecting())
                self._installed.add(content.path)
            if unit.is_manifest:
                ensure_shape(driver, unit.repository)
                entry()
                write_link(driver, unit.link, unit.digest)
            else:
                entry()
                link_blob(driver, unit.repository, unit.digest)

    @override
    def link(self, unit: Unit, source: Unit) -> None:
        with leases.written_alone(self._driver, unit.link):
            link_blob(self._driver, unit.repository, unit.digest, self._content_of[source])

    @override
    def set_tags(self, unit: Unit, tags: Sequence[Tag]) -> None:
        for tag in tags:
            write_link(self._driver, layout.tag_index_link(unit.repository, tag, unit.digest), unit.digest)
            write_link(self._driver, layout.tag_current_link(unit.repository, tag), unit.digest)

    @override
    def renew(self, unit: Unit) -> None:
        try:
            leases.renew(self._driver, unit.link)
        except leases.NotOurs:
            with repository_lock(self._driver, unit.repository):
                leases.write_again(self._driver, unit.link)

    @override
    def finish(self, units: Iterable[Unit]) -> list[Unit]:
        return [unit for unit in units if not self._ends(unit)]

    def _claim(self, unit: Unit) -> bool:
        try:
            content = self._find_content(unit)
            found = self._touch(content)
            leases.require_link(self._driver, unit.link)
        except PathNotFound:
            return False
        self._content_of[unit] = content
        is_whole = found.size > 0 or (content in EMPTY_DIGESTS and not unit.is_manifest)
        return found.is_file and is_whole

    def _find_content(self, unit: Unit) -> Digest:
        """Return the digest under which the bytes are stored. For nearly all links their path says it."""
        if unit.is_manifest or unit.digest.algorithm == CANONICAL:
            return unit.digest
        return read_link(self._driver, unit.link) or unit.digest

    def _touch(self, content: Digest) -> Stat:
        """Change the generation of a blob if a collector may run; return the stat from before."""
        if self._is_collecting():
            return leases.touch(self._driver, content)
        return self._driver.stat(layout.blob_data(content))

    def _is_collecting(self) -> bool:
        if self._collecting is None:
            self._collecting = leases.is_collecting(self._driver)
        return self._collecting

    def _ends(self, unit: Unit) -> bool:
        with suppress(PathNotFound):
            leases.release(self._driver, unit.link)
            return True
        return False


class LocalQuiet(Quiet):
    """A quiet moment: the commit lock is held exclusively meanwhile."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver

    @override
    def claim(self, digest: Digest) -> None:
        leases.touch(self._driver, digest)

    @override
    def quarantine(self, digest: Digest) -> None:
        path = layout.blob_data(digest)
        put_away = layout.quarantined(
            digest, self._driver.stat(path).modified_ns, self._driver.private_directory_of(path)
        )
        self._driver.move(path, put_away)
        self._driver.prune(layout.blob(digest))

    @override
    def prune(self, path: StoragePath) -> bool:
        return self._driver.prune(path)


class LocalLeases(Leases):
    """Leases by the times of links."""

    def __init__(self, seconds: float, now_ns: int) -> None:
        self._seconds = seconds
        self._now_ns = now_ns

    @override
    def end_ns(self, unit: Unit, link: Stat) -> int:
        if not leases.is_young(link, self._seconds, self._now_ns):
            return 0
        return link.modified_ns + round(self._seconds * 1e9)


class LocalCollection(Collection):
    """One run of the collector in a directory."""

    def __init__(self, coordinator: LocalCoordinator, driver: Driver, grace: float, *, dry_run: bool) -> None:
        self._coordinator = coordinator
        self._driver = driver
        self._grace = grace
        self._dry_run = dry_run
        self._begun_ns = time.time_ns()

    @override
    def generations(self, algorithm: str, prefix: str) -> Iterator[tuple[str, Generation]]:
        path = layout.child(layout.child(layout.BLOBS, algorithm), prefix)
        for encoded, stat in self._driver.scan(path, layout.DATA):
            if stat is not None and stat.is_file:
                yield encoded, _generation(stat)

    @override
    def barrier(self) -> None:
        with leases.exclusive_section(self._driver):
            pass  # each earlier section has ended

    @override
    def leases(self) -> Leases:
        return self._coordinator.leases(self._grace, self._begun_ns)

    @override
    def quiet(self, name: RepositoryName) -> AbstractContextManager[object]:
        return nullcontext() if self._dry_run else self._coordinator.quiet(name)

    @override
    def condemn(self, garbage: Iterable[Garbage]) -> bool:
        return False  # the locks make an announcement unnecessary

    @contextmanager
    @override
    def batch(self) -> Iterator[Batch]:
        with leases.exclusive_section(self._driver):
            yield LocalBatch(self._driver)

    @override
    def settle(self) -> None:
        self._driver.sync()

    @override
    def free(self) -> None:
        self._driver.empty_trash()

    @override
    def missing(self) -> str | None:
        return volumes.missing(self._driver)

    @override
    def note_parts(self, *, everything: bool) -> None:
        volumes.note_mounted(self._driver, everything=everything)

    @override
    def tidy(self) -> None:
        # Writes of any server, on this machine or another.
        before_ns = time.time_ns() - round(_TEMPORARY_SECONDS * 1e9)
        for directory in map(layout.temporaries, self._driver.private_directories()):
            for name in self._driver.children(directory):
                path = layout.child(directory, name)
                with suppress(PathNotFound):
                    if self._driver.stat(path).modified_ns < before_ns:
                        self._driver.discard(path)
        self._driver.empty_trash()


class LocalBatch(Batch):
    """A batch that holds the commit lock exclusively, so that no section runs."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver

    @override
    def is_unchanged(self, digest: Digest, generation: Generation | None) -> bool:
        now: Generation | None = None
        with suppress(PathNotFound):
            now = _generation(self._driver.stat(layout.blob_data(digest)))
        return now == generation and not leases.is_marked(self._driver, digest)

    @override
    def may_remove(self, garbage: Sequence[Garbage]) -> bool:
        return all(self.is_unchanged(each.content, each.generation) for each in garbage)

    @override
    def remove(self, path: StoragePath) -> None:
        self._driver.discard(path)

    @override
    def prune(self, path: StoragePath) -> bool:
        return self._driver.prune(path)


def _generation(stat: Stat) -> Generation:
    return Generation(inode_of(stat), stat.modified_ns & _64_BITS, stat.size)
