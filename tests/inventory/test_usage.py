"""The bytes that each repository needs alone and shares, on both backends; and that it is quick."""

import time

from pyregistry.gc.types import Options
from pyregistry.inventory.usage import RepositoryUsage, measure
from pyregistry.oci.digest import Digest
from pyregistry.oci.names import RepositoryName, Tag
from pyregistry.storage.local.driver import Driver
from pyregistry.storage.local.filesystem import FilesystemDriver
from pyregistry.storage.repositories.registry import Registry
from pyregistry.storage.seams import layout
from tests.builders import artifact, image, index
from tests.gc.collecting import collect
from tests.storage.backends import backend_on
from tests.storage.pushing import push_blob, push_image, repository

BLOBS = 20_000


def test_own_shared_and_reclaimable_add_up(driver: Driver, registry: Registry) -> None:
    one, two = image(b"base", b"one"), image(b"base", b"two")
    push_image(repository(registry, "a"), one, "1", "2")
    push_image(repository(registry, "a"), index(one), "multi")
    push_image(repository(registry, "b"), two, "1")
    push_image(repository(registry, "c"), two, "1")
    push_image(repository(registry, "c"), artifact(two))
    push_blob(repository(registry, "d"), b"in progress")
    usage = measure(backend_on(driver))
    of = {each.name: each for each in usage.repositories}
    assert of == {
        "a": RepositoryUsage(RepositoryName("a"), 5, 3 + len(one.content) + len(index(one).content), 6),
        "b": RepositoryUsage(RepositoryName("b"), 4, 0, 4 + 2 + 3 + len(two.content)),
        "c": RepositoryUsage(RepositoryName("c"), 6, 11 + len(artifact(two).content), 4 + 2 + 3 + len(two.content)),
    }
    assert (usage.leased_blobs, usage.leased, usage.reclaimable) == (1, 11, 0)
    shared = 4 + 2 + 3 + len(two.content)
    assert usage.size == sum(each.own for each in usage.repositories) + shared + usage.leased


def test_reclaimable_is_what_gc_frees(driver: Driver, registry: Registry) -> None:
    repo = repository(registry)
    push_image(repo, image(b"old"), "latest")
    push_image(repo, image(b"new"), "latest")
    push_image(repository(registry, "gone"), image(b"gone"), "latest")
    driver.delete(layout.repository(RepositoryName("gone")))
    measured = measure(backend_on(driver), delete_untagged=True)
    assert measured.reclaimable == len(b"gone" + image(b"gone").content + b"old" + image(b"old").content)
    report = collect(driver, Options(delete_untagged=True))
    assert (report.blobs_removed, report.bytes_freed) == (measured.reclaimable_blobs, measured.reclaimable)
    assert repo.tagged(Tag("latest")) == image(b"new").digest


def test_many_blobs_are_measured_in_seconds(filesystem: FilesystemDriver) -> None:
    for number in range(BLOBS):
        path = filesystem.root / layout.blob_data(Digest.of(str(number).encode()))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"12345")
    (filesystem.root / layout.REPOSITORIES).mkdir()
    begin = time.process_time()
    assert measure(backend_on(filesystem)).reclaimable == 5 * BLOBS
    assert time.process_time() - begin < 5  # 0.2 s where nothing else runs
