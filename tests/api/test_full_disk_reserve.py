"""The reserve of a disk: what brings bytes is refused while there are some left, what frees or finishes is not."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from aiohttp import ClientResponse

from tests.builders import digest_of, image
from tests.conftest import StartRegistry
from tests.push import Client, assert_error, path_of, pull_image, push_blob, push_image, put_manifest, start_upload
from tests.raw import connected
from tests.storage.mounts import tmpfs

MIB = 1024 * 1024
PUSHED, OTHER = image(b"pushed"), image(b"other")
CONTENT = os.urandom(300_000)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A data directory on a file system of 40 MiB."""
    directory = tmp_path / "data"
    directory.mkdir()
    with tmpfs(directory, "size=40m") as mounted:
        yield mounted


@pytest.fixture
async def client(disk: Path, start_registry: StartRegistry) -> Client:
    """A registry on it."""
    return await start_registry()


def fill_to_the_reserve(disk: Path) -> Path:
    """Leave half of the fiftieth that is kept; a file that can be removed."""
    usage = os.statvfs(disk)
    ballast = disk / "ballast"
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, usage.f_bavail * usage.f_frsize - usage.f_blocks * usage.f_frsize // 100)
    return ballast


def free(disk: Path) -> int:
    usage = os.statvfs(disk)
    return usage.f_bavail * usage.f_frsize


async def slowly(content: bytes) -> AsyncIterator[bytes]:
    """A body whose length is not announced."""
    for begin in range(0, len(content), 65_536):
        yield content[begin : begin + 65_536]


Request = Callable[[Client, str], Awaitable[ClientResponse]]
REFUSED: dict[str, Request] = {
    "the begin of an upload": lambda client, _: client.post("/v2/app/blobs/uploads/"),
    "a blob in one POST": lambda client, _: client.post(
        "/v2/app/blobs/uploads/", params={"digest": digest_of(CONTENT)}, data=CONTENT
    ),
    "a small PATCH": lambda client, upload: client.patch(upload, data=b"x"),
    "a PATCH": lambda client, upload: client.patch(upload, data=CONTENT),
    "a PATCH of unknown length": lambda client, upload: client.patch(upload, data=slowly(CONTENT)),
    "a chunk": lambda client, upload: client.patch(
        upload, data=b"x", headers={"Content-Range": f"{len(CONTENT)}-{len(CONTENT)}"}
    ),
    "a small PUT": lambda client, upload: client.put(upload, params={"digest": digest_of(b"x")}, data=b"x"),
    "a PUT": lambda client, upload: client.put(upload, params={"digest": digest_of(CONTENT)}, data=CONTENT),
    "a manifest": lambda client, _: put_manifest(client, "app", OTHER, "2.0"),
}


@pytest.mark.parametrize("request_of", REFUSED.values(), ids=REFUSED.keys())
async def test_what_brings_bytes_is_refused_before_the_disk_is_full(
    client: Client, disk: Path, request_of: Request
) -> None:
    for blob in OTHER.blobs:
        await push_blob(client, "app", blob)
    upload = await start_upload(client, "app")
    upload = path_of((await client.patch(upload, data=CONTENT)).headers["Location"])
    ballast = fill_to_the_reserve(disk)
    before = free(disk)
    assert before > 100_000
    await assert_error(await request_of(client, upload), 507, "UNAVAILABLE")
    assert free(disk) == before
    ballast.unlink()
    assert (await request_of(client, upload)).status < 500


async def test_what_finishes_or_frees_goes_on_in_the_reserve(client: Client, disk: Path) -> None:
    await push_image(client, "app", PUSHED, "1.0")
    upload = await start_upload(client, "app")
    upload = path_of((await client.patch(upload, data=CONTENT)).headers["Location"])
    given_up = await start_upload(client, "app")
    fill_to_the_reserve(disk)
    assert (await client.get("/readyz")).status == 200
    assert (await client.put(upload, params={"digest": digest_of(CONTENT)})).status == 201
    mount = {"mount": digest_of(CONTENT), "from": "app"}
    assert (await client.post("/v2/other/blobs/uploads/", params=mount)).status == 201
    assert (await client.delete(given_up)).status == 204
    await pull_image(client, "app", PUSHED, "1.0")
    assert (await client.delete("/v2/app/manifests/1.0")).status == 202
    assert (await client.delete(f"/v2/app/blobs/{digest_of(CONTENT)}")).status == 202


async def test_a_push_larger_than_the_disk_leaves_nothing_where_its_length_is_known(client: Client, disk: Path) -> None:
    before = free(disk)
    upload = await start_upload(client, "app")
    async with connected(client) as connection:
        headers = {"Content-Length": str(60 * MIB)}
        answer = await connection.request("PATCH", upload, headers)
        answer.assert_error(507, "UNAVAILABLE")
    assert before - free(disk) < MIB


async def test_a_push_of_unknown_length_ends_before_the_disk_is_full(client: Client, disk: Path) -> None:
    upload = await start_upload(client, "app")
    await assert_error(await client.patch(upload, data=slowly(bytes(60 * MIB))), 507, "UNAVAILABLE")
    assert free(disk) > 40 * MIB // 50 - MIB // 2
