"""Large responses from memory, such as lists: sent in pieces, and bounded in total.

A client that stopped reading is disconnected after 300 s (docs/decisions/0006); until then its response waits here.
"""

import asyncio
from collections.abc import Mapping

from aiohttp import web

from pyregistry.api.http.holding import Holding, Holdings
from pyregistry.api.http.responses import JSON
from pyregistry.api.http.sent import count_sent

LARGE_BYTES = 64 * 1024
"""Bytes of a body above which a response is sent in pieces."""

_responses = Holdings("too many large responses wait for their clients")
"""Of this worker, which has one event loop."""


async def respond(
    request: web.Request, body: bytes, headers: Mapping[str, str] | None = None, content_type: str = JSON
) -> web.StreamResponse:
    """Respond 200 with this body.

    Raises Unavailable if the large responses of all clients would hold too much memory. One that waits for its client
    may be evicted: then raises ConnectionResetError.
    """
    if len(body) <= LARGE_BYTES:
        return web.Response(body=body, content_type=content_type, headers=headers)
    response = web.StreamResponse(headers=headers)
    response.content_type, response.content_length = content_type, len(body)
    with _responses.hold() as holding:
        holding.add(len(body))
        try:
            async with holding.evictable():
                await _send(request, response, body, holding)
        except TimeoutError as error:
            if request.transport is not None:
                request.transport.abort()  # so that the client sees that the body is incomplete
            raise ConnectionResetError("the response was evicted") from error
    return response


async def _send(request: web.Request, response: web.StreamResponse, body: bytes, holding: Holding) -> None:
    await response.prepare(request)
    for at in range(0, len(body), LARGE_BYTES):
        piece = memoryview(body)[at : at + LARGE_BYTES]
        await response.write(piece)
        count_sent(request, len(piece))
        holding.moved_at = asyncio.get_running_loop().time()
    await response.write_eof()
