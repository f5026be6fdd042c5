"""The times when the server collects by itself."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyregistry.gc import schedule
from pyregistry.gc.schedule import Schedule, collect_regularly
from pyregistry.gc.types import Options
from pyregistry.storage.backend import Directory, show_location
from pyregistry.storage.local.driver import Driver
from pyregistry.storage.local.filesystem import FilesystemDriver
from pyregistry.storage.memory.driver import MemoryDriver
from pyregistry.storage.seams import layout
from tests.builders import image
from tests.storage.backends import backend_on
from tests.storage.mounts import remount_read_only, tmpfs
from tests.storage.pushing import push_image, registry_on, repository

DAY = 86_400.0


async def run_for_a_moment(driver: MemoryDriver, interval: float = DAY) -> None:
    backend = backend_on(driver)
    regularly = asyncio.create_task(collect_regularly(backend, Schedule(interval, Options())))
    await asyncio.sleep(0.5)
    regularly.cancel()
    await asyncio.gather(regularly, return_exceptions=True)


@pytest.mark.parametrize("name", [b"before", b"not UTF-8: \xff"], ids=["ascii", "not UTF-8"])
def test_a_run_works_on_the_directory_that_the_server_has_open(root: Path, name: bytes) -> None:
    """The name in the config may lead to another one meanwhile."""
    before, after, link = root / os.fsdecode(name), root / "after", root / "link"
    for directory in (before, after):
        directory.mkdir()
    link.symlink_to(before)
    backend = Directory(str(link)).open()
    link.unlink()
    link.symlink_to(after)
    command = [sys.executable, "-m", "pyregistry.gc", show_location(backend.location), "{}"]
    subprocess.run(command, check=True, capture_output=True)
    assert backend.objects.read(layout.LAST_GC).startswith(b"{")
    assert list(after.iterdir()) == []


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> MemoryDriver:
    """With an image that was pushed, looked at all the time."""
    monkeypatch.setattr(schedule, "_CHECK_SECONDS", 0.01)
    driver = MemoryDriver()
    push_image(repository(registry_on(driver)), image(), "latest")
    return driver


async def test_the_first_run_is_due_one_interval_after_the_first_start(driver: MemoryDriver) -> None:
    await run_for_a_moment(driver)
    assert driver.read(layout.LAST_GC) == b""


async def test_a_run_is_due_when_the_interval_is_over(driver: MemoryDriver) -> None:
    driver.write(layout.LAST_GC, b"")
    driver.set_mtime(layout.LAST_GC, time.time_ns() - round(DAY * 1e9))
    await run_for_a_moment(driver)
    assert driver.read(layout.LAST_GC).startswith(b"{")


@pytest.mark.parametrize(("failed_before", "runs"), [(3_500, 0), (3_700, 1)])
async def test_a_run_that_failed_is_tried_again_after_an_hour(
    driver: MemoryDriver, caplog: pytest.LogCaptureFixture, failed_before: float, runs: int
) -> None:
    driver.write(layout.LAST_GC, b"")
    driver.set_mtime(layout.LAST_GC, time.time_ns() - round(DAY * 1e9))
    driver.write(layout.LAST_GC_FAILURE, b"the disk")
    driver.set_mtime(layout.LAST_GC_FAILURE, time.time_ns() - round(failed_before * 1e9))
    driver.delete(layout.REPOSITORIES)  # as if a volume were not mounted
    await run_for_a_moment(driver)
    assert caplog.text.count("garbage collection failed") == runs
    reason = driver.read(layout.LAST_GC_FAILURE)
    assert (b"repositories" in reason, reason == b"the disk") == (runs == 1, runs == 0)


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[FilesystemDriver]:
    """On a disk that cannot be written."""
    (tmp_path / "data").mkdir()
    with tmpfs(tmp_path / "data") as mounted:
        driver = FilesystemDriver(mounted)
        remount_read_only(mounted)
        yield driver


async def test_a_disk_that_cannot_be_written_is_told_once_and_not_at_each_look(
    read_only: FilesystemDriver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    looks: list[int] = []
    is_due = schedule._is_due

    def counting(driver: Driver, interval: float) -> bool:
        looks.append(1)
        return is_due(driver, interval)

    monkeypatch.setattr(schedule, "_CHECK_SECONDS", 0.01)
    monkeypatch.setattr(schedule, "_is_due", counting)
    regularly = asyncio.create_task(collect_regularly(backend_on(read_only), Schedule(DAY, Options())))
    while len(looks) < 5:
        await asyncio.sleep(0.01)
    regularly.cancel()
    await asyncio.gather(regularly, return_exceptions=True)
    assert caplog.text.count("garbage collection failed") == 1
