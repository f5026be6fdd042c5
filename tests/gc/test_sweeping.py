"""The execution of a plan: its batches, and what happens when something cannot be removed."""

import errno
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pyregistry.gc import batches
from pyregistry.gc.types import MarkFailed
from pyregistry.oci.digest import Digest
from pyregistry.oci.names import RepositoryName, Tag
from pyregistry.storage.local.driver import Driver
from pyregistry.storage.local.filesystem import FilesystemDriver
from pyregistry.storage.memory.driver import MemoryDriver
from pyregistry.storage.repositories.registry import Registry
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.layout import StoragePath
from tests.builders import image, index
from tests.gc.collecting import blobs, exists, gc, has_blob, remove_tag
from tests.storage.pushing import pull, push_blob, push_image, registry_on, repository


class BusyDriver(MemoryDriver):
    """Others commit all the time: the exclusive lock comes late."""

    @contextmanager
    def lock(self, name: str, *, exclusive: bool, wait: bool = True) -> Iterator[None]:
        if name == "commit" and exclusive:
            time.sleep(batches.BATCH_SECONDS * 1.2)
        with super().lock(name, exclusive=exclusive, wait=wait):
            yield


class StubbornDriver(MemoryDriver):
    """One path cannot be removed."""

    stubborn: StoragePath | None = None

    def discard(self, path: StoragePath) -> None:
        if path == self.stubborn:
            raise OSError(errno.EACCES, "Permission denied", path)
        super().discard(path)


@pytest.mark.timeout(30)
def test_a_registry_in_which_every_lock_is_waited_for_is_swept_all_the_same() -> None:
    driver = BusyDriver()
    repo = repository(registry_on(driver))
    push_image(repo, image(), "latest")
    repo.delete_manifest(Digest(image().digest))
    assert gc(driver).blobs_removed == 4


def test_an_index_that_cannot_be_removed_keeps_all_that_is_below_it() -> None:
    driver = StubbornDriver()
    repo = repository(registry_on(driver))
    nested = index(index(image(b"amd64")), image(b"arm64"))
    push_image(repo, nested, "multi")
    remove_tag(repo, "multi")
    driver.stubborn = layout.revision(repo.name, Digest(nested.digest))
    report = gc(driver, delete_untagged=True, grace=0)
    assert report.skipped == [f"{driver.stubborn}: Permission denied"]
    assert pull(repo, nested)
    driver.stubborn = None
    gc(driver, delete_untagged=True, grace=0)
    assert blobs(driver) == set()


def test_a_blob_that_cannot_be_removed_is_said_and_the_rest_goes() -> None:
    driver = StubbornDriver()
    repo = repository(registry_on(driver))
    push_image(repo, image(b"one", b"two"), "latest")
    repo.delete_manifest(Digest(image(b"one", b"two").digest))
    driver.stubborn = layout.blob(Digest.of(b"one"))
    report = gc(driver)
    assert (report.blobs_removed, report.skipped) == (3, [f"{driver.stubborn}: Permission denied"])
    assert has_blob(driver, b"one")


def test_what_lies_in_a_directory_of_another_prefix_is_no_blob(driver: Driver, registry: Registry) -> None:
    push_image(repository(registry), image(), "latest")
    digest = Digest.of(b"layer one")
    odd = layout.child(layout.child(layout.BLOBS, "sha256"), digest.encoded[0])
    driver.write(layout.child(layout.child(odd, digest.encoded), layout.DATA), b"layer one")
    report = gc(driver)
    assert (report.blobs, report.blobs_removed) == (4, 0)
    assert pull(repository(registry), image())


def test_a_repository_that_is_deeper_than_a_name_can_say_ends_the_run(driver: Driver, registry: Registry) -> None:
    # An operator may have moved it there; what is in it must not be taken for garbage.
    push_image(repository(registry), image(), "latest")
    deep = layout.repository(RepositoryName("/".join("a" * 128)))
    for component in "bc":
        deep = layout.child(deep, component)
    driver.make_directory(layout.child(deep, "_manifests"))
    with pytest.raises(MarkFailed, match="a/b/c"):
        gc(driver)
    assert exists(driver, layout.blob_data(Digest.of(b"layer one")))


def test_a_symbolic_link_to_repositories_elsewhere_ends_the_run(filesystem: FilesystemDriver) -> None:
    # What is behind it can be pulled, and no walk sees it.
    repo = repository(registry_on(filesystem), "team/app")
    push_image(repo, image(), "latest")
    team = filesystem.root / layout.REPOSITORIES / "team"
    elsewhere = filesystem.root.parent / "elsewhere"
    team.rename(elsewhere)
    team.symlink_to(elsewhere)
    assert pull(repo, image())
    with pytest.raises(MarkFailed, match="team is a symbolic link"):
        gc(filesystem, grace=0)
    assert pull(repo, image())


@pytest.mark.parametrize("untagged", [False, True])
@pytest.mark.parametrize(
    "part",
    [
        "_manifests/revisions/sha256",
        f"_manifests/revisions/sha256/{image().digest.removeprefix('sha256:')}",
        "_manifests/tags/latest",
        "_layers/sha256",
    ],
)
def test_a_symbolic_link_within_a_repository_ends_the_run(
    filesystem: FilesystemDriver, part: str, *, untagged: bool
) -> None:
    # A pull goes through it, and a listing leaves it out.
    repo = repository(registry_on(filesystem), "team/app")
    push_image(repo, image(), "latest")
    there = filesystem.root / layout.REPOSITORIES / "team/app" / part
    elsewhere = filesystem.root.parent / "elsewhere"
    there.rename(elsewhere)
    there.symlink_to(elsewhere)
    assert pull(repo, image())
    if untagged or "tags" not in part:
        with pytest.raises(MarkFailed, match=f"{part}: a symbolic link"):
            gc(filesystem, grace=0, delete_untagged=untagged)
    else:  # no tag is looked at
        gc(filesystem, grace=0)
    assert pull(repo, image())


def test_the_links_are_gone_for_good_before_a_blob_goes(root: Path) -> None:
    class Recording(FilesystemDriver):
        def discard(self, path: StoragePath) -> None:
            happened.append(path)
            super().discard(path)

        def sync(self) -> None:
            happened.append("sync")
            super().sync()

    happened: list[str] = []
    driver = Recording(root)
    repo = repository(registry_on(driver))
    push_image(repo, image(), "latest")
    push_blob(repo, b"never used")
    remove_tag(repo, "latest")
    happened.clear()
    gc(driver, grace=0, delete_untagged=True)
    manifests, _, rest = " ".join(happened).partition(" sync ")
    links, _, blobs_and_directories = rest.partition(" sync ")
    assert manifests.count("/_manifests/revisions/") == len(manifests.split()) == 1
    assert links.count("/_layers/") == len(links.split()) == 4
    assert blobs_and_directories.count("/blobs/") == 5


def test_a_run_that_cannot_make_sure_of_that_removes_no_blob() -> None:
    class Refusing(MemoryDriver):
        def sync(self) -> None:
            raise OSError(errno.EIO, "Input/output error", "/")

    driver = Refusing()
    repo = repository(registry_on(driver))
    push_image(repo, image(), "latest")
    before = blobs(driver)
    remove_tag(repo, "latest")
    with pytest.raises(OSError, match="Input/output error"):
        gc(driver, grace=0, delete_untagged=True)
    assert blobs(driver) == before
    assert exists(driver, layout.blob_data(Digest.of(b"layer one")))


class SyncingDriver(MemoryDriver):
    """Remembers what was removed and synced in which order; the sync of that number fails."""

    def __init__(self, fails_at: int = 0) -> None:
        super().__init__()
        self.done: list[str] = []
        self._left = fails_at

    def discard(self, path: StoragePath) -> None:
        super().discard(path)
        self.done.append("blob" if path.startswith(layout.BLOBS) else "link")

    def sync(self) -> None:
        self._left -= 1
        if self._left == 0:
            raise OSError(errno.EIO, "Input/output error")
        self.done.append("sync")


def test_what_named_a_blob_is_gone_for_good_before_the_blob_goes_whoever_removed_it() -> None:
    """An operator's `rm -rf` and a deletion that was answered 500 have synced nothing."""
    driver = SyncingDriver()
    repo = repository(registry_on(driver))
    push_image(repo, image(), "latest")
    driver.delete(layout.repository(repo.name), durable=False)
    driver.make_directory(layout.REPOSITORIES)
    gc(driver)
    assert driver.done == ["sync", "blob", "blob", "blob", "blob"]


@pytest.mark.parametrize("fails_at", [1, 2])
def test_after_a_failed_sync_nothing_more_goes_and_the_next_run_syncs_again(fails_at: int) -> None:
    driver = SyncingDriver(fails_at)
    repo = repository(registry_on(driver))
    push_image(repo, image(), "latest")
    repo.delete_tag(Tag("latest"))
    with pytest.raises(OSError, match="Input/output error"):
        gc(driver, delete_untagged=True)
    assert "blob" not in driver.done
    begin = len(driver.done)
    gc(driver, delete_untagged=True)
    again = driver.done[begin:]
    assert again.count("blob") == 4
    assert "sync" in again[: again.index("blob")]
    assert "link" not in again[again.index("blob") :]


def test_where_nothing_is_to_go_nothing_is_synced() -> None:
    driver = SyncingDriver()
    push_image(repository(registry_on(driver)), image(), "latest")
    gc(driver)
    assert driver.done == []
