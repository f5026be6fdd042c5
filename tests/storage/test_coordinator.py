"""Contract of every coordinator: two on locks, in a directory and in memory, and one that reads a state again."""

import multiprocessing
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from pyregistry.gc.collector import collect
from pyregistry.gc.types import CollectorBusy, Options, Plan, ProgressObserver, Report
from pyregistry.oci.digest import Digest
from pyregistry.oci.names import RepositoryName, Tag
from pyregistry.storage.local.coordinator import LocalCoordinator
from pyregistry.storage.local.driver import Driver
from pyregistry.storage.local.filesystem import FilesystemDriver
from pyregistry.storage.memory.driver import MemoryDriver
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.coordinator import COLLECTOR, Coordinator, Section, Staged, Unit
from pyregistry.storage.seams.layout import StoragePath
from pyregistry.storage.seams.links import exists
from pyregistry.storage.seams.objects import PathBusy, PathNotFound
from pyregistry.storage.seams.rules import GRACE_SECONDS
from tests.storage.delegating import DelegatingCoordinator, RepeatingCoordinator
from tests.storage.epochs import EpochCoordinator

APP, OTHER = RepositoryName("team/app"), RepositoryName("other")
CONTENT = b"content"
BLOB = Unit(APP, Digest.of(CONTENT))
DOCUMENT = b'{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": []}'
MANIFEST = Unit(APP, Digest.of(DOCUMENT), is_manifest=True)
LONG, SHORT = 10.0, 0.05
"""Seconds in which what must happen does, and what must not could."""


@dataclass
class Place:
    """A store, and the coordinator of those who use it."""

    driver: Driver
    coordinator: Coordinator

    def publish(self, unit: Unit = BLOB, content: bytes = CONTENT) -> None:
        self.coordinator.run(lambda section: section.publish(unit, content))

    def claim(self, *units: Unit) -> list[Unit]:
        return self.coordinator.run(lambda section: section.claim(units))

    def collect(self, grace: float = 0.0, between: Callable[[], object] | None = None, **options: bool) -> Report:
        return collect(self.driver, self.coordinator, Options(grace=grace, **options), Between(between))

    def lease(self, unit: Unit) -> bool:
        return self.coordinator.is_leased(unit, GRACE_SECONDS)


class Between(ProgressObserver):
    """Something happens when marking is over, and nothing was removed."""

    def __init__(self, between: Callable[[], object] | None) -> None:
        super().__init__()
        self._between = between

    def planned(self, plan: Plan) -> None:
        if self._between is not None:
            self._between()


MAKERS: dict[str, Callable[[Path], Place]] = {}


def _place(driver: Driver, make: Callable[[Driver], Coordinator]) -> Place:
    return Place(driver, make(driver))


MAKERS["locks in a directory"] = lambda root: _place(FilesystemDriver(root), LocalCoordinator)
MAKERS["locks in memory"] = lambda root: _place(MemoryDriver(), LocalCoordinator)
MAKERS["epochs in memory"] = lambda root: _place(MemoryDriver(), EpochCoordinator)
MAKERS["delegating"] = lambda root: _place(
    MemoryDriver(), lambda driver: DelegatingCoordinator(LocalCoordinator(driver))
)
MAKERS["work that runs twice"] = lambda root: _place(
    MemoryDriver(), lambda driver: RepeatingCoordinator(LocalCoordinator(driver))
)


@pytest.fixture(params=MAKERS)
def place(request: pytest.FixtureRequest, root: Path) -> Place:
    """Each coordinator in turn."""
    return MAKERS[request.param](root)


# Sections


def test_what_was_published_is_relied_on_and_what_was_not_is_missing(place: Place) -> None:
    place.publish()
    place.publish(MANIFEST, DOCUMENT)
    missing = [Unit(OTHER, BLOB.digest), Unit(APP, Digest.of(b"other")), Unit(APP, BLOB.digest, is_manifest=True)]
    assert place.claim(missing[0], BLOB, missing[1], MANIFEST, missing[2]) == missing


@pytest.mark.parametrize("path", [BLOB.link, layout.blob_data(BLOB.digest)], ids=["link", "bytes"])
def test_a_blob_is_missing_without_its_link_or_its_bytes(place: Place, path: StoragePath) -> None:
    place.publish()
    place.driver.delete(path)
    assert place.claim(BLOB) == [BLOB]


def test_bytes_that_a_crash_emptied_are_missing_and_those_of_the_empty_blob_are_not(place: Place) -> None:
    empty = Unit(APP, Digest.of(b""))
    place.publish()
    place.publish(empty, b"")
    place.driver.write(layout.blob_data(BLOB.digest), b"")
    assert place.claim(BLOB, empty) == [BLOB]


def test_publishing_again_repairs_the_bytes(place: Place) -> None:
    place.publish()
    place.driver.write(layout.blob_data(BLOB.digest), b"damaged")
    place.publish()
    assert place.driver.read(layout.blob_data(BLOB.digest)) == CONTENT


def test_content_is_there_before_the_entry_and_the_entry_before_the_link(place: Place) -> None:
    seen = []

    def look() -> None:
        seen.append([exists(place.driver, path) for path in (layout.blob_data(MANIFEST.digest), MANIFEST.link)])

    place.coordinator.run(lambda section: section.publish(MANIFEST, DOCUMENT, look))
    assert seen[0] == [True, False]
    assert exists(place.driver, MANIFEST.link)


def test_a_publication_that_fails_at_the_entry_shows_no_link(place: Place) -> None:
    def fail() -> None:
        raise OSError("a full disk")

    with pytest.raises(OSError, match="a full disk"):
        place.coordinator.run(lambda section: section.publish(MANIFEST, DOCUMENT, fail))
    assert not exists(place.driver, MANIFEST.link)


def test_the_bytes_of_an_upload_are_taken_from_where_they_are(place: Place) -> None:
    staged = Staged(StoragePath(f"{layout.uploads(APP)}/one/data"))
    place.driver.write(staged.path, CONTENT)
    place.coordinator.run(lambda section: section.publish(BLOB, staged))
    assert place.driver.read(layout.blob_data(BLOB.digest)) == CONTENT
    assert not exists(place.driver, staged.path)
    assert place.claim(BLOB) == []


def test_an_upload_that_is_gone_publishes_nothing(place: Place) -> None:
    with pytest.raises(PathNotFound):
        place.coordinator.run(lambda section: section.publish(BLOB, Staged(StoragePath("gone"))))
    assert place.claim(BLOB) == [BLOB]


def test_a_mounted_blob_is_there_and_promised(place: Place) -> None:
    place.publish()
    mounted = Unit(OTHER, BLOB.digest)

    def mount(section: Section) -> None:
        assert section.claim([BLOB]) == []
        section.link(mounted, BLOB)

    place.coordinator.run(mount)
    assert place.claim(mounted) == []
    assert place.lease(mounted)


def test_a_tag_names_what_was_published(place: Place) -> None:
    def push(section: Section) -> None:
        section.publish(MANIFEST, DOCUMENT)
        section.set_tags(MANIFEST, [Tag("one"), Tag("two")])

    place.coordinator.run(push)
    for tag in ("one", "two"):
        assert place.driver.read(layout.tag_current_link(APP, Tag(tag))).decode() == MANIFEST.digest


# Leases


@pytest.mark.parametrize("unit", [BLOB, MANIFEST], ids=["blob", "manifest"])
def test_a_lease_begins_with_the_link_ends_when_it_was_used_and_begins_again(place: Place, unit: Unit) -> None:
    place.publish(unit, DOCUMENT if unit.is_manifest else CONTENT)
    assert place.lease(unit)
    assert place.coordinator.run(lambda section: section.finish([unit])) == []
    assert not place.lease(unit)

    def renew(section: Section) -> None:
        assert section.claim([unit]) == []
        section.renew(unit)

    place.coordinator.run(renew)
    assert place.lease(unit)
    assert not place.coordinator.is_leased(unit, 0)


def test_what_is_gone_is_told_when_its_lease_ends(place: Place) -> None:
    place.publish()
    place.publish(MANIFEST, DOCUMENT)
    place.driver.delete(BLOB.link)
    assert place.coordinator.run(lambda section: section.finish([MANIFEST, BLOB])) == [BLOB]


def test_a_lease_of_what_is_not_there_cannot_be_asked_for(place: Place) -> None:
    with pytest.raises(PathNotFound):
        place.lease(BLOB)


# The collector


def test_a_collection_keeps_what_is_promised_and_frees_the_rest(place: Place) -> None:
    place.publish()
    assert place.collect(GRACE_SECONDS).blobs_removed == 0
    place.coordinator.run(lambda section: section.finish([BLOB]))
    assert place.collect(GRACE_SECONDS).blobs_removed == 1
    assert place.claim(BLOB) == [BLOB]


def test_without_a_grace_a_promise_keeps_nothing(place: Place) -> None:
    place.publish()
    assert place.collect(0).blobs_removed == 1


def test_what_is_relied_on_after_marking_is_not_removed(place: Place) -> None:
    place.publish()
    assert place.collect(0, lambda: place.claim(BLOB)).blobs_removed == 0
    assert place.claim(BLOB) == []


def test_what_is_published_again_after_marking_is_not_removed(place: Place) -> None:
    place.publish()
    assert place.collect(0, place.publish).blobs_removed == 0
    assert place.claim(BLOB) == []


def test_what_is_mounted_after_marking_is_not_removed(place: Place) -> None:
    place.publish()

    def mount(section: Section) -> None:
        section.claim([BLOB])
        section.link(Unit(OTHER, BLOB.digest), BLOB)

    place.collect(0, lambda: place.coordinator.run(mount))
    assert place.claim(Unit(OTHER, BLOB.digest)) == []


def test_a_section_that_began_before_the_collection_is_seen_by_it_or_refused(place: Place) -> None:
    """It relied on the blob when no collector could know, and shows only now what needs the blob."""
    place.publish()
    relied, go_on = threading.Event(), threading.Event()
    acknowledged = []

    def push(section: Section) -> bool:
        if section.claim([BLOB]):
            return False
        relied.set()
        assert go_on.wait(LONG)
        content = (
            b'{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": '
            b'{"mediaType": "a/b", "digest": "%s", "size": 7}, "layers": []}' % BLOB.digest.encode()
        )
        section.publish(Unit(APP, Digest.of(content), is_manifest=True), content)
        return True

    writer = threading.Thread(target=lambda: acknowledged.append(place.coordinator.run(push)))
    writer.start()
    assert relied.wait(LONG)
    collector = threading.Thread(target=place.collect)
    collector.start()
    collector.join(SHORT)
    go_on.set()
    for thread in (writer, collector):
        thread.join(LONG)
        assert not thread.is_alive()
    place.collect()
    assert acknowledged == [place.claim(BLOB) == []]


def test_a_run_that_only_looks_changes_nothing(place: Place) -> None:
    place.publish()
    place.publish(MANIFEST, DOCUMENT)
    assert place.collect(0, dry_run=True).blobs_removed == 1
    assert place.claim(BLOB, MANIFEST) == []


def test_one_collection_runs_at_a_time(place: Place) -> None:
    place.publish()

    def second() -> None:
        with pytest.raises(CollectorBusy):
            place.collect()

    place.collect(0, second)
    assert place.collect().blobs == 0


# Others


def test_one_thread_holds_a_name(place: Place) -> None:
    with place.coordinator.single("name", wait=False):
        refused = []

        def second() -> None:
            try:
                with place.coordinator.single("name", wait=False):
                    pass
            except PathBusy as error:
                refused.append(error)

        thread = threading.Thread(target=second)
        thread.start()
        thread.join(LONG)
        assert refused
        with place.coordinator.single("other", wait=False):
            pass
    with place.coordinator.single("name", wait=True):
        pass


def test_one_process_holds_a_name_and_gives_it_back_when_it_is_killed(root: Path) -> None:
    context = multiprocessing.get_context("fork")
    has_it = context.Event()

    def hold() -> None:
        with LocalCoordinator(FilesystemDriver(root)).single(COLLECTOR, wait=False):
            has_it.set()
            time.sleep(LONG)

    process = context.Process(target=hold)
    process.start()
    assert has_it.wait(LONG)
    coordinator = LocalCoordinator(FilesystemDriver(root))
    with pytest.raises(PathBusy), coordinator.single(COLLECTOR, wait=False):
        pass
    assert process.pid is not None
    os.kill(process.pid, 9)
    process.join()
    with coordinator.single(COLLECTOR, wait=True):
        pass


def test_a_change_returns_what_its_work_does(place: Place) -> None:
    assert place.coordinator.change(APP, lambda: 7) == 7


@pytest.fixture(params=["locks in a directory", "locks in memory"])
def locking(request: pytest.FixtureRequest, root: Path) -> Place:
    """The coordinators on locks."""
    return MAKERS[request.param](root)


@pytest.mark.parametrize("second", ["change", "run", "quiet"])
def test_changes_of_a_repository_exclude_each_other(locking: Place, second: str) -> None:
    coordinator, done = locking.coordinator, threading.Event()

    def change() -> None:
        if second == "change":
            coordinator.change(APP, done.set)
        elif second == "run":
            coordinator.run(lambda section: done.set(), changing=APP)
        else:
            with coordinator.quiet(APP):
                done.set()

    thread = threading.Thread(target=change)

    def first() -> None:
        thread.start()
        assert not done.wait(SHORT)

    coordinator.change(APP, first)
    assert done.wait(LONG)
    thread.join()


def test_a_section_keeps_batches_and_quiet_moments_out(locking: Place) -> None:
    entered = threading.Event()

    def wait_for_quiet() -> None:
        with locking.coordinator.quiet():
            entered.set()

    thread = threading.Thread(target=wait_for_quiet)

    def work(section: Section) -> None:
        thread.start()
        assert not entered.wait(SHORT)

    locking.coordinator.run(work)
    assert entered.wait(LONG)
    thread.join()


def test_sections_run_side_by_side(place: Place) -> None:
    meeting = threading.Barrier(2)

    def meet() -> None:
        place.coordinator.run(lambda section: meeting.wait(LONG))

    threads = [threading.Thread(target=meet) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG)
    assert not meeting.broken


@pytest.fixture
def killed(place: Place) -> None:
    """A collection of this store ended amid its removals."""

    class KilledError(Exception):
        pass

    def end() -> None:
        raise KilledError

    place.publish()
    with suppress(KilledError):
        place.collect(0, end)


@pytest.mark.usefixtures("killed")
def test_after_a_collection_that_failed_the_next_one_frees_and_pushes_go_on(place: Place) -> None:
    assert place.claim(BLOB) == []
    place.publish(MANIFEST, DOCUMENT)
    place.collect(0)
    assert place.claim(MANIFEST) == []
    assert place.claim(BLOB) == [BLOB]
