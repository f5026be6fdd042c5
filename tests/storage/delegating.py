"""Coordinators around another one, written once: a test overrides the verb in which something is to happen."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import TypeVar

from pyregistry.oci.digest import Digest
from pyregistry.oci.names import RepositoryName, Tag
from pyregistry.storage.seams.coordinator import Collection, Coordinator, Leases, Quiet, Section, Staged, Unit, nothing

T = TypeVar("T")


class DelegatingSection:
    def __init__(self, section: Section, before: Callable[[str], None] = lambda verb: None) -> None:
        """`before` is called with the name of each verb, before it."""
        self._section = section
        self._before = before

    def claim(self, units: Sequence[Unit]) -> list[Unit]:
        self._before("claim")
        return self._section.claim(units)

    def publish(self, unit: Unit, content: bytes | Staged, entry: Callable[[], None] = nothing) -> None:
        self._before("publish")
        self._section.publish(unit, content, entry)

    def link(self, unit: Unit, source: Unit) -> None:
        self._before("link")
        self._section.link(unit, source)

    def set_tags(self, unit: Unit, tags: Sequence[Tag]) -> None:
        self._before("set_tags")
        self._section.set_tags(unit, tags)

    def renew(self, unit: Unit) -> None:
        self._before("renew")
        self._section.renew(unit)

    def finish(self, units: Iterable[Unit]) -> list[Unit]:
        self._before("finish")
        return self._section.finish(units)


class DelegatingCoordinator:
    def __init__(self, coordinator: Coordinator, before: Callable[[str], None] = lambda verb: None) -> None:
        """`before` is called with the name of each verb, before it; what it raises is the verb's failure."""
        self._coordinator = coordinator
        self._before = before

    def run(self, work: Callable[[Section], T], changing: RepositoryName | None = None) -> T:
        self._before("run")
        return self._coordinator.run(lambda section: work(DelegatingSection(section, self._before)), changing)

    def change(self, name: RepositoryName, work: Callable[[], T], look_back: Callable[[], None] = nothing) -> T:
        self._before("change")
        return self._coordinator.change(name, work, look_back)

    def is_leased(self, unit: Unit, seconds: float) -> bool:
        self._before("is_leased")
        return self._coordinator.is_leased(unit, seconds)

    def single(self, name: str, *, wait: bool) -> AbstractContextManager[None]:
        self._before("single")
        return self._coordinator.single(name, wait=wait)

    def quiet(self, name: RepositoryName | None = None) -> AbstractContextManager[Quiet]:
        self._before("quiet")
        return self._coordinator.quiet(name)

    def collection(
        self, grace: float, *, dry_run: bool = False, even_unsafe: bool = False
    ) -> AbstractContextManager[Collection]:
        self._before("collection")
        return self._coordinator.collection(grace, dry_run=dry_run, even_unsafe=even_unsafe)

    def leases(self, grace: float) -> Leases:
        self._before("leases")
        return self._coordinator.leases(grace)

    def note_renewal(self, seconds: float) -> None:
        self._before("note_renewal")
        self._coordinator.note_renewal(seconds)

    def try_relying_on(self, digest: Digest) -> None:
        self._before("try_relying_on")
        self._coordinator.try_relying_on(digest)


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
