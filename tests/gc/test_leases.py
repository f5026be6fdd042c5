"""Content that a push in progress relies on stays until the push had time to use it, and no longer."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from pyregistry.oci.digest import Digest
from pyregistry.oci.errors import ManifestBlobUnknown
from pyregistry.oci.names import Tag
from pyregistry.storage.local import leases
from pyregistry.storage.local.coordinator import LocalCoordinator
from pyregistry.storage.local.driver import Driver
from pyregistry.storage.memory.driver import MemoryDriver
from pyregistry.storage.repositories.registry import Registry
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.coordinator import MAX_RENEWAL_SECONDS, Unit, renewed_after
from pyregistry.storage.seams.layout import StoragePath
from pyregistry.storage.seams.objects import Stat
from tests.builders import image, index
from tests.gc.collecting import age, blobs, exists, gc, has_blob, remove_repository, remove_tag
from tests.storage.pushing import pull, push_blob, push_image, registry_on, repository


def test_an_uploaded_blob_waits_for_its_manifest_until_the_grace_is_over(driver: Driver, registry: Registry) -> None:
    repo = repository(registry)
    digest = push_blob(repo, b"layer")
    report = gc(driver)
    assert (report.blobs_kept_by_leases, report.bytes_kept_by_leases) == (1, 5)
    assert report.leases_end_at is not None
    assert has_blob(driver, b"layer")
    age(driver, layout.layer_link(repo.name, digest))
    assert gc(driver).blobs_removed == 1
    assert not exists(driver, layout.repository(repo.name))


def test_with_no_grace_only_what_is_used_stays(driver: Driver, registry: Registry) -> None:
    push_blob(repository(registry), b"layer")
    assert gc(driver, grace=0).blobs_removed == 1


def test_a_head_keeps_an_old_blob_for_the_push_that_asked(driver: Driver, registry: Registry) -> None:
    repo = repository(registry)
    digest = push_blob(repo, b"layer")
    age(driver, layout.layer_link(repo.name, digest))
    repo.blob_with_lease(digest)
    gc(driver)
    assert has_blob(driver, b"layer")
    assert exists(driver, layout.layer_link(repo.name, digest))


def test_a_get_promises_nothing(driver: Driver, registry: Registry) -> None:
    repo = repository(registry)
    digest = push_blob(repo, b"layer")
    age(driver, layout.layer_link(repo.name, digest))
    repo.blob(digest)
    gc(driver)
    assert not has_blob(driver, b"layer")


def test_a_head_after_the_lease_was_used_begins_another_one(driver: Driver, registry: Registry) -> None:
    repo = repository(registry)
    push_image(repo, image(b"layer"), "latest")
    digest = Digest.of(b"layer")
    assert driver.stat(layout.layer_link(repo.name, digest)).modified_ns == leases.ENDED_NS
    repo.blob_with_lease(digest)
    repo.delete_manifest(Digest(image(b"layer").digest))
    gc(driver)
    assert has_blob(driver, b"layer")


def test_a_head_of_a_young_lease_changes_nothing(driver: Driver, registry: Registry) -> None:
    repo = repository(registry)
    digest = push_blob(repo, b"layer")
    paths = (layout.layer_link(repo.name, digest), layout.blob_data(digest))
    before = [driver.stat(path) for path in paths]
    repo.blob_with_lease(digest)
    assert [driver.stat(path) for path in paths] == before
    age(driver, paths[0], 200 * 10**9)  # more than a twentieth of the grace
    with leases.marks_of_touches(driver):  # a collector runs
        repo.blob_with_lease(digest)
    assert all(now.modified_ns > old.modified_ns for now, old in zip(map(driver.stat, paths), before, strict=True))


def test_without_a_collector_a_head_renews_the_lease_and_leaves_the_blob_as_it_is(
    driver: Driver, registry: Registry
) -> None:
    repo = repository(registry)
    digest = push_blob(repo, b"layer")
    link, data = layout.layer_link(repo.name, digest), layout.blob_data(digest)
    before = driver.stat(data)
    age(driver, link, 200 * 10**9)
    aged = driver.stat(link)
    repo.blob_with_lease(digest)
    assert driver.stat(data) == before
    assert driver.stat(link).modified_ns > aged.modified_ns


def test_a_section_that_waited_looks_for_a_collector_when_it_has_begun() -> None:
    """A collector that began meanwhile has not waited for it, and remembers what was there before."""

    class Announcing(MemoryDriver):
        """Tells when a writer asks for its section."""

        asked = threading.Event()

        @contextmanager
        def lock(self, name: str, *, exclusive: bool, wait: bool = True) -> Iterator[None]:
            if not exclusive:
                self.asked.set()
            with super().lock(name, exclusive=exclusive, wait=wait):
                yield

    driver = Announcing()
    coordinator, repo = LocalCoordinator(driver), repository(registry_on(driver))
    unit = Unit(repo.name, push_blob(repo, b"layer"))
    before = driver.stat(layout.blob_data(unit.digest))
    driver.asked.clear()
    writer = threading.Thread(target=lambda: coordinator.run(lambda section: section.claim([unit])))
    with coordinator.quiet():
        writer.start()
        assert driver.asked.wait(10)
        driver.make_directory(layout.TOUCHED)
    writer.join()
    assert driver.stat(layout.blob_data(unit.digest)).modified_ns > before.modified_ns


def test_a_mounted_blob_outlives_the_repository_that_it_came_from(driver: Driver, registry: Registry) -> None:
    push_image(repository(registry, "source"), image(b"base"), "latest")
    target = repository(registry, "target")
    target.mount_blob(Digest.of(b"base"), repository(registry, "source"))
    remove_repository(driver, "source")
    gc(driver)
    assert has_blob(driver, b"base")
    push_image(target, image(b"base"), "latest")
    assert pull(target, image(b"base"))


def test_a_manifest_pushed_by_digest_waits_for_its_index(driver: Driver, registry: Registry) -> None:
    repo = repository(registry)
    child = image(b"amd64")
    push_image(repo, child)
    assert gc(driver, delete_untagged=True).blobs_kept_by_leases == 1
    assert pull(repo, child)
    age(driver, layout.revision_link(repo.name, Digest(child.digest)))
    gc(driver, delete_untagged=True)
    assert blobs(driver) == set()


def test_a_head_by_digest_keeps_an_untagged_manifest_with_its_layers(driver: Driver, registry: Registry) -> None:
    repo = repository(registry)
    push_image(repo, image(b"layer"), "latest")
    remove_tag(repo, "latest")
    repo.manifest_with_lease(Digest(image(b"layer").digest))
    gc(driver, delete_untagged=True)
    assert pull(repo, image(b"layer"))


@pytest.mark.parametrize("how", ["deleted tag", "deleted manifest", "removed repository"])
def test_after_its_push_nothing_of_an_image_is_kept_by_a_lease(driver: Driver, registry: Registry, how: str) -> None:
    repo = repository(registry)
    nested = index(image(b"amd64"), image(b"arm64"))
    push_image(repo, nested, "multi")
    if how == "deleted tag":
        remove_tag(repo, "multi")
    elif how == "deleted manifest":
        repo.delete_manifest(Digest(nested.digest))
    else:
        remove_repository(driver, "team/app")
    report = gc(driver, delete_untagged=True)
    assert report.blobs_kept_by_leases == 0
    assert blobs(driver) == set()


def test_an_index_of_children_that_were_found_by_head_ends_their_leases_too(driver: Driver, registry: Registry) -> None:
    repo = repository(registry)
    child = image(b"amd64")
    push_image(repo, child, "child")
    remove_tag(repo, "child")
    for blob in child.blobs:
        repo.blob_with_lease(Digest.of(blob))
    repo.manifest_with_lease(Digest(child.digest))
    repo.put_manifest(Tag("multi"), index(child).content, index(child).media_type)
    remove_tag(repo, "multi")
    assert gc(driver, delete_untagged=True).blobs_kept_by_leases == 0
    assert blobs(driver) == set()


def test_a_refused_push_ends_no_lease(driver: Driver, registry: Registry) -> None:
    repo = repository(registry)
    digest = push_blob(repo, b"layer")
    with pytest.raises(ManifestBlobUnknown):
        repo.put_manifest(Tag("latest"), image(b"layer", b"missing").content, None)
    assert driver.stat(layout.layer_link(repo.name, digest)).modified_ns != leases.ENDED_NS


def test_a_blob_pushed_with_a_clock_ahead_is_kept(driver: Driver, registry: Registry) -> None:
    repo = repository(registry)
    age(driver, layout.layer_link(repo.name, push_blob(repo, b"layer")), -5 * 3600 * 10**9)
    gc(driver)
    assert has_blob(driver, b"layer")


def test_a_touched_blob_always_gets_a_later_time(driver: Driver, registry: Registry) -> None:
    repo = repository(registry)
    digest = push_blob(repo, b"layer")
    path = layout.blob_data(digest)
    age(driver, path, -5 * 3600 * 10**9)
    for rely in (lambda: leases.touch(driver, digest), lambda: push_blob(repo, b"layer")):
        before = driver.stat(path)
        with leases.marks_of_touches(driver):  # a collector runs
            rely()
        assert driver.stat(path).modified_ns > before.modified_ns


def test_a_layer_that_images_repeat_is_ended_once() -> None:
    # All writers wait for a collector that waits for this.
    class Counting(MemoryDriver):
        calls = 0

        def set_mtime(self, path: StoragePath, mtime_ns: int | None) -> None:
            self.calls += 1
            super().set_mtime(path, mtime_ns)

    driver = Counting()
    repo = repository(registry_on(driver))
    many = index(*(image(*[b"layer"] * 1_500, config=b"%d" % number) for number in range(3)))
    for child in many.children:
        for blob in set(child.blobs):
            push_blob(repo, blob)
        repo.put_manifest(Digest(child.digest), child.content, child.media_type)
    driver.calls = 0
    repo.put_manifest(Digest(many.digest), many.content, many.media_type, [Tag("latest")])
    assert driver.calls < 30


@pytest.mark.parametrize("names", [("a", "z"), ("z", "a")])
def test_what_another_repository_uses_is_not_counted_as_kept_by_leases(
    driver: Driver, registry: Registry, names: tuple[str, str]
) -> None:
    leased, using = (repository(registry, name) for name in names)
    push_image(using, image(), "latest")
    leased.mount_blob(Digest.of(b"layer one"), using)
    push_blob(leased, b"of a push in progress")
    report = gc(driver)
    assert (report.blobs_kept_by_leases, report.bytes_kept_by_leases) == (1, len(b"of a push in progress"))


@pytest.mark.parametrize("grace", [10.0, 60.0, 600.0, 3600.0])
@pytest.mark.parametrize("servers", [None, 10.0, 600.0, 3600.0, 86_400.0], ids=lambda grace: f"servers {grace}")
@pytest.mark.parametrize(("part", "is_kept"), [(0.9, True), (1.0, False)], ids=["in time", "too late"])
def test_each_head_is_good_for_nearly_a_grace_whatever_the_servers_renew_by(
    driver: Driver, registry: Registry, grace: float, servers: float | None, part: float, is_kept: bool
) -> None:
    renewed = MAX_RENEWAL_SECONDS
    if servers is not None:
        renewed = renewed_after(servers)
        leases.note_renewal(driver, renewed)
    repo = repository(registry)
    link = layout.layer_link(repo.name, push_blob(repo, b"layer"))
    # The oldest lease that a server answers without renewing it, and the time that the push took since.
    age(driver, link, round((max(renewed, renewed_after(grace)) + part * grace) * 1e9))
    gc(driver, grace=grace)
    assert has_blob(driver, b"layer") == is_kept


def test_the_servers_renew_by_the_longest_that_one_of_them_noted(driver: Driver) -> None:
    assert leases.noted_renewal(driver) == MAX_RENEWAL_SECONDS
    for noted, longest in ((3.0, 3.0), (180.0, 180.0), (0.0, 180.0), (3.0, 180.0)):
        leases.note_renewal(driver, noted)
        assert leases.noted_renewal(driver) == longest


@pytest.mark.parametrize("content", [b"", b"soon", b"nan", b"-1", b"inf", b"301", b"\xff"])
def test_a_note_that_says_nothing_counts_as_the_longest(driver: Driver, content: bytes) -> None:
    driver.write(layout.RENEWAL, content)
    assert leases.noted_renewal(driver) == MAX_RENEWAL_SECONDS


def test_with_no_grace_what_has_a_time_in_the_future_goes_too(driver: Driver, registry: Registry) -> None:
    repo = repository(registry)
    digest = push_blob(repo, b"layer")
    for path in (layout.layer_link(repo.name, digest), layout.blob_data(digest)):
        age(driver, path, -5 * 3600 * 10**9)
    assert gc(driver, grace=0).blobs_removed == 1


def test_a_mark_that_comes_when_the_run_has_just_ended_leaves_nothing() -> None:
    """Each touch of a server would leave a mark from then on, though no collector looks for it."""

    class Ending(MemoryDriver):
        """The run ends behind the look at its directory, and before the mark."""

        def stat(self, path: StoragePath) -> Stat:
            found = super().stat(path)
            if path == layout.TOUCHED:
                self.delete(layout.TOUCHED)
            return found

        def mark(self, path: StoragePath) -> None:
            self.delete(layout.TOUCHED)
            super().mark(path)

    driver = Ending()
    driver.make_directory(layout.TOUCHED)
    push_blob(repository(registry_on(driver)), b"content")
    assert not exists(driver, layout.TOUCHED)
    assert has_blob(driver, b"content")
