"""Request bodies: read only after authentication and checks, never decompressed, never without a timeout."""

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from functools import wraps

from aiohttp import web

from pyregistry.api.http.client import connection_of
from pyregistry.api.http.context import settings
from pyregistry.api.http.holding import Holding, Holdings
from pyregistry.oci.errors import (
    BlobTooLarge,
    ExpectationFailed,
    ManifestTooLarge,
    RequestInvalid,
    RequestTimeout,
)
from pyregistry.storage.seams.uploads import SMALL_BYTES, Read

_PAUSE_SECONDS = 0.2
"""Seconds without a byte after which an upload writes its buffer instead of holding it."""
_STREAMING = ("Content-Range", "Expect")
"""Requests with these headers take the streaming path."""
_manifests = Holdings("too many large manifests arrive")
"""Of this worker, which has one event loop."""
_HOLDING = web.RequestKey("holding", Holding)
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


async def defer_continue(request: web.Request) -> None:
    """Do nothing, as the expect handler of every route: `body` sends 100 Continue when the body is read.

    aiohttp's own handler sends it before the middlewares run, so a client would send its gigabytes to a 401.
    """


class Body:
    """The pieces of a body as they arrive.

    Raises ExpectationFailed, RequestTimeout for a client that sends too slowly, and aiohttp's error for a body that
    breaks off. `Content-Encoding` is ignored, as in the CNCF registry: the bytes are stored as sent.
    """

    def __init__(self, request: web.Request) -> None:
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the chunks, once only. An empty chunk means that the client pauses."""
        request, content = self._request, self._request.content
        check_body_headers(request)
        await _continue(request)
        window, rate = settings(request).body_window, settings(request).min_body_rate
        loop = asyncio.get_running_loop()
        begin, before, pause = loop.time(), 0, math.inf
        while True:
            try:
                async with asyncio.timeout_at(min(begin + window, pause)):
                    chunk = await content.readany()
            except TimeoutError as error:
                if pause < begin + window:
                    pause = math.inf
                    yield b""
                    continue
                if content.total_bytes - before < window * rate:
                    raise RequestTimeout("the body arrives too slowly") from error
                begin, before = loop.time(), content.total_bytes
                continue
            if not chunk:
                _check(request)
                return
            if loop.time() >= begin + window:
                begin, before = loop.time(), content.total_bytes
            yield chunk
            chunk = b""  # keeps no memory while it waits for the next one
            pause = loop.time() + _PAUSE_SECONDS

    def direct_reader(self) -> AbstractContextManager[Read | None]:
        """Return a direct read, as a DirectReader does."""
        connection = connection_of(self._request)
        return nullcontext() if connection is None else connection.direct_read(self._request.content)


def body(request: web.Request) -> Body:
    """Return the body of this request, to be read once."""
    return Body(request)


def body_if_received(request: web.Request) -> bytes | None:
    """Read and return the whole body if it is small and has arrived; most come in the packet of their headers.

    None: read `body`, which waits, and handles the headers that need the streaming path.
    """
    content, headers = request.content, request.headers
    if not content.is_eof() or content.total_bytes > SMALL_BYTES or any(name in headers for name in _STREAMING):
        return None
    _check(request)
    return content.read_nowait() if headers.get("Transfer-Encoding", "chunked") == "chunked" else None


def _check(request: web.Request) -> None:
    connection = connection_of(request)
    if connection is not None:
        connection.check_body(request.content)


def holding_manifest(
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """Count the manifest that a handler reads with `read_manifest_body`, until the handler has ended."""

    @wraps(handler)
    async def counting(request: web.Request) -> web.StreamResponse:
        with _manifests.hold() as request[_HOLDING]:
            return await handler(request)

    return counting


async def read_manifest_body(request: web.Request) -> bytes:
    """Return the whole body, for a handler that is `holding_manifest`.

    Raises ManifestTooLarge, for an announced length before it reads. Raises Unavailable if the manifests of all
    clients would hold too much memory.
    """
    limit = settings(request).max_manifest_size
    if (request.content_length or 0) > limit:
        raise ManifestTooLarge(f"a manifest has at most {limit} bytes here")
    pieces, size, holding = list[bytes](), 0, request[_HOLDING]
    try:
        async with holding.evictable():
            async for chunk in body(request):
                size += len(chunk)
                if size > limit:
                    raise ManifestTooLarge(f"a manifest has at most {limit} bytes here")
                holding.add(len(chunk))
                pieces.append(chunk)
                chunk = b""  # noqa: PLW2901 # keeps no memory while it waits for the next one
        holding.pin()
        return b"".join(pieces)
    except TimeoutError as error:
        raise _manifests.refusal() from error
    finally:
        pieces.clear()  # the stream keeps the error that it raised, and the error keeps this frame


def check_blob_size(request: web.Request) -> None:
    """Raise BlobTooLarge for an announced length, before the client sends the body."""
    limit = settings(request).max_blob_size
    if (request.content_length or 0) > limit:
        raise BlobTooLarge(f"a blob has at most {limit} bytes here")


def announced_size(request: web.Request) -> int:
    """Return the bytes that need free space: the announced length, or 1 for a body without one."""
    length = request.content_length
    return int(request.body_exists) if length is None else length


def check_body_headers(request: web.Request) -> None:
    """Raise RequestInvalid or ExpectationFailed for a body that cannot be accepted."""
    if request.headers.get("Transfer-Encoding", "chunked").lower() != "chunked":
        raise RequestInvalid("the only transfer coding is chunked")
    if _expectations(request) and not _waits_for_continue(request):
        raise ExpectationFailed("the only expectation is 100-continue")


def _expectations(request: web.Request) -> str:
    return request.headers.get("Expect", "").strip().lower()


def _waits_for_continue(request: web.Request) -> bool:
    """Return True if 100-continue is among the expectations, as in the CNCF registry."""
    return "100-continue" in _expectations(request).replace(",", " ").split()


async def _continue(request: web.Request) -> None:
    if _waits_for_continue(request) and request.version >= (1, 1) and not request.content.at_eof():
        transport = request.transport
        if transport is not None:
            transport.write(_CONTINUE)
