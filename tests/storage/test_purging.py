"""Abandoned uploads are removed, those that a request writes to are not."""

import asyncio
import errno
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import structlog
from structlog.testing import capture_logs

from pyregistry.oci.names import RepositoryName, UploadId
from pyregistry.storage.local.appending import LocalAppender
from pyregistry.storage.local.filesystem import FilesystemDriver
from pyregistry.storage.repositories.purging import SHORT_AGE_SECONDS, Purging, purge, purge_for_space, purge_regularly
from pyregistry.storage.repositories.registry import Registry
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.layout import StoragePath
from pyregistry.storage.seams.objects import Stat
from pyregistry.storage.seams.uploads import Upload
from tests.processes import wait_until
from tests.storage.mounts import remount_read_only, tmpfs
from tests.storage.pushing import registry_on

DAY = 86_400
LOG = structlog.get_logger("purging")
WEEK = Purging(age=7 * DAY, interval=DAY)
NAME = RepositoryName("team/app")


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return registry_on(FilesystemDriver(tmp_path))


async def started(registry: Registry, root: Path, *, days_ago: float = 0, name: RepositoryName = NAME) -> Upload:
    """An upload begun, and last written to, so many days ago."""
    upload = await asyncio.to_thread(registry.repository(name).start_upload)
    for path in (root / layout.upload(name, upload.id)).iterdir():
        age(path, days_ago)
    return upload


def age(path: Path, days: float) -> None:
    seconds = path.stat().st_mtime - days * DAY
    os.utime(path, (seconds, seconds))


async def left(registry: Registry) -> set[UploadId]:
    return {upload.id for upload in await asyncio.to_thread(lambda: list(registry.uploads()))}


async def test_only_uploads_older_than_the_age_are_removed(registry: Registry, tmp_path: Path) -> None:
    old = await started(registry, tmp_path, days_ago=8)
    nested = await started(registry, tmp_path, days_ago=8, name=RepositoryName("team/app/cache"))
    young = await started(registry, tmp_path, days_ago=6)
    assert {upload.id for upload in await purge(registry, WEEK, LOG)} == {old.id, nested.id}
    assert await left(registry) == {young.id}
    assert not (tmp_path / layout.upload(NAME, old.id)).exists()


async def test_an_upload_begun_long_ago_and_written_to_since_stays(registry: Registry, tmp_path: Path) -> None:
    upload = await started(registry, tmp_path, days_ago=30)
    os.utime(tmp_path / layout.upload_data(NAME, upload.id))
    assert await purge(registry, WEEK, LOG) == []


async def test_an_old_upload_that_somebody_writes_to_stays_and_can_be_finished(
    registry: Registry, tmp_path: Path
) -> None:
    upload = await started(registry, tmp_path, days_ago=30)
    begun, purged = asyncio.Event(), asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        begun.set()
        await purged.wait()
        yield b"content"

    writing = asyncio.create_task(upload.append(body()))
    await begun.wait()
    assert await purge(registry, WEEK, LOG) == []
    purged.set()
    assert await writing == len(b"content")


async def test_dry_run_names_and_keeps(registry: Registry, tmp_path: Path) -> None:
    upload = await started(registry, tmp_path, days_ago=8)
    found = await purge(registry, Purging(age=7 * DAY, interval=DAY, dry_run=True), LOG)
    assert [each.id for each in found] == [upload.id]
    assert await left(registry) == {upload.id}


async def test_an_upload_without_data_as_the_cncf_registry_may_leave_it_is_removed(
    registry: Registry, tmp_path: Path
) -> None:
    upload = await started(registry, tmp_path, days_ago=8)
    (tmp_path / layout.upload_data(NAME, upload.id)).unlink()
    await purge(registry, WEEK, LOG)
    assert await left(registry) == set()


async def test_of_an_upload_that_was_cut_off_the_empty_directory_is_removed(registry: Registry, tmp_path: Path) -> None:
    old, young = [await started(registry, tmp_path) for _ in range(2)]
    for upload in (old, young):
        for path in (tmp_path / layout.upload(NAME, upload.id)).iterdir():
            path.unlink()
    age(tmp_path / layout.upload(NAME, old.id), 8)
    assert [upload.id for upload in await purge(registry, WEEK, LOG)] == [old.id]
    assert await left(registry) == {young.id}


async def test_runs_come_again_and_again(registry: Registry, tmp_path: Path) -> None:
    task = asyncio.create_task(purge_regularly(registry, Purging(age=DAY, interval=0.05), LOG))
    for _ in range(2):
        await started(registry, tmp_path, days_ago=2)
        async with asyncio.timeout(10):
            while await left(registry):
                await asyncio.sleep(0.02)
    task.cancel()


async def test_an_upload_that_cannot_be_opened_keeps_no_other_from_being_purged(tmp_path: Path) -> None:
    class Refusing(FilesystemDriver):
        refused: StoragePath | None = None
        refused_to_open: StoragePath | None = None

        def stat(self, path: StoragePath) -> Stat:
            if path == self.refused:
                raise OSError(errno.EACCES, "Permission denied", path)
            return super().stat(path)

        @asynccontextmanager
        async def appender(
            self, path: StoragePath, *, wait: float, create: bool = False
        ) -> AsyncIterator[LocalAppender]:
            if path == self.refused_to_open:
                raise OSError(errno.EACCES, "Permission denied", path)
            async with super().appender(path, wait=wait, create=create) as appender:
                yield appender

    driver = await asyncio.to_thread(Refusing, tmp_path)
    registry = registry_on(driver)
    uploads = [await started(registry, tmp_path, days_ago=8) for _ in range(6)]
    in_order = sorted(uploads, key=lambda upload: upload.id)
    driver.refused = layout.upload_data(NAME, in_order[0].id)
    driver.refused_to_open = layout.upload_data(NAME, in_order[1].id)
    with capture_logs() as logged:
        purged = await purge(registry, WEEK, structlog.get_logger("purging"))
    assert {upload.id for upload in purged} == {upload.id for upload in in_order[2:]}
    stay = {entry["upload"] for entry in logged if entry["event"] == "upload cannot be purged"}
    assert stay == {upload.id for upload in in_order[:2]}


MIB = 1024 * 1024
HOUR = 1 / 24


async def holding(registry: Registry, root: Path, size: int, *, hours_ago: float, name: str = "team/app") -> Upload:
    """An upload of so many bytes, last written to so many hours ago."""
    upload = await asyncio.to_thread(registry.repository(RepositoryName(name)).start_upload)
    data = root / layout.upload_data(RepositoryName(name), upload.id)
    await asyncio.to_thread(data.write_bytes, bytes(size))
    for path in data.parent.iterdir():
        age(path, hours_ago * HOUR)
    return upload


def fill(root: Path) -> None:
    """Leave no room at all."""
    usage = os.statvfs(root)
    with (root / "ballast").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, usage.f_bavail * usage.f_frsize)


async def test_without_room_the_uploads_go_that_are_idle_longest_until_there_is_some(tmp_path: Path) -> None:
    with tmpfs(tmp_path, "size=32m"):
        registry = await asyncio.to_thread(lambda: registry_on(FilesystemDriver(tmp_path)))
        names = {
            (await holding(registry, tmp_path, size, hours_ago=hours)).id: hours
            for hours, size in (
                (0, 4 * MIB),
                (0.9, 4 * MIB),
                (1.5, 4 * MIB),
                (3, MIB // 2),
                (5, MIB // 2),
                (2, 4 * MIB),
            )
        }
        assert await purge_for_space(registry, WEEK, LOG) == []  # there is room
        fill(tmp_path)
        assert await purge_for_space(registry, Purging(age=7 * DAY, interval=DAY, dry_run=True), LOG) == []
        with capture_logs() as logged:
            purged = await purge_for_space(registry, WEEK, structlog.get_logger("purging"))
        # The first two are less than the reserve and what an upload needs.
        assert [names[each.id] for each in purged] == [5, 3, 2]
        assert [entry["size"] for entry in logged] == [MIB // 2, MIB // 2, 4 * MIB]
        assert {names[each] for each in await left(registry)} == {0, 0.9, 1.5}
        fill_again = tmp_path / "ballast2"
        usage = os.statvfs(tmp_path)
        await asyncio.to_thread(fill_again.write_bytes, bytes(usage.f_bavail * usage.f_frsize))
        assert [names[each.id] for each in await purge_for_space(registry, WEEK, LOG)] == [1.5]
        assert SHORT_AGE_SECONDS == 3600


async def test_only_the_file_system_without_room_is_purged(tmp_path: Path) -> None:
    mount = tmp_path / layout.REPOSITORIES / "full"
    mount.mkdir(parents=True)
    with tmpfs(tmp_path / layout.REPOSITORIES / "full", "size=8m"):
        registry = await asyncio.to_thread(lambda: registry_on(FilesystemDriver(tmp_path)))
        elsewhere = await holding(registry, tmp_path, MIB, hours_ago=5)
        there = await holding(registry, tmp_path, 4 * MIB, hours_ago=2, name="full/app")
        fill(mount)
        assert [each.id for each in await purge_for_space(registry, WEEK, LOG)] == [there.id]
        assert await left(registry) == {elsewhere.id}


async def test_the_server_looks_for_room_by_itself_and_sooner_than_it_purges(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pyregistry.storage.repositories.purging._CHECK_SECONDS", 0.02)
    with tmpfs(tmp_path, "size=16m"):
        registry = await asyncio.to_thread(lambda: registry_on(FilesystemDriver(tmp_path)))
        old = await holding(registry, tmp_path, 4 * MIB, hours_ago=2)
        path = tmp_path / layout.upload(NAME, old.id)
        task = asyncio.create_task(purge_regularly(registry, Purging(age=7 * DAY, interval=DAY * DAY), LOG))
        fill(tmp_path)
        await asyncio.to_thread(wait_until, lambda: not path.exists(), "it is purged")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own."""
    (tmp_path / "data").mkdir()
    with tmpfs(tmp_path / "data") as directory:
        yield directory


async def test_on_a_read_only_disk_one_line_is_enough_for_all_uploads(mounted: Path) -> None:
    registry = registry_on(await asyncio.to_thread(FilesystemDriver, mounted))
    for _ in range(3):
        await started(registry, mounted, days_ago=8)
    await asyncio.to_thread(remount_read_only, mounted)
    with capture_logs() as logs, pytest.raises(OSError, match="Read-only"):
        await purge(registry, WEEK, LOG)
    assert logs == []
