"""A disk is waited for, also where each call takes longer than a writer tries to write again after an `rm`."""

import asyncio
import os
import shutil
import time
from collections.abc import Callable
from typing import Any

import pytest

from pyregistry.oci.digest import Digest
from pyregistry.oci.names import RepositoryName, Tag
from pyregistry.storage.local import directories
from pyregistry.storage.local.filesystem import FilesystemDriver
from pyregistry.storage.seams import layout
from tests.builders import image
from tests.storage.paths import at
from tests.storage.pushing import push_image, registry_on, repository

SHORT, STALL = 0.02, 0.03


@pytest.fixture
def slow(filesystem: FilesystemDriver, monkeypatch: pytest.MonkeyPatch) -> FilesystemDriver:
    """A driver that tries again for a shorter time than each of its calls takes."""
    monkeypatch.setattr(directories, "REMAKE_SECONDS", SHORT)
    for name in ("open", "mkdir", "rename"):
        monkeypatch.setattr(os, name, stalling(getattr(os, name)))
    return filesystem


def stalling(call: Callable[..., Any]) -> Callable[..., Any]:
    def stalled(*arguments: Any, **options: Any) -> Any:
        time.sleep(STALL)
        return call(*arguments, **options)

    return stalled


async def append(driver: FilesystemDriver) -> None:
    async with driver.appender(at("a", "b", "c"), wait=0, create=True) as appender:
        await appender.write(b"x")


def lock(driver: FilesystemDriver) -> None:
    with driver.lock("a", exclusive=True):
        pass


def discard(driver: FilesystemDriver) -> None:
    driver.make_directory(at("a", "b"))
    driver.discard(at("a", "b"))


CALLS: dict[str, Callable[[FilesystemDriver], object]] = {
    "an upload's first open": lambda driver: driver.create(at("a", "b", "c"), b""),
    "a durable file": lambda driver: driver.write(at("a", "b", "c"), b"x"),
    "a file": lambda driver: driver.write(at("a", "b", "c"), b"x", durable=False),
    "directories": lambda driver: driver.make_directory(at("a", "b", "c")),
    "a lock": lock,
    "an appender": lambda driver: asyncio.run(append(driver)),
    "a discarded directory": discard,
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_what_is_new_is_made_on_a_disk_that_stalls_at_each_call(
    slow: FilesystemDriver, call: Callable[[FilesystemDriver], object]
) -> None:
    call(slow)


def test_an_image_is_pushed_to_a_disk_that_stalls_at_each_call(slow: FilesystemDriver) -> None:
    name = repository(registry_on(slow), "team/app")
    pushed = image(b"layer")
    push_image(name, pushed, "latest")
    assert name.tagged(Tag("latest")) == Digest(pushed.digest)


def test_who_removes_the_directory_again_and_again_is_given_up_against(
    filesystem: FilesystemDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directories, "REMAKE_SECONDS", SHORT)
    rename, tries = os.rename, []

    def remove_first(source: str, target: str) -> None:
        tries.append(target)
        shutil.rmtree(filesystem.root / layout.repository(RepositoryName("a")))
        rename(source, target)

    monkeypatch.setattr(os, "rename", remove_first)
    with pytest.raises(OSError, match="removed again and again"):
        filesystem.write(at("a", "b"), b"x")
    assert len(tries) > directories.TRIES
