"""Writing of the access log; tests/workers/test_logs.py has the contents of its lines."""

import asyncio
import io
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import BinaryIO

import pytest
from aiohttp import ClientSession, web
from hypothesis import given
from hypothesis import strategies as st

from pyregistry.api.http.access_log import AccessLogger, JsonAccessLogger, in_pieces
from pyregistry.api.transport.limits import ConnectionLimits
from pyregistry.api.transport.runner_factory import make_runner
from tests.modes import FAST_PATH

PIPE_BUF = 4096


@asynccontextmanager
async def logging_to(stream: BinaryIO, logger: type[AccessLogger] = AccessLogger) -> AsyncIterator[str]:
    """A server that logs to `stream`; its URL."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(text="there")

    app = web.Application()
    app.router.add_get("/{path}", answer)
    runner = make_runner(
        app, fast_path=FAST_PATH, limits=ConnectionLimits(), access_logger=logger(stream), settle_seconds=0
    )
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def test_each_of_many_requests_at_once_has_its_line() -> None:
    stream = io.BytesIO()
    async with logging_to(stream) as url, ClientSession() as session:

        async def ask(number: int) -> None:
            async with session.get(f"{url}/{number}") as answer:
                assert answer.status == 200

        await asyncio.gather(*map(ask, range(200)))
    lines = stream.getvalue().decode().splitlines()
    assert sorted(int(line.split('"GET /')[1].split()[0]) for line in lines) == list(range(200))


@pytest.mark.parametrize("logger", [AccessLogger, JsonAccessLogger])
async def test_what_is_no_request_has_its_line_too(
    logger: type[AccessLogger], caplog: pytest.LogCaptureFixture
) -> None:
    stream = io.BytesIO()
    async with logging_to(stream, logger) as url:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        writer.write(b"\x16\x03\x01 no HTTP\r\n\r\n")
        assert b" 400 " in await reader.readline()
        writer.close()
    [line] = stream.getvalue().splitlines()
    assert b"400" in line
    # aiohttp would log a traceback; our own line about a TLS handshake comes once a minute for each client.
    assert [record for record in caplog.records if record.name.startswith("aiohttp")] == []


async def test_a_log_that_nobody_reads_any_more_stops_nothing() -> None:
    read, write = os.pipe()
    os.close(read)
    with open(write, "wb", buffering=0) as stream:  # noqa: PTH123 - of a handle
        async with logging_to(stream) as url, ClientSession() as session:
            for _ in range(3):
                async with session.get(f"{url}/x") as answer:
                    assert await answer.text() == "there"


@given(st.lists(st.integers(1, PIPE_BUF - 1), min_size=1))
def test_lines_go_out_whole_in_their_order_and_no_piece_is_more_than_a_pipe_takes_at_once(sizes: list[int]) -> None:
    lines = [b"%d" % (number % 10) * size + b"\n" for number, size in enumerate(sizes)]
    pieces = list(in_pieces(lines))
    assert b"".join(pieces) == b"".join(lines)
    assert all(len(piece) <= PIPE_BUF and piece.endswith(b"\n") for piece in pieces)
