"""The start-up self-test of the fast path: a few requests through a socket pair, before the first client connects.

aiohttp's internals change between versions. Where the fast path does not work, requests are served the ordinary way,
instead of failing at each upload.
"""

import asyncio
import socket
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import structlog
from aiohttp import __version__ as aiohttp_version
from aiohttp import web

from pyregistry.api.http.access_log import AccessLogger, LogEntry
from pyregistry.api.http.cached import CachedResponder, CachedResponse, ParsedHead
from pyregistry.api.http.client import connection_of
from pyregistry.api.transport.limits import ConnectionLimits
from pyregistry.api.transport.runner import Runner
from pyregistry.common.overriding import override

_SECONDS = 5.0
"""Seconds that the test may take. It needs 0.02 s of processor time, of which a container may have little."""
_BODY_BYTES = 1024 * 1024
"""So many that threads read parts from the socket."""
_CHUNK_BYTES = 32 * 1024
_MALFORMED = (
    b"GET /small HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"PUT /whole HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nno size\r\n",
)

log = structlog.get_logger("pyregistry.server")


class SelfTestFailed(Exception):
    """The fast path does not work with this version of aiohttp; the message says what failed."""


class _Responder(CachedResponder):
    """A cache with one response."""

    @override
    def find(self, message: ParsedHead, peer: str) -> CachedResponse | None:
        if message.path != "/cached" or message.method != "GET":
            return None
        entry = LogEntry(peer, "", "", "GET", "/cached", "HTTP/1.1", "", 200, 6, "")
        return CachedResponse(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\ncached", entry)


class _Silent(AccessLogger):
    """An access log that counts its lines and writes none."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    @override
    def write(self, entry: LogEntry, seconds: float) -> None:
        self.count += 1


def fast_path_works() -> bool:
    """Return True if the fast path works with this version of aiohttp; else log what failed, once.

    Blocks for about ten milliseconds. Call it before workers start.
    """
    try:
        run_self_test()
    except Exception as error:  # whatever a foreign version of aiohttp may raise
        reason = str(error) if isinstance(error, SelfTestFailed) else f"{type(error).__name__}: {error}"
        log.warning(
            "fast path off: its self-test failed. All requests are served the ordinary way, which takes more processor "
            "time; install a supported version of aiohttp, or set pyregistry.fast-path to false",
            reason=reason,
            aiohttp=aiohttp_version,
        )
        return False
    return True


def run_self_test() -> None:
    """Raise SelfTestFailed, or any error that an unknown version of aiohttp causes."""
    from pyregistry.api.transport import fast, internals  # noqa: PLC0415 - aiohttp may lack what they import

    missing = internals.missing_names()
    if missing:
        raise SelfTestFailed(f"aiohttp has no {', '.join(missing)}")
    if not internals.has_c_parser():
        raise SelfTestFailed("aiohttp was installed without its C parser")
    loop = asyncio.new_event_loop()
    errors: list[str] = []
    loop.set_exception_handler(lambda _, context: errors.append(_described(context)))
    try:
        loop.run_until_complete(asyncio.wait_for(_serve_and_ask(fast.FastRunner), _SECONDS))
    except TimeoutError:
        raise SelfTestFailed(errors[0] if errors else f"no response within {_SECONDS:g} s") from None
    finally:
        loop.close()
    if errors:
        raise SelfTestFailed(errors[0])


def _described(context: dict[str, Any]) -> str:
    error = context.get("exception")
    return f"{type(error).__name__}: {error}" if error is not None else str(context.get("message"))


async def _serve_and_ask(make_runner: Callable[..., Runner]) -> None:
    app = web.Application()
    app.router.add_put("/whole", _take_whole)
    app.router.add_put("/direct", _take_directly)
    app.router.add_get("/small", _answer_small)
    logger = _Silent()
    runner = make_runner(
        app,
        limits=ConnectionLimits(lingering=0.0),
        access_logger=logger,
        settle_seconds=0.0,
        shutdown_timeout=0.1,
        responder=_Responder(),
    )
    await runner.setup()
    try:
        async with _connected(runner) as (reader, writer):
            count = await _ask_all(reader, writer)
        for request in _MALFORMED:
            async with _connected(runner) as (reader, writer):
                await _require_refusal(reader, writer, request)
    finally:
        await runner.cleanup()
    count += len(_MALFORMED)
    if logger.count != count:
        raise SelfTestFailed(f"{count} requests, {logger.count} lines of the access log")


@asynccontextmanager
async def _connected(runner: Runner) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    ours, theirs = socket.socketpair()
    factory: Any = runner.server
    await asyncio.get_running_loop().connect_accepted_socket(factory, ours)
    reader, writer = await asyncio.open_connection(sock=theirs)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def _answer_small(_: web.Request) -> web.Response:
    return web.Response(body=b"small")


async def _take_whole(request: web.Request) -> web.Response:
    return _summary(await request.content.read())


async def _take_directly(request: web.Request) -> web.Response:
    """Read a body as an upload does: its beginning by the event loop, the rest directly from the socket."""
    content, connection = request.content, connection_of(request)
    if connection is None:
        raise SelfTestFailed("a request has no connection")
    taken = bytearray(await content.readany())
    buffer = memoryview(bytearray(_BODY_BYTES))
    while not content.at_eof():
        with connection.direct_read(content) as read:
            pieces = [bytes(piece) for piece in read(buffer)] if read is not None else []
        taken += b"".join(pieces) if pieces else await content.readany()
    return _summary(taken)


def _summary(body: bytes | bytearray) -> web.Response:
    return web.Response(body=_sum(body))


def _sum(body: bytes | bytearray) -> bytes:
    return b"%d bytes, %x" % (len(body), zlib.crc32(body))


async def _ask_all(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
    """Send all requests on one connection; return their number."""
    whole = bytes(range(256)) * (_BODY_BYTES // 256)
    begin = whole[: 2 * _CHUNK_BYTES]
    chunked = "Transfer-Encoding: chunked"
    cases = [
        ("GET", "/small", "Accept: */*", b"", b"small"),
        ("GET", "/cached", "Accept: */*", b"", b"cached"),
        ("PUT", "/whole", f"Content-Length: {len(begin)}", begin, _sum(begin)),
        ("PUT", "/direct", f"Content-Length: {len(whole)}", whole, _sum(whole)),
        ("GET", "/cached", "Accept: */*", b"", b"cached"),
        ("PUT", "/whole", chunked, _in_chunks(begin), _sum(begin)),
        ("PUT", "/direct", chunked, _in_chunks(whole), _sum(whole)),
        ("GET", "/small", "Accept: */*", b"", b"small"),
    ]
    for method, path, header, body, expected in cases:
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{header}\r\n\r\n".encode()
        response = await _ask(reader, writer, head + body)
        if response != expected:
            raise SelfTestFailed(f"{method} {path} with {header!r} gave {response[:100]!r}")
    return len(cases)


def _in_chunks(body: bytes) -> bytes:
    pieces = (body[at : at + _CHUNK_BYTES] for at in range(0, len(body), _CHUNK_BYTES))
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


async def _require_refusal(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> None:
    """Require a 400 with the spec's error body, and then the end of the connection."""
    writer.write(request)
    response = await reader.read()
    if not response.startswith(b"HTTP/1.0 400 ") or b'"errors"' not in response:
        raise SelfTestFailed(f"{request[-20:]!r} gave {response[:100]!r}")


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> bytes:
    writer.write(request)
    with suppress(ConnectionError):
        await writer.drain()
    head = await reader.readuntil(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    if " 200 " not in status:
        raise SelfTestFailed(f"a request got {status!r}")
    length = next(int(line.partition(":")[2]) for line in lines if line.lower().startswith("content-length:"))
    return await reader.readexactly(length)
