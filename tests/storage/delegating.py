"""Coordinators around another one, written once: each verb passes one hook, `around`."""

import errno
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, TypeVar

from pyregistry.oci.digest import Digest
from pyregistry.oci.names import RepositoryName, Tag
from pyregistry.storage.seams.coordinator import (
    Batch,
    Collection,
    Coordinator,
    Garbage,
    Generation,
    Leases,
    Quiet,
    Section,
    Staged,
    Unit,
    nothing,
)
from pyregistry.storage.seams.layout import StoragePath

T = TypeVar("T")


class Around(Protocol):
    def __call__(self, verb: str, work: Callable[[], T]) -> T:
        """Do one call of `verb`; what it raises is the verb's failure."""


class DelegatingSection:
    def __init__(self, section: Section, around: Around) -> None:
        self._section = section
        self._around = around

    def claim(self, units: Sequence[Unit]) -> list[Unit]:
        return self._around("claim", lambda: self._section.claim(units))

    def publish(self, unit: Unit, content: bytes | Staged, entry: Callable[[], None] = nothing) -> None:
        self._around("publish", lambda: self._section.publish(unit, content, entry))

    def link(self, unit: Unit, source: Unit) -> None:
        self._around("link", lambda: self._section.link(unit, source))

    def set_tags(self, unit: Unit, tags: Sequence[Tag]) -> None:
        self._around("set_tags", lambda: self._section.set_tags(unit, tags))

    def renew(self, unit: Unit) -> None:
        self._around("renew", lambda: self._section.renew(unit))

    def finish(self, units: Iterable[Unit]) -> list[Unit]:
        return self._around("finish", lambda: self._section.finish(units))


class DelegatingQuiet:
    def __init__(self, quiet: Quiet, around: Around) -> None:
        self._quiet = quiet
        self._around = around

    def claim(self, digest: Digest) -> None:
        self._around("quiet claim", lambda: self._quiet.claim(digest))

    def quarantine(self, digest: Digest) -> None:
        self._around("quarantine", lambda: self._quiet.quarantine(digest))

    def prune(self, path: StoragePath) -> bool:
        return self._around("quiet prune", lambda: self._quiet.prune(path))


class DelegatingBatch:
    def __init__(self, batch: Batch, around: Around) -> None:
        self._batch = batch
        self._around = around

    def is_unchanged(self, digest: Digest, generation: Generation | None) -> bool:
        return self._around("is_unchanged", lambda: self._batch.is_unchanged(digest, generation))

    def may_remove(self, garbage: Sequence[Garbage]) -> bool:
        return self._around("may_remove", lambda: self._batch.may_remove(garbage))

    def remove(self, path: StoragePath) -> None:
        self._around("remove", lambda: self._batch.remove(path))

    def prune(self, path: StoragePath) -> bool:
        return self._around("prune", lambda: self._batch.prune(path))


class DelegatingCollection:
    def __init__(self, collection: Collection, around: Around) -> None:
        self._collection = collection
        self._around = around

    def generations(self, algorithm: str, prefix: str) -> Iterator[tuple[str, Generation]]:
        yield from self._around("generations", lambda: list(self._collection.generations(algorithm, prefix)))

    def barrier(self) -> None:
        self._around("barrier", self._collection.barrier)

    def leases(self) -> Leases:
        return self._around("collection leases", self._collection.leases)

    def quiet(self, name: RepositoryName) -> AbstractContextManager[object]:
        return self._around("collection quiet", lambda: self._collection.quiet(name))

    def condemn(self, garbage: Iterable[Garbage]) -> bool:
        return self._around("condemn", lambda: self._collection.condemn(garbage))

    @contextmanager
    def batch(self) -> Iterator[Batch]:
        with self._around("batch", self._collection.batch) as batch:
            yield DelegatingBatch(batch, self._around)

    def settle(self) -> None:
        self._around("settle", self._collection.settle)

    def free(self) -> None:
        self._around("free", self._collection.free)

    def missing(self) -> str | None:
        return self._around("missing", self._collection.missing)

    def note_parts(self, *, everything: bool) -> None:
        self._around("note_parts", lambda: self._collection.note_parts(everything=everything))

    def tidy(self) -> None:
        self._around("tidy", self._collection.tidy)


class DelegatingCoordinator:
    def __init__(self, coordinator: Coordinator, before: Callable[[str], None] = lambda verb: None) -> None:
        """`before` is called with the name of each verb, before it; what it raises is the verb's failure."""
        self._coordinator = coordinator
        self._before = before

    def around(self, verb: str, work: Callable[[], T]) -> T:
        """Do one call of `verb`, of the coordinator or of what it gives."""
        self._before(verb)
        return work()

    def run(self, work: Callable[[Section], T], changing: RepositoryName | None = None) -> T:
        def delegated(section: Section) -> T:
            return work(DelegatingSection(section, self.around))

        return self.around("run", lambda: self._coordinator.run(delegated, changing))

    def change(self, name: RepositoryName, work: Callable[[], T], look_back: Callable[[], None] = nothing) -> T:
        return self.around("change", lambda: self._coordinator.change(name, work, look_back))

    def is_leased(self, unit: Unit, seconds: float) -> bool:
        return self.around("is_leased", lambda: self._coordinator.is_leased(unit, seconds))

    def single(self, name: str, *, wait: bool) -> AbstractContextManager[None]:
        return self.around("single", lambda: self._coordinator.single(name, wait=wait))

    @contextmanager
    def quiet(self, name: RepositoryName | None = None) -> Iterator[Quiet]:
        with self.around("quiet", lambda: self._coordinator.quiet(name)) as quiet:
            yield DelegatingQuiet(quiet, self.around)

    @contextmanager
    def collection(self, grace: float, *, dry_run: bool = False, even_unsafe: bool = False) -> Iterator[Collection]:
        begun = self._coordinator.collection
        with self.around("collection", lambda: begun(grace, dry_run=dry_run, even_unsafe=even_unsafe)) as collection:
            yield DelegatingCollection(collection, self.around)

    def leases(self, grace: float) -> Leases:
        return self.around("leases", lambda: self._coordinator.leases(grace))

    def note_renewal(self, seconds: float) -> None:
        self.around("note_renewal", lambda: self._coordinator.note_renewal(seconds))

    def try_relying_on(self, digest: Digest) -> None:
        self.around("try_relying_on", lambda: self._coordinator.try_relying_on(digest))


class FailingCoordinator(DelegatingCoordinator):
    """Does what `coordinator` does until call number `fails_at`, which raises EIO: before its work, or after it."""

    def __init__(self, coordinator: Coordinator, fails_at: int, *, after: bool = False) -> None:
        super().__init__(coordinator)
        self._left = fails_at
        self._after = after
        self.failed_in: str | None = None

    def around(self, verb: str, work: Callable[[], T]) -> T:
        self._left -= 1
        fails = self._left == 0
        if fails and self._after:
            work()
        if fails:
            self.failed_in = verb
            raise OSError(errno.EIO, "as ordered")
        return work()


class RepeatingCoordinator(DelegatingCoordinator):
    """Runs all work twice, as a coordinator does whose state changed meanwhile, and looks back after each change."""

    def run(self, work: Callable[[Section], T], changing: RepositoryName | None = None) -> T:
        def twice(section: Section) -> T:
            work(section)
            return work(section)

        return self._coordinator.run(twice, changing)

    def change(self, name: RepositoryName, work: Callable[[], T], look_back: Callable[[], None] = nothing) -> T:
        def both() -> T:
            result = work()
            look_back()
            return result

        return self._coordinator.change(name, both)
