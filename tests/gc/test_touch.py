"""A touch is seen by the collector on every file system, whatever times it keeps."""

import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from pyregistry.gc.types import Options, Plan, ProgressObserver
from pyregistry.oci.digest import Digest
from pyregistry.oci.names import Tag
from pyregistry.storage.local.filesystem import FilesystemDriver
from pyregistry.storage.repositories.repository import Repository
from pyregistry.storage.seams import layout
from tests.builders import image
from tests.gc.collecting import age, collect
from tests.storage.mounts import FILE_SYSTEMS, file_system
from tests.storage.pushing import pull, push_blob, push_image, registry_on, repository

YEAR = 365 * 86_400 * 10**9
LAST_OF_32_BITS = (2**31 - 1) * 10**9
NEW = image(b"reused", config=b'{"new": 1}')
Reuse = Callable[[Repository], object]


@pytest.fixture(scope="module", params=["tmpfs", *FILE_SYSTEMS])
def mounted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with file_system(request.param, tmp_path_factory.mktemp("disk")) as directory:
        yield directory


class Between(ProgressObserver):
    """Does something between mark and sweep."""

    def __init__(self, work: Callable[[], object]) -> None:
        super().__init__()
        self._work = work

    def planned(self, plan: Plan) -> None:
        self._work()


def put(repo: Repository) -> None:
    """The push of an image, all of whose blobs are there."""
    for blob in NEW.blobs:
        repo.blob_with_lease(Digest.of(blob))
    repo.put_manifest(Tag("new"), NEW.content, NEW.media_type)


def upload(repo: Repository) -> None:
    push_image(repo, NEW, "new")


def mount(repo: Repository) -> None:
    for blob in NEW.blobs:
        repo.mount_blob(Digest.of(blob), repo)
    repo.put_manifest(Tag("new"), NEW.content, NEW.media_type)


def unused(driver: FilesystemDriver) -> Repository:
    """A repository with the blobs of an image that was deleted, and the manifest's own bytes."""
    repo = repository(registry_on(driver))
    push_image(repo, image(b"stays", config=b'{"stays": 1}'), "stays")
    push_image(repo, NEW, "new")
    repo.delete_manifest(Digest(NEW.digest))
    return repo


@pytest.mark.parametrize("ahead", [0, YEAR, LAST_OF_32_BITS - time.time_ns()], ids=["now", "future", "last time"])
@pytest.mark.parametrize("reuse", [put, upload, mount])
def test_what_is_reused_between_mark_and_sweep_stays(mounted: Path, reuse: Reuse, ahead: int) -> None:
    root = mounted / f"{reuse.__name__} {ahead}"
    root.mkdir()
    driver = FilesystemDriver(root)
    repo = unused(driver)
    for content in (*NEW.blobs, NEW.content):
        age(driver, layout.blob_data(Digest.of(content)), -ahead)
    collect(driver, Options(), Between(partial(reuse, repo)))
    assert pull(repo, NEW)


def test_no_image_that_was_acknowledged_is_broken_in_a_tight_loop(mounted: Path) -> None:
    root = mounted / "loop"
    root.mkdir()
    driver = FilesystemDriver(root)
    repo = unused(driver)
    ended = threading.Event()

    def collect_on() -> None:
        while not ended.is_set():
            collect(driver, Options())

    collector = threading.Thread(target=collect_on)
    collector.start()
    try:
        for _ in range(60):
            push_image(repo, NEW, "new")
            assert pull(repo, NEW)
            repo.delete_manifest(Digest(NEW.digest))
    finally:
        ended.set()
        collector.join()


def test_a_removed_blob_that_comes_again_looks_like_itself_and_stays(mounted: Path) -> None:
    root = mounted / "again"
    root.mkdir()
    driver = FilesystemDriver(root)
    repo = repository(registry_on(driver))
    digest = push_blob(repo, b"again")
    path = layout.blob_data(digest)

    def bring_again() -> None:
        # A file system may give the number of a removed file to the next one, within the same second.
        kept = (driver.root / path).rename(root / "kept")
        push_blob(repo, b"again")
        kept.rename(driver.root / path)

    collect(driver, Options(grace=0), Between(bring_again))
    assert driver.stat(path).is_file
