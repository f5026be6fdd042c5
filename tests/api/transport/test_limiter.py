"""Above the limits of connections the one that is idle longest is closed, and others are not locked out."""

import asyncio
import io
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import pytest

from pyregistry.api.transport.limiter import ConnectionLimiter
from pyregistry.auth import credentials
from pyregistry.auth.throttle import ANSWERED_RATE
from tests.auth.credentials import auth_section, basic, write_htpasswd
from tests.builders import digest_of
from tests.conftest import StartRegistry
from tests.push import Client, start_upload
from tests.raw import RawConnection, connected, request_head

Begin = Callable[[Client, RawConnection], Awaitable[None]]


async def _say_nothing(client: Client, connection: RawConnection) -> None:
    pass


async def _send_half_a_head(client: Client, connection: RawConnection) -> None:
    await connection.send(b"GET /v2/ HTTP/1.1\r\nX-Half: ")


async def _ask_once(client: Client, connection: RawConnection) -> None:
    assert (await connection.request("GET", "/v2/")).status == 200


async def _ask_and_begin_again(client: Client, connection: RawConnection) -> None:
    await _ask_once(client, connection)
    await connection.send(b"GET /v2/ HTTP/1.1\r\nX-Half: ")


async def _push_a_body(client: Client, connection: RawConnection) -> None:
    location = await start_upload(client, "app")
    assert (await connection.request("PATCH", location, {"Content-Length": "4"}, b"body")).status == 202


async def _stall_an_upload(client: Client, connection: RawConnection) -> None:
    location = await start_upload(client, "app")
    await connection.send(request_head("PATCH", location, {"Content-Length": "9", "Expect": "100-continue"}))
    assert (await connection.answer()).status == 100


async def _stall_a_download(client: Client, connection: RawConnection) -> None:
    content = bytes(16 * 1024 * 1024)
    location, digest = await start_upload(client, "app"), digest_of(content)
    assert (await client.put(f"{location}?digest={digest}", data=io.BytesIO(content))).status == 201
    await connection.send(request_head("GET", f"/v2/app/blobs/{digest}"))
    await connection.wait_for_headers()


_IDLE = {
    "it said nothing": _say_nothing,
    "it sent half a head": _send_half_a_head,
    "it was answered": _ask_once,
    "it sent half a head after an answer": _ask_and_begin_again,
    "it sent a body": _push_a_body,
}
_RUNNING = {"an upload stalls": _stall_an_upload, "a download stalls": _stall_a_download}
_BOTH = pytest.mark.parametrize("limit", ["connections", "connections-per-address"])


async def _counted(client: Client, number: int) -> None:
    """Wait until the server has that many connections: it hears of one later than the client."""
    runner = client.server.runner
    assert runner is not None
    assert runner.server is not None
    async with asyncio.timeout(10):
        while len(runner.server.connections) != number:
            await asyncio.sleep(0.005)


@_BOTH
@pytest.mark.parametrize("begin", [pytest.param(begin, id=fact) for fact, begin in _IDLE.items()])
async def test_at_the_limit_the_connection_that_is_idle_longest_is_closed_for_a_new_one(
    start_registry: StartRegistry, limit: str, begin: Begin
) -> None:
    helper = await start_registry()
    client = await start_registry(pyregistry={"limits": {limit: 3}})
    async with AsyncExitStack() as stack:
        first, second, third = [await stack.enter_async_context(connected(client)) for _ in range(3)]
        for connection in (first, second, third):
            await begin(helper, connection)
        await _counted(client, 3)
        for number, gone in enumerate((first, second)):
            newcomer = await stack.enter_async_context(connected(client))
            await _ask_once(client, newcomer)
            assert await gone.rest() == b"", number
        await _counted(client, 3)


@_BOTH
@pytest.mark.parametrize("begin", [pytest.param(begin, id=fact) for fact, begin in _RUNNING.items()])
async def test_where_requests_run_on_all_connections_a_new_one_is_refused(
    start_registry: StartRegistry, limit: str, begin: Begin
) -> None:
    helper = await start_registry()
    client = await start_registry(pyregistry={"limits": {limit: 2}})
    async with connected(client) as first, connected(client) as second:
        await begin(helper, first)
        await begin(helper, second)
        async with connected(client) as third:
            assert await third.rest() == b""
        await first.vanish(reset=True)
        await _counted(client, 1)
        async with connected(client) as fourth:
            await _ask_once(client, fourth)


async def test_the_address_with_the_most_connections_loses_one(start_registry: StartRegistry) -> None:
    client = await start_registry(pyregistry={"limits": {"connections": 4}})
    async with AsyncExitStack() as stack:
        alone = await stack.enter_async_context(connected(client, "127.0.0.2"))
        await _ask_once(client, alone)
        many = [await stack.enter_async_context(connected(client, "127.0.0.3")) for _ in range(3)]
        for each in many:
            await _ask_once(client, each)
        for gone in many[:2]:
            newcomer = await stack.enter_async_context(connected(client, "127.0.0.4"))
            await _ask_once(client, newcomer)
            assert await gone.rest() == b""
        await _ask_once(client, alone)


async def test_idle_connections_from_two_addresses_lock_no_address_out(start_registry: StartRegistry) -> None:
    client = await start_registry(pyregistry={"limits": {"connections": 200, "connections-per-address": 100}})
    async with AsyncExitStack() as stack:
        for number in range(200):
            await stack.enter_async_context(connected(client, f"127.0.0.{2 + number % 2}"))
        await _counted(client, 200)
        for number in range(40):
            async with connected(client, f"127.0.0.{2 + number % 4}") as newcomer:
                await _ask_once(client, newcomer)


async def test_refusals_that_wait_on_purpose_lock_nobody_out(
    start_registry: StartRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind a proxy all have one address, and a client that guesses has as many connections as it likes."""
    monkeypatch.setattr(credentials, "DELAY_SECONDS", 3_600)
    write_htpasswd(tmp_path / "htpasswd", {"alice": "wonderland"})
    client = await start_registry(
        auth=auth_section(tmp_path / "htpasswd"), pyregistry={"limits": {"connections-per-address": 20}}
    )
    async with connected(client) as guessing:
        for _ in range(ANSWERED_RATE.burst):
            assert (await guessing.request("GET", "/v2/", basic("alice", "wrong"))).status == 401
    async with AsyncExitStack() as stack:
        for _ in range(20):
            guessing = await stack.enter_async_context(connected(client))
            await guessing.send(request_head("GET", "/v2/", basic("alice", "wrong")))
        for _ in range(30):
            async with connected(client) as newcomer:
                assert (await newcomer.request("GET", "/v2/", basic("alice", "wonderland"))).status == 200


async def _refuse_one(client: Client, address: str) -> None:
    async with connected(client, address) as refused:
        with suppress(ConnectionError):
            assert await refused.rest() == b""


@pytest.mark.parametrize("newcomer", ["127.0.0.3", "127.0.0.4"], ids=["the idle address", "a third address"])
async def test_an_address_whose_connections_are_all_busy_stops_the_search_for_no_other(
    start_registry: StartRegistry, newcomer: str
) -> None:
    helper = await start_registry()
    client = await start_registry(pyregistry={"limits": {"connections": 6, "connections-per-address": 3}})
    async with AsyncExitStack() as stack:
        for address, begin in (("127.0.0.2", _stall_an_upload), ("127.0.0.3", _ask_once)):
            for _ in range(3):
                await begin(helper, await stack.enter_async_context(connected(client, address)))
        for _ in range(10):
            await _refuse_one(client, "127.0.0.2")
            async with connected(client, newcomer) as other:
                await _ask_once(client, other)


class _Idle:
    """A connection that is idle since it began."""

    def __init__(self) -> None:
        self.closed = False

    def idle_since(self) -> float | None:
        return 0.0

    def close_idle(self) -> None:
        self.closed = True


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("192.0.2.1", "192.0.2.2", False),
    ],
)
async def test_an_ipv6_network_of_64_bits_counts_as_one_address(one: str, other: str, same: bool) -> None:
    caps, first, second = ConnectionLimiter(10, 1), _Idle(), _Idle()
    caps.begin(first, (one, 1, 0, 0), asyncio.Transport())
    caps.begin(second, (other, 1, 0, 0), asyncio.Transport())
    assert (first.closed, second.closed) == (same, False)
