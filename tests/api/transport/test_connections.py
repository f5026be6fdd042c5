"""Connections: deadlines, caps, keep-alive and what is not HTTP/1.1: reliability.md, section 4, the last row."""

import asyncio
import io
import random
import socket
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestServer

from pyregistry.api.http.context import Settings
from pyregistry.api.transport.connection import Connection
from pyregistry.api.transport.limits import ConnectionLimits
from pyregistry.api.transport.runner import Runner
from tests.builders import digest_of
from tests.conftest import StartRegistry
from tests.modes import FAST_PATH, fast_path_only
from tests.push import Client, start_upload
from tests.raw import ask, chunked, connected, request_head, send_bytes

TLS_HELLO = bytes.fromhex("16030100a1010000 9d0303") + bytes(range(150))


async def test_a_tls_hello_is_answered_in_text_that_begins_with_http(client: Client) -> None:
    async with connected(client) as connection:
        await connection.send(TLS_HELLO)
        assert (await connection.rest()).startswith(b"HTTP/1.0 400 ")


@pytest.mark.parametrize(
    "begin", [b"", b"GET", b"GET /v2/ HTTP/1.1\r\n", b"GET /v2/ HTTP/1.1\r\nHost: x\r\n"], ids=repr
)
async def test_a_connection_without_whole_headers_is_closed_at_the_deadline(
    start_registry: StartRegistry, begin: bytes
) -> None:
    client = await start_registry(pyregistry={"limits": {"header-deadline": 0.3}})
    async with connected(client) as connection:
        await connection.send(begin)
        assert await connection.says_nothing(0.15)
        async with asyncio.timeout(2):
            assert await connection.rest() == b""


async def test_headers_that_dribble_do_not_move_the_deadline(start_registry: StartRegistry) -> None:
    client = await start_registry(pyregistry={"limits": {"header-deadline": 0.4}})
    async with connected(client) as connection:
        await connection.send(b"GET /v2/ HTTP/1.1\r\n")
        with pytest.raises(ConnectionError):
            await connection.send_again_and_again(b"X-Slow: 1\r\n", pause=0.05)


async def test_the_deadline_also_holds_for_the_headers_of_a_second_request(start_registry: StartRegistry) -> None:
    client = await start_registry(pyregistry={"limits": {"header-deadline": 0.3}})
    async with connected(client) as connection:
        assert (await connection.request("GET", "/v2/")).status == 200
        await connection.send(b"GET /v2/ HT")
        async with asyncio.timeout(2):
            assert await connection.rest() == b""


async def test_the_deadline_for_headers_does_not_cut_a_body_or_an_idle_connection(
    start_registry: StartRegistry,
) -> None:
    client = await start_registry(pyregistry={"limits": {"header-deadline": 0.2}})
    location = await start_upload(client, "app")
    async with connected(client) as connection:
        await connection.send(request_head("PATCH", location, {"Content-Length": "4"}) + b"bo")
        await asyncio.sleep(0.5)
        await connection.send(b"dy")
        assert (await connection.answer()).headers["Range"] == "0-3"
        await asyncio.sleep(0.5)
        assert (await connection.request("GET", "/v2/")).status == 200


async def test_an_idle_connection_is_closed_after_the_keep_alive_time_and_not_before(
    start_registry: StartRegistry,
) -> None:
    client = await start_registry(pyregistry={"limits": {"keepalive": 0.6}})
    async with connected(client) as connection:
        for _ in range(3):
            assert (await connection.request("GET", "/v2/")).status == 200
            assert await connection.says_nothing(0.3)
        async with asyncio.timeout(5):
            assert await connection.rest() == b""


def _reading_little(client: Client) -> socket.socket:
    """A connection that has room for a few kilobytes."""
    reader = socket.socket()
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    reader.setblocking(False)
    assert client.port is not None
    reader.connect_ex((client.host, client.port))
    return reader


async def _ask_for_blob(start_registry: StartRegistry, deadline: float, **limits: float) -> tuple[socket.socket, bytes]:
    client = await start_registry(pyregistry={"limits": {"send-deadline": deadline, **limits}})
    content = random.randbytes(8 * 1024 * 1024)
    digest, location = digest_of(content), await start_upload(client, "app")
    assert (await client.put(f"{location}?digest={digest}", data=io.BytesIO(content))).status == 201
    reader = _reading_little(client)
    await asyncio.get_running_loop().sock_sendall(reader, request_head("GET", f"/v2/app/blobs/{digest}"))
    return reader, content


async def test_a_client_that_takes_nothing_of_its_download_is_cut_off(start_registry: StartRegistry) -> None:
    reader, content = await _ask_for_blob(start_registry, 0.4)
    with reader:
        await asyncio.sleep(0.2)
        assert _open_blobs()
        await asyncio.sleep(2)
        assert not _open_blobs()
        with pytest.raises(ConnectionResetError):
            await _read_slowly(reader, len(content), pause=0)


async def test_a_client_that_takes_little_at_a_time_is_left_alone(start_registry: StartRegistry) -> None:
    reader, content = await _ask_for_blob(start_registry, 0.5)
    begun = time.monotonic()
    with reader:
        assert (await _read_slowly(reader, len(content), pause=0.001)).endswith(content)
    assert time.monotonic() - begun > 1.5


@pytest.fixture
def short_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """Judge the speed of readers after 0.6 seconds."""
    monkeypatch.setattr("pyregistry.service.wiring.ConnectionLimits", partial(ConnectionLimits, rate_window=0.6))


async def _read_100_bytes_at_a_time(reader: socket.socket, seconds: float) -> None:
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while loop.time() < end:
        await loop.sock_recv(reader, 100)
        await asyncio.sleep(0.02)


@pytest.mark.usefixtures("short_window")
async def test_a_client_that_takes_less_than_the_rate_is_cut_off(start_registry: StartRegistry) -> None:
    reader, _ = await _ask_for_blob(start_registry, 300, **{"send-rate": 1_000_000})
    with reader, pytest.raises(ConnectionResetError):
        await _read_100_bytes_at_a_time(reader, 20)
    assert not _open_blobs()


@pytest.mark.usefixtures("short_window")
@pytest.mark.parametrize("rate", [0, 1], ids=["any rate is allowed", "it is fast enough"])
async def test_a_client_above_the_rate_is_left_alone(start_registry: StartRegistry, rate: int) -> None:
    reader, _ = await _ask_for_blob(start_registry, 300, **{"send-rate": rate})
    with reader:
        await _read_100_bytes_at_a_time(reader, 3)
        assert _open_blobs()


def _open_blobs() -> list[str]:
    names = []
    for handle in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            names.append(str(handle.readlink()))
    return [name for name in names if "/v2/blobs/" in name]


async def _read_slowly(reader: socket.socket, size: int, pause: float) -> bytes:
    loop = asyncio.get_running_loop()
    received = bytearray()
    while len(received) < size:
        received += await loop.sock_recv(reader, 4096)
        await asyncio.sleep(pause)
    return bytes(received)


async def test_answers_that_nobody_takes_are_given_up(start_registry: StartRegistry) -> None:
    """Not only a blob, which the kernel sends by itself."""
    client = await start_registry(
        pyregistry={"limits": {"send-deadline": 0.4}}, http={"headers": {"X-Long": ["x" * 4000]}}
    )
    with _reading_little(client) as reader:
        async with asyncio.timeout(20):
            with pytest.raises(ConnectionError):
                await _ask_without_end(reader)


async def _ask_without_end(connection: socket.socket) -> None:
    while True:
        await asyncio.get_running_loop().sock_sendall(connection, request_head("GET", "/v2/") * 2_000)


def test_connections_live_longer_than_the_idle_time_of_clients_and_proxies() -> None:
    assert ConnectionLimits().keepalive >= 75
    assert ConnectionLimits().header_deadline <= 15


@pytest.fixture
async def impatient(start_registry: StartRegistry, monkeypatch: pytest.MonkeyPatch) -> Client:
    """A registry that judges the speed of a body after 0.4 seconds: 4,000 bytes or 408."""
    monkeypatch.setattr("pyregistry.service.wiring.Settings", partial(Settings, body_window=0.4))
    return await start_registry(pyregistry={"limits": {"body-rate": 10_000}})


@pytest.mark.parametrize("headers", [{"Content-Length": "100000"}, {"Transfer-Encoding": "chunked"}])
async def test_a_body_that_stalls_is_answered_408_and_keeps_what_arrived(
    impatient: Client, headers: dict[str, str]
) -> None:
    location = await start_upload(impatient, "app")
    begin = chunked(b"begin", end=False) if "Transfer-Encoding" in headers else b"begin"
    async with connected(impatient) as connection:
        await connection.send(request_head("PATCH", location, headers) + begin)
        answer = await connection.answer()
        answer.assert_error(408, "SIZE_INVALID")
        assert answer.headers["Connection"] == "close"
    assert (await ask(impatient, "GET", location)).headers["Range"] == "0-4"


async def test_a_body_that_dribbles_is_answered_408(impatient: Client) -> None:
    location = await start_upload(impatient, "app")
    async with connected(impatient) as connection:
        await connection.send(request_head("PATCH", location, {"Content-Length": "100000"}))
        reading = asyncio.create_task(connection.answer())
        while not reading.done():
            await connection.send(b"x")
            await asyncio.sleep(0.02)
        (await reading).assert_error(408, "SIZE_INVALID")


async def test_a_manifest_that_stalls_is_answered_408(impatient: Client) -> None:
    answer = await ask(impatient, "PUT", "/v2/app/manifests/latest", {"Content-Length": "100"}, b"{")
    answer.assert_error(408, "SIZE_INVALID")


async def test_a_slow_body_above_the_rate_may_take_any_time(impatient: Client) -> None:
    location = await start_upload(impatient, "app")
    async with connected(impatient) as connection:
        await connection.send(request_head("PATCH", location, {"Content-Length": "60000"}))
        for _ in range(30):
            await connection.send(b"x" * 2_000)
            await asyncio.sleep(0.04)
        assert (await connection.answer()).headers["Range"] == "0-59999"


async def test_a_shutdown_lets_a_running_upload_end_and_closes_idle_connections(client: Client) -> None:
    location = await start_upload(client, "app")
    async with connected(client) as idle, connected(client) as running:
        assert (await idle.request("GET", "/v2/")).status == 200
        headers = {"Content-Length": "12", "Expect": "100-continue"}
        await running.send(request_head("PATCH", location, headers))
        assert (await running.answer()).status == 100
        await running.send(b"before")
        closing = asyncio.create_task(client.close())
        assert await idle.rest() == b""
        await running.send(b" after")
        answer = await running.answer()
        assert (answer.status, answer.headers["Range"]) == (202, "0-11")
        assert await running.rest() == b""
        await closing


@fast_path_only("aiohttp waits twice, and the ordinary way waits before it")
async def test_a_shutdown_waits_once_for_a_client_that_reads_nothing(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """aiohttp waits for the request, cancels it, and waits again."""
    cut: list[Connection] = []
    abort = Connection.abort

    def noting(self: Connection) -> None:
        cut.append(self)
        abort(self)

    monkeypatch.setattr(Connection, "abort", noting)
    content = bytes(40_000_000)
    path = f"/v2/app/blobs/uploads/?digest={digest_of(content)}"
    assert (await ask(client, "POST", path, {}, content)).status == 201
    runner = client.server.runner
    assert isinstance(runner, Runner)
    assert runner.server is not None
    async with connected(client) as unread:
        await unread.send(request_head("GET", f"/v2/app/blobs/{digest_of(content)}"))
        assert b"200" in await unread._reader.readline()
        [running] = [
            each for each in runner.server.connections if isinstance(each, Connection) and each.current is not None
        ]
        shutdown = asyncio.create_task(running.shutdown(0.2))
        await shutdown
        assert cut == [running]


async def test_a_shutdown_between_the_headers_and_their_handler_lets_the_upload_end(client: Client) -> None:
    location = await start_upload(client, "app")
    runner = client.server.runner
    assert isinstance(runner, Runner)
    assert runner.server is not None
    before = set(runner.server.connections)
    async with connected(client) as running:
        while not (new := set(runner.server.connections) - before):
            await asyncio.sleep(0.01)
        connection: Any = new.pop()
        # A busy machine shows the loop all of this at once, before the handler's task has had its first turn.
        connection.data_received(request_head("PATCH", location, {"Content-Length": "12"}) + b"before")
        connection.close() if FAST_PATH else connection.drain()
        connection.data_received(b" after")
        answer = await running.answer()
        assert (answer.status, answer.headers["Range"]) == (202, "0-11")
        assert await running.rest() == b""


async def test_http_1_0_is_answered_and_the_connection_closed(client: Client) -> None:
    async with connected(client) as connection:
        await connection.send(b"GET /v2/ HTTP/1.0\r\n\r\n")
        answer = await connection.answer()
        assert (answer.status, answer.body) == (200, b"{}")
        assert await connection.rest() == b""


async def test_a_whole_push_and_pull_works_over_http_1_0(client: Client) -> None:
    content = b"pushed through an old proxy"
    path = f"/v2/app/blobs/uploads/?digest={digest_of(content)}"
    head = f"POST {path} HTTP/1.0\r\nContent-Length: {len(content)}\r\n\r\n".encode()
    assert (await send_bytes(client, head + content)).status == 201
    for length in ["", "Connection: keep-alive\r\n"]:
        answer = await send_bytes(client, f"GET /v2/app/blobs/{digest_of(content)} HTTP/1.0\r\n{length}\r\n".encode())
        assert answer.body == content
        assert "Transfer-Encoding" not in answer.headers


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/v2/"), ("HEAD", "/v2/"), ("GET", "/nowhere"), ("OPTIONS", "/v2/")]
)
async def test_connection_close_is_honoured(client: Client, method: str, path: str) -> None:
    async with connected(client) as connection:
        answer = await connection.request(method, path, {"Connection": "close"})
        assert answer.headers["Connection"] == "close"
        assert await connection.rest() == b""


@pytest.mark.parametrize("protocol", ["h2c", "websocket"])
async def test_an_offer_of_another_protocol_is_not_taken(client: Client, protocol: str) -> None:
    headers = {
        "Connection": "Upgrade, HTTP2-Settings",
        "Upgrade": protocol,
        "HTTP2-Settings": "AAMAAABkAAQAoAAAAAIAAAAA",
    }
    async with connected(client) as connection:
        for _ in range(2):
            assert (await connection.request("GET", "/v2/", headers)).body == b"{}"


async def test_a_client_that_does_not_read_its_download_holds_nothing_up(client: Client) -> None:
    content = bytes(8 * 1024 * 1024)
    location = await start_upload(client, "app")
    assert (await ask(client, "PUT", f"{location}?digest={digest_of(content)}", body=content)).status == 201
    async with connected(client) as greedy:
        await greedy.send(request_head("GET", f"/v2/app/blobs/{digest_of(content)}"))
        assert isinstance(client.server, TestServer)
        async with asyncio.timeout(5):
            assert (await ask(client, "GET", "/v2/")).status == 200
        assert (await greedy.answer()).body == content
