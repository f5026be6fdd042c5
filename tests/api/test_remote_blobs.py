"""Blobs of a storage on another machine: streamed, in parts, or fetched there by the client."""

import asyncio
from collections.abc import Iterator

import pytest

from tests.builders import digest_of, image
from tests.conftest import StartRegistry
from tests.push import Client, push_blob, push_image
from tests.raw import ask, connected, length
from tests.storage.remote import PIECE, RemoteDriver, forget

CONTENT = bytes(range(256)) * 400
SIZE = len(CONTENT)
URL = "https://bucket.example.com/data?X-Amz-Signature=abc"


@pytest.fixture
async def remote(start_registry: StartRegistry, monkeypatch: pytest.MonkeyPatch) -> Client:
    """A registry whose storage hands out streams only."""
    forget()
    monkeypatch.setattr("pyregistry.storage.memory.driver.MemoryDriver", RemoteDriver)
    return await start_registry(storage={"inmemory": {}, "delete": {"enabled": True}})


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """No test sees what another one set."""
    yield
    forget()


@pytest.mark.parametrize(
    ("header", "status", "begin", "end"),
    [
        (None, 200, 0, SIZE),
        ("bytes=0-0", 206, 0, 1),
        (f"bytes=5-{2 * PIECE + 4}", 206, 5, 2 * PIECE + 5),
        ("bytes=-7", 206, SIZE - 7, SIZE),
    ],
)
async def test_a_blob_is_streamed_and_the_storage_is_asked_for_no_more_than_the_client_wants(
    remote: Client, header: str | None, status: int, begin: int, end: int
) -> None:
    path = f"/v2/app/blobs/{await push_blob(remote, 'app', CONTENT)}"
    answer = await ask(remote, "GET", path, {} if header is None else {"Range": header})
    assert (answer.status, answer.body) == (status, CONTENT[begin:end])
    assert answer.headers["Content-Length"] == str(end - begin)
    assert answer.headers["Docker-Content-Digest"] == digest_of(CONTENT)
    assert RemoteDriver.requests == [(begin, end)]


async def test_several_ranges_are_as_many_requests_and_none_outside_is_asked_for(remote: Client) -> None:
    path = f"/v2/app/blobs/{await push_blob(remote, 'app', CONTENT)}"
    answer = await ask(remote, "GET", path, {"Range": "bytes=0-9,100-109"})
    assert answer.status == 206
    assert CONTENT[:10] in answer.body
    assert CONTENT[100:110] in answer.body
    (await ask(remote, "GET", path, {"Range": f"bytes={SIZE}-"})).assert_error(416, "SIZE_INVALID")
    assert RemoteDriver.requests == [(0, 10), (100, 110)]


async def test_head_and_what_a_client_has_ask_for_no_byte(remote: Client) -> None:
    path = f"/v2/app/blobs/{await push_blob(remote, 'app', CONTENT)}"
    head = await ask(remote, "HEAD", path)
    assert (head.status, head.headers["Content-Length"], "Location" in head.headers) == (200, str(SIZE), False)
    assert (await ask(remote, "GET", path, {"If-None-Match": head.headers["ETag"]})).status == 304
    assert RemoteDriver.requests == []


async def test_an_image_is_pulled_with_its_manifest_and_the_empty_blob(remote: Client) -> None:
    pushed = image(b"", b"layer")
    await push_image(remote, "app", pushed, "latest")
    answer = await ask(remote, "GET", "/v2/app/manifests/latest")
    assert (answer.status, answer.body) == (200, pushed.content)
    assert (await ask(remote, "GET", f"/v2/app/blobs/{digest_of(b'')}")).body == b""


async def test_a_client_is_sent_to_the_bytes_where_the_storage_says_so(
    remote: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"/v2/app/blobs/{await push_blob(remote, 'app', CONTENT)}"
    monkeypatch.setattr(RemoteDriver, "url", URL)
    for headers in ({}, {"Range": "bytes=0-9"}):
        answer = await ask(remote, "GET", path, headers)
        assert (answer.status, answer.headers["Location"], answer.body) == (307, URL, b"")
        assert answer.headers["Docker-Content-Digest"] == digest_of(CONTENT)
        assert answer.headers["Cache-Control"] == "no-store"  # the URL is a secret that runs out
    head = await ask(remote, "HEAD", path)
    assert (head.status, head.headers["Content-Length"]) == (200, str(SIZE))
    assert (await ask(remote, "GET", path, {"If-None-Match": head.headers["ETag"]})).status == 304
    assert RemoteDriver.requests == []


async def test_a_manifest_is_never_redirected(remote: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RemoteDriver, "url", URL)
    await push_image(remote, "app", image(b"layer"), "latest")
    answer = await ask(remote, "GET", "/v2/app/manifests/latest")
    assert (answer.status, answer.body) == (200, image(b"layer").content)


async def test_a_download_that_the_storage_breaks_off_is_cut_and_logged(
    remote: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = f"/v2/app/blobs/{await push_blob(remote, 'app', CONTENT)}"
    monkeypatch.setattr(RemoteDriver, "breaks_off_after", 3 * PIECE)
    async with connected(remote) as connection:
        await connection.send(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        received = await connection.rest()
    assert received.startswith(b"HTTP/1.1 200 ")
    assert not received.endswith(CONTENT[-PIECE:])
    assert "a blob could not be read" in caplog.text
    assert "the bucket is gone" in caplog.text


async def test_a_client_that_is_gone_ends_the_reading_of_the_storage(remote: Client) -> None:
    large = bytes(40_000_000)
    pushed = f"/v2/app/blobs/uploads/?digest={digest_of(large)}"
    assert (await ask(remote, "POST", pushed, length(large), large)).status == 201
    path = f"/v2/app/blobs/{digest_of(large)}"
    async with connected(remote) as connection:
        await connection.send(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        await connection.some()
        await connection.vanish(reset=True)
    while not RemoteDriver.given_up:
        await asyncio.sleep(0.01)
    assert RemoteDriver.requests == [(0, len(large))]
