"""Full disks, failing disks and operators with `rm -rf`: no torn file, no temporary, and the next write works."""

import asyncio
import errno
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyregistry.oci.digest import Digest
from pyregistry.oci.errors import StorageFull
from pyregistry.oci.names import RepositoryName
from pyregistry.storage.local.directories import REMAKE_SECONDS
from pyregistry.storage.local.filesystem import FilesystemDriver
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.links import link_blob, read_link
from pyregistry.storage.seams.objects import PathNotFound
from pyregistry.storage.uploads import batches
from tests.processes import wait_until
from tests.storage.calls import run_with_fault
from tests.storage.mounts import resize, tmpfs
from tests.storage.paths import MISSING, at
from tests.storage.pushing import registry_on, repository, stream


def temporaries(root: Path) -> list[str]:
    """Return the files left in the directory of temporary files."""
    return [path.name for path in (root / layout.TMP).glob("*")]


def open_descriptors() -> int:
    """Return the number of descriptors that this process has."""
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture
def small(root: Path) -> Iterator[FilesystemDriver]:
    with tmpfs(root, "size=1m") as directory:
        yield FilesystemDriver(directory)


def test_on_a_full_disk_a_write_leaves_the_old_file_and_no_temporary(small: FilesystemDriver) -> None:
    small.write(at("a"), b"old")
    with pytest.raises(OSError, match="No space left") as full:
        small.write(at("a"), b"x" * 2_000_000)
    assert full.value.errno == errno.ENOSPC
    assert small.read(at("a")) == b"old"
    assert temporaries(small.root) == []


def test_on_a_full_disk_a_new_file_does_not_appear(small: FilesystemDriver) -> None:
    with pytest.raises(OSError, match="No space left"):
        small.write(at("a", "b"), b"x" * 2_000_000)
    with pytest.raises(PathNotFound):
        small.stat(at("a", "b"))
    small.write(at("a", "b"), b"small")
    assert small.read(at("a", "b")) == b"small"


async def test_on_a_full_disk_an_upload_keeps_what_fitted(small: FilesystemDriver) -> None:
    await asyncio.to_thread(small.write, at("a"), b"")

    async def fill() -> None:
        async with small.appender(at("a"), wait=0) as appender:
            for _ in range(100):
                await appender.write(b"x" * 50_000)

    with pytest.raises(OSError, match="No space left"):
        await fill()
    async with small.appender(at("a"), wait=0) as appender:
        assert 1_000_000 <= appender.offset <= 1_048_576
        assert appender.offset == (await asyncio.to_thread(appender.stat)).size


async def test_an_upload_that_met_a_full_disk_can_be_finished_when_there_is_room(small: FilesystemDriver) -> None:
    content = bytes(range(256)) * 16_384
    await asyncio.to_thread(resize, small.root, "2500k")
    repo = repository(registry_on(small))
    upload = await asyncio.to_thread(repo.start_upload)
    with pytest.raises(
        (StorageFull, OSError), match=r"free space|No space left"
    ):  # as it is seen while a batch is written
        await upload.append(stream(*(content[at : at + 65_536] for at in range(0, len(content), 65_536))))
    offset = await asyncio.to_thread(upload.offset)
    assert batches.BATCH_BYTES < offset < len(content)
    await asyncio.to_thread(resize, small.root, "16m")
    await upload.append(stream(content[offset:]), at=offset)
    await upload.commit(Digest.of(content), stream())


async def test_an_upload_for_which_there_is_no_room_is_refused_before_it_is_written(small: FilesystemDriver) -> None:
    upload = await asyncio.to_thread(repository(registry_on(small)).start_upload)
    with pytest.raises(StorageFull):
        await upload.append(stream(b"x" * batches.BATCH_BYTES))
    assert await asyncio.to_thread(upload.offset) == 0
    assert await upload.append(stream(b"x" * 1_000)) == 1_000


def test_uploads_leave_a_fiftieth_of_a_small_file_system_to_those_who_tidy_up(small: FilesystemDriver) -> None:
    free = shutil.disk_usage(small.root).free
    assert small.available_bytes() == free - 1_048_576 // 50
    small.write(at("a"), b"x" * (free - 8_192))
    assert small.available_bytes() == 0


def test_on_a_full_disk_reads_and_deletions_go_on(small: FilesystemDriver) -> None:
    small.write(at("a"), b"old")
    for number in range(100):
        try:
            small.write(at("filler", str(number)), b"x" * 50_000)
        except OSError:
            break
    assert small.read(at("a")) == b"old"
    small.delete(at("filler", "0"))
    small.write(at("b"), b"x" * 40_000)


def test_without_inodes_nothing_is_torn(root: Path) -> None:
    with tmpfs(root, "nr_inodes=20"):
        driver = FilesystemDriver(root)
        driver.probe()
        driver.write(at("a"), b"old")

        def fill() -> None:
            for number in range(20):
                driver.write(at("filler", str(number)), b"")

        with pytest.raises(OSError, match="No space left"):
            fill()
        assert driver.read(at("a")) == b"old"
        assert temporaries(root) == []
        driver.delete(at("filler"))
        driver.write(at("a"), b"new")


NOTE_ERROR = """
try:
    driver.write(at("a", "b"), b"new")
except OSError as error:
    Path(sys.argv[1] + ".error").symlink_to(str(error.errno))
"""


@pytest.mark.parametrize("call", ["write", "fsync", "rename,renameat,renameat2"])
@pytest.mark.parametrize("fault", ["EIO", "ENOSPC", "EROFS"])
def test_a_failing_call_is_reported_as_it_is_and_leaves_the_old_file(root: Path, call: str, fault: str) -> None:
    driver = FilesystemDriver(root)
    driver.write(at("a", "b"), b"old")
    run_with_fault(root, NOTE_ERROR, f"{call}:error={fault}:when=1")
    reported = root.with_name(root.name + ".error")
    assert reported.is_symlink(), "the write did not fail"
    assert str(reported.readlink()) == str(getattr(errno, fault))
    assert driver.read(at("a", "b")) == b"old"
    assert temporaries(root) == []


def test_a_directory_that_cannot_be_synced_is_an_error_and_no_file_is_torn(root: Path) -> None:
    FilesystemDriver(root).write(at("a", "b"), b"old")
    run_with_fault(root, NOTE_ERROR, "fsync:error=EIO:when=7+")  # after the file and the five names above it
    assert str(root.with_name(root.name + ".error").readlink()) == str(errno.EIO)
    assert FilesystemDriver(root).read(at("a", "b")) in (b"old", b"new")
    assert temporaries(root) == []


def test_a_root_that_is_gone_is_not_made_again(root: Path, filesystem: FilesystemDriver) -> None:
    root.rmdir()
    with pytest.raises(FileNotFoundError):
        filesystem.write(at("a"), b"x")
    with pytest.raises(FileNotFoundError):
        filesystem.make_directory(at("a"))
    assert not root.exists()


def test_a_probe_leaves_nothing_and_finds_what_cannot_be_used(root: Path, filesystem: FilesystemDriver) -> None:
    filesystem.probe()
    assert [path for path in root.rglob("*") if path.is_file()] == []
    shutil.rmtree(root / layout.PRIVATE)
    (root / layout.PRIVATE).write_bytes(b"")
    with pytest.raises(OSError, match="Not a directory"):
        filesystem.probe()


@pytest.mark.parametrize("path", [MISSING, at("directory"), at("link"), at("file", "below")])
def test_what_cannot_be_read_leaves_no_descriptor_open(filesystem: FilesystemDriver, path: layout.StoragePath) -> None:
    filesystem.make_directory(at("directory"))
    filesystem.write(at("file"), b"")
    (filesystem.root / at("link")).symlink_to("directory")
    before = open_descriptors()
    for _ in range(50):
        with pytest.raises(PathNotFound):
            filesystem.read(path)
    assert open_descriptors() <= before


async def test_a_request_that_is_cancelled_while_it_opens_a_file_leaves_no_descriptor(
    filesystem: FilesystemDriver,
) -> None:
    await asyncio.to_thread(filesystem.write, at("a"), b"")

    async def append() -> None:
        async with filesystem.appender(at("a"), wait=0):
            await asyncio.sleep(10)

    before = open_descriptors()
    for _ in range(30):
        task = asyncio.create_task(append())
        await asyncio.sleep(0)  # it has asked for the file, which a thread is opening
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert open_descriptors() <= before + 2  # the pool may have started meanwhile


OPERATOR = """
import select, shutil, sys
while not select.select([sys.stdin], [], [], float(sys.argv[2]))[0]:
    shutil.rmtree(sys.argv[1], ignore_errors=True)
"""


@pytest.mark.parametrize("durable", [True, False])
def test_links_can_be_written_while_an_operator_removes_the_repository(
    filesystem: FilesystemDriver, durable: bool
) -> None:
    name = RepositoryName("team/app")
    directory = filesystem.root / layout.repository(name)
    digests = [Digest.of(b"%d" % number) for number in range(500)]
    with subprocess.Popen([sys.executable, "-c", OPERATOR, directory, "0.001"], stdin=subprocess.PIPE):
        wait_until(lambda: _is_removed(filesystem, name), "the operator removes what is there")
        for digest in digests:
            filesystem.write(layout.layer_link(name, digest), digest.encode(), durable=durable)
            filesystem.make_directory(layout.manifests(name), durable=durable)
    assert len(list(directory.rglob("link"))) < len(digests)
    link_blob(filesystem, name, digests[0])
    assert read_link(filesystem, layout.layer_link(name, digests[0])) == digests[0]
    assert temporaries(filesystem.root) == []


def test_directories_can_be_made_while_an_operator_removes_them(filesystem: FilesystemDriver) -> None:
    name = RepositoryName("team/app")
    directory = filesystem.root / layout.repository(name)
    with subprocess.Popen([sys.executable, "-c", OPERATOR, directory, "0"], stdin=subprocess.PIPE):
        wait_until(lambda: _is_removed(filesystem, name), "the operator removes what is there")
        for _ in range(3_000):
            filesystem.make_directory(layout.tags(name), durable=False)
    filesystem.make_directory(layout.tags(name))
    assert not filesystem.stat(layout.tags(name)).is_file


def test_a_root_that_is_gone_is_told_at_once(filesystem: FilesystemDriver) -> None:
    shutil.rmtree(filesystem.root)
    started = time.monotonic()
    with pytest.raises(FileNotFoundError):
        filesystem.make_directory(at("a", "b"))
    assert time.monotonic() - started < REMAKE_SECONDS / 2


def _is_removed(driver: FilesystemDriver, name: RepositoryName) -> bool:
    driver.make_directory(layout.tags(name))
    time.sleep(0.01)
    return not (driver.root / layout.repository(name)).exists()
