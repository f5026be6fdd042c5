"""Acknowledged content survives a power cut: ext4 on a loop device, shut down between two calls."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pyregistry.storage.local.filesystem import FilesystemDriver
from pyregistry.storage.seams.layout import StoragePath
from pyregistry.storage.seams.objects import PathNotFound
from tests.storage.mounts import FLUSH_LOG, FLUSH_NOTHING, Disk
from tests.storage.paths import at

CYCLES = 25
Work = Callable[[FilesystemDriver, int], dict[StoragePath, bytes]]


def new_file(driver: FilesystemDriver, cycle: int) -> dict[StoragePath, bytes]:
    """A file in new directories."""
    path, content = at(f"new{cycle}", "a", "b", "link"), b"new %d" % cycle
    driver.write(path, content)
    return {path: content}


def replaced_file(driver: FilesystemDriver, cycle: int) -> dict[StoragePath, bytes]:
    """A tag that moves on, to a content that does not fit into an inode."""
    content = b"replaced %d" % cycle * 1000
    driver.write(at("replaced", "link"), content)
    return {at("replaced", "link"): content}


def moved_file(driver: FilesystemDriver, cycle: int) -> dict[StoragePath, bytes]:
    """An upload that is synced and becomes a blob."""
    source, target, content = at("upload", str(cycle)), at("blobs", str(cycle), "data"), b"moved %d" % cycle * 1000
    driver.write(source, content)
    driver.move(source, target)
    return {target: content}


def same_file(driver: FilesystemDriver, cycle: int) -> dict[StoragePath, bytes]:
    """A link in directories that are deleted and made again."""
    path, content = at("again", "a", "link"), b"again %d" % cycle
    if cycle:
        driver.delete(at("again"))
    driver.write(path, content)
    return {path: content}


WORK = [new_file, replaced_file, moved_file, same_file]


@pytest.mark.parametrize("flush", [FLUSH_LOG, FLUSH_NOTHING], ids=["journal flushed", "nothing flushed"])
def test_what_was_written_is_there_and_whole_after_a_power_cut(tmp_path: Path, flush: int) -> None:
    disk = Disk(tmp_path)
    promised: dict[StoragePath, bytes] = {}
    for cycle in range(CYCLES):
        with disk.powered() as root:
            driver = FilesystemDriver(root)
            for work in WORK:
                promised |= work(driver, cycle)
            disk.cut_power(flush)
        with disk.powered() as root:
            driver = FilesystemDriver(root)
            assert {path: driver.read(path) for path in promised} == promised


@pytest.mark.parametrize("flush", [FLUSH_LOG, FLUSH_NOTHING], ids=["journal flushed", "nothing flushed"])
def test_what_need_not_be_durable_is_lost_which_shows_that_power_was_cut(tmp_path: Path, flush: int) -> None:
    disk = Disk(tmp_path)
    lost = 0
    for cycle in range(5):
        path = at(f"new{cycle}", "link")
        with disk.powered() as root:
            FilesystemDriver(root).write(path, b"content", durable=False)
            disk.cut_power(flush)
        with disk.powered() as root:
            try:
                lost += FilesystemDriver(root).read(path) != b"content"
            except PathNotFound:
                lost += 1
    assert lost > 0


def test_what_was_deleted_stays_deleted_after_a_power_cut(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    for cycle in range(5):
        path = at(f"tag{cycle}", "current", "link")
        with disk.powered() as root:
            driver = FilesystemDriver(root)
            driver.write(path, b"content")
            driver.delete(at(f"tag{cycle}"))
            disk.cut_power(FLUSH_NOTHING)
        with disk.powered() as root, pytest.raises(PathNotFound):
            FilesystemDriver(root).stat(at(f"tag{cycle}"))
