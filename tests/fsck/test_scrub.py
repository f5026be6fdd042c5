"""A scrub reads every blob, the one that waited longest first, and continues where it was stopped."""

import errno
import os
import time
from contextlib import closing
from dataclasses import dataclass

import pytest

from pyregistry.fsck import coverage
from pyregistry.fsck.findings import Finding
from pyregistry.fsck.hashing import Verdict, verify
from pyregistry.fsck.scrubbing import Coverage, RateLimiter, ScrubBusy, summarize
from pyregistry.oci.digest import Digest
from pyregistry.storage.local.driver import Driver
from pyregistry.storage.local.filesystem import FilesystemDriver
from pyregistry.storage.repositories.registry import Registry
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.layout import StoragePath
from pyregistry.storage.seams.objects import Source
from pyregistry.storage.seams.sources import BLOCK_BYTES, LocalFile, OpenSource
from tests.fsck.trees import APP, NEW, blob_path, fill, findings, quarantine_if_damaged, repair, scrub
from tests.gc.collecting import blobs
from tests.storage.pushing import pull, push_blob, push_image, registry_on, repository


def run(driver: Driver, stop_after: int | None = None) -> tuple[list[Finding], list[int], Coverage]:
    """A scrub, cut off after so many blobs; what it found, and the sizes of what it read."""
    progress = Coverage()
    read: list[int] = []

    class Stopped(Exception):
        pass

    def advance(size: int) -> None:
        read.append(size)
        if stop_after is not None and len(read) > stop_after:  # the first is what earlier runs read
            raise Stopped

    found = []
    try:
        with closing(scrub(driver, progress, advance)) as running:
            found += list(running)
    except Stopped:
        pass
    return found, read[1:], progress


def test_every_blob_is_read_once(driver: Driver, registry: Registry) -> None:
    fill(registry)
    found, read, progress = run(driver)
    assert found == []
    assert len(read) == progress.blobs == progress.checked == len(blobs(driver))
    summarize(driver, progress)
    assert progress.never == 0
    assert progress.oldest is not None
    assert time.time_ns() - progress.oldest < 60 * 10**9


def test_a_flipped_bit_is_found_wherever_it_is(driver: Driver, registry: Registry) -> None:
    fill(registry)
    damaged = {b"base", b"{}", NEW.content}
    for content in damaged:
        driver.write(blob_path(content), bytes((content[0] ^ 1, *content[1:])))
    found, _, progress = run(driver)
    assert {str(finding.digest) for finding in found} == {Digest.of(content) for content in damaged}
    assert {str(finding.kind) for finding in found} == {"corrupt-blob"}
    lost = {name for finding in findings(driver, corrupt=frozenset(progress.damaged)) for name in finding.lost}
    assert lost >= {"team/app:latest", "team/app:multi", "other:latest"}


def test_what_a_scrub_finds_is_quarantined_and_healed_by_the_next_push(driver: Driver, registry: Registry) -> None:
    fill(registry)
    driver.write(blob_path(b"new"), b"mew")
    for finding in run(driver)[0]:
        assert repair(driver, finding) == "quarantined"
    for finding in findings(driver):
        repair(driver, finding)
    [name] = driver.children(layout.quarantine(layout.PRIVATE))
    assert driver.read(layout.child(layout.quarantine(layout.PRIVATE), name)) == b"mew"
    app = repository(registry, APP)
    push_image(app, NEW, "latest")
    assert pull(app, NEW)
    assert run(driver)[0] == findings(driver) == []


def test_a_scrub_that_was_cut_off_is_gone_on_with(driver: Driver, registry: Registry) -> None:
    fill(registry)
    total = len(blobs(driver))
    _, first, _ = run(driver, stop_after=5)
    _, second, progress = run(driver)
    assert len(first) == 5
    assert len(second) == total - 5
    assert progress.checked == total
    assert len(run(driver)[1]) == total  # that pass was over


def test_the_blob_that_waited_longest_is_read_first(driver: Driver, registry: Registry) -> None:
    repo = repository(registry)
    digests = [push_blob(repo, bytes([number])) for number in range(5)]
    for age, digest in enumerate(digests):
        shard = coverage.load(driver, "sha256", digest.encoded[:2])
        shard.checked[digest.encoded] = (1_700_000_000 + 1000 * ((age * 3) % 5)) * 10**9
        coverage.save(driver, shard)
    new = push_blob(repo, b"never read")
    order: list[str] = []
    _note_order(driver, order)
    by_age = sorted(range(5), key=lambda age: (age * 3) % 5)
    assert order == [new, *(digests[age] for age in by_age)]


def _note_order(driver: Driver, order: list[str]) -> None:
    class Noting:
        def __getattr__(self, name: str) -> object:
            return getattr(driver, name)

        def source(self, path: StoragePath) -> Source:
            order.append(f"sha256:{path.split('/')[-2]}")
            return driver.source(path)

    list(scrub(Noting(), Coverage(), lambda size: None))  # type: ignore[arg-type] # as much of a driver as it needs


@pytest.mark.parametrize("torn", [b"", b"{", b"\xff", b"[]"])
def test_what_is_remembered_can_be_torn_or_thrown_away(driver: Driver, registry: Registry, torn: bytes) -> None:
    fill(registry)
    run(driver, stop_after=3)
    for name in list(driver.children(StoragePath(".pyregistry/scrub"))):
        driver.write(layout.child(StoragePath(".pyregistry/scrub"), name), torn)
    assert len(run(driver)[1]) == len(blobs(driver))
    driver.delete(StoragePath(".pyregistry/scrub"))
    assert len(run(driver)[1]) == len(blobs(driver))


def test_a_second_scrub_at_the_same_time_is_refused(driver: Driver, registry: Registry) -> None:
    fill(registry)
    with driver.lock("scrub", exclusive=True), pytest.raises(ScrubBusy):
        run(driver)


def test_a_blob_that_was_pushed_again_meanwhile_is_not_quarantined(filesystem: FilesystemDriver) -> None:
    registry = registry_on(filesystem)
    repo = repository(registry)
    digest = push_blob(repo, b"layer")
    filesystem.write(blob_path(b"layer"), b"rotten")

    class Healing(FilesystemDriver):
        """A client pushes the blob between the reading and the decision."""

        def lock(self, name: str, *, exclusive: bool, wait: bool = True):  # type: ignore[no-untyped-def] # as its base
            if name == "turnstile" and exclusive:
                push_blob(repo, b"layer")
            return super().lock(name, exclusive=exclusive, wait=wait)

    assert not quarantine_if_damaged(Healing(filesystem.root), digest)
    assert filesystem.read(blob_path(b"layer")) == b"layer"


@dataclass(frozen=True, slots=True)
class FailingFile(LocalFile):
    """A file of a disk that does not give its bytes."""

    error: int = errno.EIO

    def open(self) -> OpenSource:
        raise OSError(self.error, os.strerror(self.error), str(self.path))


class FailingDisk(FilesystemDriver):
    """Gives no blob."""

    error = errno.EIO

    def source(self, path: StoragePath) -> Source:
        return FailingFile(self.root / path, self.stat(path).size, self.error)


def test_a_disk_that_does_not_give_the_bytes_is_told_from_wrong_bytes(filesystem: FilesystemDriver) -> None:
    digest = push_blob(repository(registry_on(filesystem)), b"layer")
    disk = FailingDisk(filesystem.root)
    checked = verify(disk, digest)
    assert checked.verdict is Verdict.UNREADABLE
    assert "EIO" in checked.reason
    [finding] = run(disk)[0]
    assert finding.kind == "unreadable-blob"
    assert repair(disk, finding) == "quarantined"
    [name] = filesystem.children(layout.quarantine(layout.PRIVATE))
    assert filesystem.read(layout.child(layout.quarantine(layout.PRIVATE), name)) == b"layer"


def test_what_may_not_be_read_is_left_where_it_is(filesystem: FilesystemDriver) -> None:
    digest = push_blob(repository(registry_on(filesystem)), b"layer")
    disk = FailingDisk(filesystem.root)
    disk.error = errno.EACCES
    assert verify(disk, digest).verdict is Verdict.FORBIDDEN
    [finding] = run(disk)[0]
    assert (finding.kind, finding.is_damage) == ("no-permission", False)
    assert repair(disk, finding) is None
    assert filesystem.read(blob_path(b"layer")) == b"layer"


def test_one_wrong_reading_is_no_damage(filesystem: FilesystemDriver) -> None:
    digest = push_blob(repository(registry_on(filesystem)), b"layer")
    readings = iter([b"lay\0r", b"layer"])
    pread = os.pread

    def flaky(handle: int, size: int, offset: int) -> bytes:
        return next(readings) if offset == 0 else pread(handle, size, offset)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "pread", flaky)
        assert verify(filesystem, digest).verdict is Verdict.RIGHT


def test_a_large_blob_is_read_in_blocks_that_the_rate_sees(filesystem: FilesystemDriver) -> None:
    digest = push_blob(repository(registry_on(filesystem)), bytes(9 * BLOCK_BYTES + 1))
    sizes: list[int] = []
    assert verify(filesystem, digest, sizes.append).verdict is Verdict.RIGHT
    assert sizes == [BLOCK_BYTES] * 9 + [1]


def test_the_rate_is_kept_and_not_saved_up() -> None:
    slept: list[float] = []
    rate = RateLimiter(1000, slept.append)
    for _ in range(10):
        rate(100)
    assert sum(slept[-1:]) == pytest.approx(1.0, abs=0.2)
