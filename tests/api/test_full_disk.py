"""A full disk refuses uploads, early where their size is known, and does everything else."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.builders import image
from tests.conftest import StartRegistry
from tests.push import Client, assert_error, pull_image, push_blob, push_image, start_upload
from tests.raw import connected
from tests.storage.mounts import tmpfs

MIB = 1024 * 1024


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A data directory on a file system of 64 MiB."""
    directory = tmp_path / "data"
    directory.mkdir()
    with tmpfs(directory, "size=64m") as mounted:
        yield mounted


@pytest.fixture
async def small(small_disk: Path, start_registry: StartRegistry) -> Client:
    """A registry on it."""
    return await start_registry()


async def chunks(size: int) -> AsyncIterator[bytes]:
    """A body whose length is not announced."""
    for _ in range(size // MIB):
        yield os.urandom(MIB)


async def test_an_upload_larger_than_the_disk_is_refused_before_its_body_is_sent(small: Client) -> None:
    location = await start_upload(small, "app")
    async with connected(small) as connection:
        headers = {"Content-Length": str(100 * MIB), "Expect": "100-continue"}
        answer = await connection.request("PATCH", location, headers)
        answer.assert_error(507, "UNAVAILABLE")


async def test_an_upload_of_unknown_length_ends_with_507_and_everything_else_goes_on(small: Client) -> None:
    pushed = image(os.urandom(10_000))
    await push_image(small, "app", pushed, "1.0")
    location = await start_upload(small, "app")
    await assert_error(await small.patch(location, data=chunks(100 * MIB)), 507, "UNAVAILABLE")
    await pull_image(small, "app", pushed, "1.0")
    assert (await small.delete("/v2/app/manifests/1.0")).status == 202
    assert (await small.delete(location)).status == 204
    await push_blob(small, "app", os.urandom(MIB))


async def test_a_small_upload_to_a_full_disk_gets_507(small: Client, small_disk: Path) -> None:
    location = await start_upload(small, "app")
    ballast = small_disk / "ballast"
    free = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize
    ballast.write_bytes(bytes(free))
    await assert_error(await small.patch(location, data=b"x" * 10_000), 507, "UNAVAILABLE")
    ballast.unlink()
    assert (await small.patch(location, data=b"x" * 10_000)).status == 202
