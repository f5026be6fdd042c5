"""Large bodies, which a thread reads from the socket: they end where they end, and nothing else changes."""

import asyncio
import os
from typing import Any

import pytest

from pyregistry.api.transport.connection import Connection
from pyregistry.api.transport.framing import Chunked
from tests.builders import digest_of
from tests.conftest import StartRegistry
from tests.modes import fast_path_only
from tests.push import Client, start_upload
from tests.raw import RawConnection, ask, chunked, connected, request_head

_MIB = 1024 * 1024
_CHUNK = 32 * 1024
_CHUNKED = {"Transfer-Encoding": "chunked"}


def _content(size: int) -> bytes:
    return os.urandom(_MIB) * (size // _MIB) + bytes(size % _MIB)


def _in_chunks(content: bytes, size: int = _CHUNK, *, end: bool = True) -> bytes:
    return chunked(*(content[at : at + size] for at in range(0, len(content), size)), end=end)


def _framed(content: bytes, framing: str) -> tuple[dict[str, str], bytes]:
    if framing == "chunked":
        return _CHUNKED, _in_chunks(content)
    return {"Content-Length": str(len(content))}, content


async def _stands_at(client: Client, location: str, size: int) -> None:
    async with asyncio.timeout(5):
        while (await ask(client, "GET", location)).headers["Range"] != f"0-{size - 1}":
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("framing", ["announced", "chunked"])
async def test_requests_behind_a_large_body_are_answered_in_their_order(client: Client, framing: str) -> None:
    content = _content(9 * _MIB + 7)
    headers, body = _framed(content, framing)
    async with connected(client) as connection:
        for _ in range(3):
            location = await start_upload(client, "app")
            behind = request_head("GET", location) + request_head("GET", "/nowhere")
            await connection.send(request_head("PATCH", location, headers) + body + behind)
            assert (await connection.answer()).headers["Range"] == f"0-{len(content) - 1}"
            assert (await connection.answer()).status == 204
            assert (await connection.answer()).status == 404
            answer = await connection.request("PUT", f"{location}?digest={digest_of(content)}")
            assert answer.status == 201
    assert (await ask(client, "GET", f"/v2/app/blobs/{digest_of(content)}")).body == content


@pytest.mark.parametrize("size", [1, 7, 4096, 3 * _MIB])
async def test_a_large_body_may_have_chunks_of_any_size(client: Client, size: int) -> None:
    content = _content((3 if size > 100 else 1) * _MIB + 5)
    location = await start_upload(client, "app")
    path = f"{location}?digest={digest_of(content)}"
    assert (await ask(client, "PUT", path, _CHUNKED, _in_chunks(content, size))).status == 201


@fast_path_only("documented names do not say how much is read at once")
async def test_more_is_read_at_once_of_a_body_than_of_a_head(client: Client) -> None:
    location = await start_upload(client, "app")
    runner = client.server.runner
    assert runner is not None
    assert runner.server is not None
    before = set(runner.server.connections)
    async with connected(client) as connection:
        assert (await connection.request("GET", "/v2/")).status == 200
        [received] = set(runner.server.connections) - before
        transport: Any = received.transport
        sizes = [transport.max_size]
        await connection.send(request_head("PATCH", location, {"Content-Length": "4"}) + b"be")
        while not isinstance(received, Connection) or received.bypass.body is None:
            await asyncio.sleep(0.01)
        sizes.append(transport.max_size)
        await connection.send(b"gi")
        assert (await connection.answer()).headers["Range"] == "0-3"
        sizes.append(transport.max_size)
        assert sizes == [64 * 1024, 256 * 1024, 64 * 1024]


@pytest.mark.parametrize("size", [1, 16])
async def test_a_body_in_tiny_chunks_is_read_a_little_at_a_time(
    client: Client, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """Others wait for what the event loop takes apart in one turn."""
    found: list[int] = []
    body_of = Chunked.body_of

    def counting(self: Chunked, data: memoryview) -> list[memoryview]:
        pieces = body_of(self, data)
        found.append(len(pieces))
        return pieces

    monkeypatch.setattr(Chunked, "body_of", counting)
    location = await start_upload(client, "app")
    content = _content(100_000)
    answer = await ask(client, "PATCH", location, _CHUNKED, _in_chunks(content, size))
    assert answer.headers["Range"] == f"0-{len(content) - 1}"
    whole = len(content) / size
    assert max(found[:1]) <= 64 * 1024 / (size + 5) + 1
    assert max(found[1:]) <= 4 * 1024 / (size + 5) + 1
    assert sum(found) >= whole


@pytest.mark.parametrize("framing", ["announced", "chunked"])
async def test_a_request_smuggled_in_a_large_body_is_not_answered(client: Client, framing: str) -> None:
    hidden = request_head("DELETE", "/v2/app/manifests/latest")
    headers, body = _framed(hidden * 40_000, framing)
    location = await start_upload(client, "app")
    async with connected(client) as connection:
        await connection.send(request_head("PATCH", location, headers) + body + request_head("GET", "/v2/"))
        assert (await connection.answer()).headers["Range"] == f"0-{40_000 * len(hidden) - 1}"
        assert (await connection.answer()).body == b"{}"
        assert await connection.says_nothing(0.1)


@pytest.mark.parametrize("reset", [True, False], ids=["reset", "closed"])
@pytest.mark.parametrize("framing", ["announced", "chunked"])
async def test_a_large_body_that_breaks_off_keeps_what_arrived(client: Client, framing: str, reset: bool) -> None:
    content = _content(9 * _MIB)
    location = await start_upload(client, "app")
    headers, _ = _framed(content + b"more", framing)
    begin = _in_chunks(content, end=False) if framing == "chunked" else content
    async with connected(client) as connection:
        await connection.send(request_head("PATCH", location, {**headers, "Expect": "100-continue"}))
        assert (await connection.answer()).status == 100
        await connection.send(begin)
        if reset:
            await asyncio.sleep(0.5)
        await connection.vanish(reset=reset)
        await _stands_at(client, location, len(content))
    answer = await ask(client, "PUT", f"{location}?digest={digest_of(content)}")
    assert answer.status == 201


@pytest.mark.parametrize("before", [0, 100, 9 * _MIB])
@pytest.mark.parametrize("bad", [b"zz\r\n", b"5\nhello\r\n", b"5\r\nhello!\r\n", b"0\r\nno trailer\r\n\r\n"], ids=repr)
async def test_a_chunk_that_is_none_is_answered_400_and_keeps_what_was_before(
    client: Client, before: int, bad: bytes
) -> None:
    content = _content(before)
    location = await start_upload(client, "app")
    async with connected(client) as connection:
        await connection.send(request_head("PATCH", location, {**_CHUNKED, "Expect": "100-continue"}))
        assert (await connection.answer()).status == 100
        await connection.send(_in_chunks(content, end=False) + bad + request_head("DELETE", location))
        answer = await connection.answer()
        answer.assert_error(400, "UNSUPPORTED")
        assert answer.headers["Connection"] == "close"
        assert await connection.rest() == b""
    kept = int((await ask(client, "GET", location)).headers["Range"].removeprefix("0-"))
    assert before <= kept + 1 <= before + 5


async def test_a_body_that_nobody_reads_and_that_is_none_closes_the_connection(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    async with connected(client) as connection:
        await connection.send(request_head("POST", "/v2/app/blobs/uploads/", _CHUNKED))
        assert (await connection.answer()).status == 202
        await connection.send(b"5\r\nhello\r\nzz\r\n" + request_head("GET", "/v2/"))
        assert await connection.rest() == b""
    assert not caplog.records


async def test_a_body_that_nobody_reads_is_thrown_away_and_the_next_request_is_answered(client: Client) -> None:
    async with connected(client) as connection:
        head = request_head("POST", "/v2/app/blobs/uploads/", _CHUNKED)
        await connection.send(head + _in_chunks(_content(3 * _MIB)) + request_head("GET", "/v2/"))
        assert (await connection.answer()).status == 202
        assert (await connection.answer()).body == b"{}"


@pytest.mark.parametrize("framing", ["announced in ranges", "chunked"])
async def test_a_large_body_above_the_limit_is_answered_413(start_registry: StartRegistry, framing: str) -> None:
    client = await start_registry(pyregistry={"limits": {"blob-size": 8 * _MIB}})
    location = await start_upload(client, "app")
    content = _content(5 * _MIB)
    if framing == "chunked":
        answer = await ask(client, "PATCH", location, _CHUNKED, _in_chunks(content + content))
    else:
        assert (await ask(client, "PATCH", location, body=content)).status == 202
        answer = await ask(client, "PATCH", location, body=content)
    answer.assert_error(413, "SIZE_INVALID")
    assert int((await ask(client, "GET", location)).headers["Range"].removeprefix("0-")) < 8 * _MIB


async def test_more_bytes_than_a_range_announces_are_answered_400(client: Client) -> None:
    location = await start_upload(client, "app")
    headers = {**_CHUNKED, "Content-Range": f"0-{4 * _MIB - 1}"}
    answer = await ask(client, "PATCH", location, headers, _in_chunks(_content(9 * _MIB)))
    answer.assert_error(400, "SIZE_INVALID")


async def _push(client: Client, content: bytes, name: str) -> None:
    location = await start_upload(client, name)
    assert (await ask(client, "PATCH", location, _CHUNKED, _in_chunks(content))).status == 202
    assert (await ask(client, "PUT", f"{location}?digest={digest_of(content)}")).status == 201


async def test_more_large_bodies_at_once_than_there_are_threads_all_arrive(client: Client) -> None:
    contents = [_content(6 * _MIB + number) for number in range(24)]
    await asyncio.gather(*(_push(client, content, f"app{number}") for number, content in enumerate(contents)))
    for number, content in enumerate(contents):
        assert (await ask(client, "GET", f"/v2/app{number}/blobs/{digest_of(content)}")).body == content


async def _dribble(connection: RawConnection, body: bytes) -> None:
    for at in range(0, len(body), 100_000):
        await connection.send(body[at : at + 100_000])
        await asyncio.sleep(0.002)


async def test_a_large_body_that_comes_with_pauses_arrives(client: Client) -> None:
    content = _content(6 * _MIB + 3)
    location = await start_upload(client, "app")
    async with connected(client) as connection:
        await connection.send(request_head("PUT", f"{location}?digest={digest_of(content)}", _CHUNKED))
        await _dribble(connection, _in_chunks(content))
        assert (await connection.answer()).status == 201


async def _send_slowly(connection: RawConnection, location: str, content: bytes) -> None:
    """For longer than it takes to be a slow body, all but its end."""
    await connection.send(request_head("PATCH", location, _CHUNKED))
    for at in range(0, len(content), _CHUNK):
        await connection.send(chunked(content[at : at + _CHUNK], end=False))
        await asyncio.sleep(0.005)


@pytest.mark.parametrize("pieces", [80, 81])
async def test_what_came_of_a_slow_body_is_taken_without_more_of_it(client: Client, pieces: int) -> None:
    content = _content(3 * _MIB)[: pieces * _CHUNK]
    location = await start_upload(client, "app")
    async with connected(client) as connection:
        await _send_slowly(connection, location, content)
        await connection.vanish(reset=False)
        await _stands_at(client, location, len(content))


async def test_requests_behind_a_slow_body_are_answered(client: Client) -> None:
    content = _content(2 * _MIB + 3)
    location = await start_upload(client, "app")
    async with connected(client) as connection:
        await _send_slowly(connection, location, content)
        await connection.send(chunked())
        assert (await connection.answer()).headers["Range"] == f"0-{len(content) - 1}"
        assert (await connection.request("GET", location)).status == 204
