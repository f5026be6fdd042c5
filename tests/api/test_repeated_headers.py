"""A header given twice with the same value: taken, as the CNCF registry does, and never at the price of framing."""

import asyncio
from itertools import pairwise

import pytest

from tests.builders import OCI_MANIFEST, image
from tests.push import Client, push_image, start_upload
from tests.raw import ask, connected, send_bytes

_TWICE = b"Content-Length: %d\r\ncontent-length:%d \r\nUser-Agent: a\r\nUser-Agent: a\r\n\r\n"


async def test_a_length_given_twice_ends_the_body_where_it_says(client: Client) -> None:
    """RFC 9110, 8.6. For every method, the bytes after the body are the next request, and those in it are not."""
    hidden = b"DELETE /v2/hidden/manifests/x HTTP/1.1\r\nHost: x\r\n\r\n"
    location = await start_upload(client, "app")
    for method, path in [(b"PATCH", location.encode()), (b"GET", b"/v2/")]:
        head = method + b" " + path + b" HTTP/1.1\r\nHost: x\r\n" + _TWICE % (len(hidden), len(hidden))
        async with connected(client) as connection:
            await connection.send(head + hidden + b"GET /v2/behind/tags/list HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await connection.answer()).status in {200, 202}
            assert "behind" in (await connection.answer()).body.decode()
    assert (await ask(client, "GET", location)).headers["Range"] == f"0-{len(hidden) - 1}"


@pytest.mark.parametrize("cuts", [[20], [40], [20, 60], list(range(1, 130))], ids=["one", "another", "two", "bytes"])
async def test_a_head_that_repeats_itself_is_understood_however_it_arrives(client: Client, cuts: list[int]) -> None:
    """The parser may have seen its first line when the rest comes."""
    head = b"GET /v2/ HTTP/1.1\r\nHost: registry.test\r\n" + _TWICE % (0, 0)
    async with connected(client) as connection:
        for _ in range(2):
            for begin, end in pairwise([0, *(cut for cut in cuts if cut < len(head)), len(head)]):
                await connection.send(head[begin:end])
                await asyncio.sleep(0.001)
            assert (await connection.answer()).status == 200


@pytest.mark.parametrize(
    "lines",
    [
        b"User-Agent: a\r\nUser-Agent: a\r\n",
        b"Content-Type: a/b\r\ncontent-type:  a/b\t\r\nContent-Type: a/b\r\n",
        b"Max-Forwards: 1\r\nX-Between: x\r\nMax-Forwards: 1\r\n",
        b"Content-Length: 0\r\nContent-Length: 0\r\n",
        b'ETag: "a"\r\nETag: "a"\r\nServer: x\r\nServer: x\r\nContent-Location: /\r\nContent-Location: /\r\n',
        b"Content-Range: 0-4\r\nContent-Range: 0-4\r\n",
        b"User-Agent: a\r\nUser-Agent: b\r\nUser-Agent: a\r\n",
        b'ETag: "a"\r\nETag: "b"\r\nContent-Type: a/b\r\nContent-Type: c/d\r\n',
    ],
)
@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
async def test_what_is_said_twice_is_taken(client: Client, lines: bytes, version: bytes) -> None:
    head = b"GET /v2/ HTTP/" + version + b"\r\nHost: x\r\n" + lines + b"\r\n"
    assert (await send_bytes(client, head)).status == 200


@pytest.mark.parametrize(
    "lines",
    [
        b"Content-Range: 0-4\r\nContent-Range: 0-5\r\n",
        b"Host: x\r\n",
        b"Content-Length: 0\r\nContent-Length: 00\r\n",
        b"Content-Length: 0\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        b"User-Agent: a\r\n b\r\nUser-Agent: a\r\n",
        b"User-Agent: a\r\nUser-Agent: b\nContent-Length: 9\r\n",
        b"User-Agent: a\r\nUser-Agent: b\rTransfer-Encoding: chunked\r\n",
        b"ETag: a\r\netag: \nContent-Length: 9\r\n",
        b"Content-Type: a/b\r\nContent-Type: a/b\x00Content-Length: 9\r\n",
        b"User-Agent: a\r\nUser-Agent: b\x0bContent-Length: 9\r\n",
        b"Content-Length: 0\r\nContent-Length: 0\nX: y\r\n",
    ],
)
async def test_what_has_two_meanings_is_answered_400(client: Client, lines: bytes) -> None:
    head = b"GET /v2/ HTTP/1.1\r\nHost: x\r\n" + lines + b"\r\n"
    (await send_bytes(client, head)).assert_error(400, "UNSUPPORTED")


async def test_a_manifest_whose_type_is_said_twice_is_stored_with_it(client: Client) -> None:
    content = image()
    await push_image(client, "app", content)
    head = b"PUT /v2/app/manifests/x HTTP/1.1\r\nHost: x\r\n"
    said = f"Content-Type: {OCI_MANIFEST}\r\nContent-Length: {len(content.content)}\r\n".encode()
    for other in (said, b"Content-Type: text/plain\r\n"):  # of different ones the first counts
        assert (await send_bytes(client, head + said + other + b"\r\n" + content.content)).status == 201
    assert (await ask(client, "GET", "/v2/app/manifests/x")).headers["Content-Type"] == OCI_MANIFEST
