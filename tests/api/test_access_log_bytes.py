"""The bytes in the access log are those of the body that were sent, as in the CNCF registry's."""

import asyncio
import re
from typing import cast

import pytest

from tests.builders import digest_of, image
from tests.conftest import RegistryServer
from tests.push import Client, push_blob, push_image, put_manifest
from tests.raw import RawAnswer, ask, connected, request_head

_SMALL, _LARGE = b"s" * 5_000, bytes(300_000)


def _log(client: Client) -> str:
    return cast(RegistryServer, client.server).access_log.getvalue().decode()


async def _logged(client: Client, answer_id: str) -> tuple[int, int]:
    """Return the status and the bytes of the line with this id; it is written a moment after the answer."""
    async with asyncio.timeout(10):
        while (found := re.search(rf" {answer_id} .*\" (\d+) (\d+) ", _log(client))) is None:
            await asyncio.sleep(0.01)
    return int(found[1]), int(found[2])


async def _assert_logged(client: Client, answer: RawAnswer) -> None:
    assert await _logged(client, answer.headers["X-Request-ID"]) == (answer.status, len(answer.body))


@pytest.mark.parametrize("content", [b"", b"x", _SMALL, _LARGE], ids=["none", "one", "small", "large"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    "headers",
    [
        *({}, {"Range": "bytes=0-99"}, {"Range": "bytes=0-99,200-299"}, {"Range": "bytes=99999999-"}),
        *({"If-None-Match": "*"}, {"Connection": "close"}),
    ],
    ids=lambda headers: " ".join(headers.values()) or "plain",
)
async def test_of_a_blob(client: Client, content: bytes, method: str, headers: dict[str, str]) -> None:
    path = f"/v2/app/blobs/{await push_blob(client, 'app', content)}"
    for _ in range(2):  # once from the disk, once from the cache
        await _assert_logged(client, await ask(client, method, path, headers))


@pytest.mark.parametrize("padding", [0, 200_000], ids=["small", "large"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_of_a_manifest(client: Client, padding: int, method: str) -> None:
    content = image(annotations={"x": "y" * padding})
    await push_image(client, "app", content, "latest")
    for _ in range(3):
        await _assert_logged(client, await ask(client, method, "/v2/app/manifests/latest"))


async def test_of_lists_errors_and_pushes(client: Client) -> None:
    content = image()
    await push_image(client, "app", content, "latest")
    for number in range(70):
        tags = "&".join(f"tag={'t' * 120}{number}{digit}" for digit in range(10))
        assert (await put_manifest(client, "app", content, f"{content.digest}?{tags}")).status == 201
    for method, path in [
        *(("GET", "/v2/app/tags/list"), ("HEAD", "/v2/app/tags/list"), ("GET", "/v2/"), ("GET", "/v2/_catalog")),
        *(("GET", "/nowhere"), ("DELETE", f"/v2/app/blobs/{digest_of(b'x')}"), ("OPTIONS", "/v2/")),
        *(("POST", "/v2/app/blobs/uploads/"), ("GET", "/v2/APP/tags/list"), ("POST", "/v2/")),
    ]:
        await _assert_logged(client, await ask(client, method, path))


async def test_of_a_download_that_broke_off_they_are_what_was_sent(client: Client) -> None:
    content = bytes(64 * 1024 * 1024)
    pushed = await ask(client, "POST", f"/v2/app/blobs/uploads/?digest={digest_of(content)}", body=content)
    path, read = f"/v2/app/blobs/{digest_of(content)}", 0
    assert pushed.status == 201
    async with connected(client) as connection:
        await connection.send(request_head("GET", path, {"X-Request-ID": "broken-off-1"}))
        await connection.wait_for_headers()
        while read < 3_000_000:
            read += len(await connection.some())
    status, sent = await _logged(client, "broken-off-1")
    assert status == 499
    assert read <= sent < len(content)
