"""Large answers that are made in memory, lists above all: sent in pieces, and bounded in sum.

A client that reads nothing may take 300 s until it is disconnected (docs/decisions/0006), and its answer waits here.
"""

import asyncio
from collections.abc import Mapping

from aiohttp import web

from pyregistry.api.http.holding import Holding, Holdings
from pyregistry.api.http.responses import JSON
from pyregistry.api.http.sent import count_sent

LARGE = 64 * 1024
"""Bytes; an answer with a larger body is not written in one go."""

_answers = Holdings("too many large answers wait for their clients")
"""Of this worker, which has one event loop."""


async def answer(
    request: web.Request, body: bytes, headers: Mapping[str, str] | None = None, content_type: str = JSON
) -> web.StreamResponse:
    """Answer 200 with this body.

    Raises Unavailable where the large answers of all clients would hold too much memory. One that waits for its client
    may have to give way to others, and its connection is then closed: raises ConnectionResetError.
    """
    if len(body) <= LARGE:
        return web.Response(body=body, content_type=content_type, headers=headers)
    response = web.StreamResponse(headers=headers)
    response.content_type, response.content_length = content_type, len(body)
    with _answers.hold() as holding:
        holding.add(len(body))
        try:
            async with holding.may_give_way():
                await _send(request, response, body, holding)
        except TimeoutError as error:
            if request.transport is not None:
                request.transport.abort()  # so that the client does not take what it has for the whole
            raise ConnectionResetError("the answer gave way to others") from error
    return response


async def _send(request: web.Request, response: web.StreamResponse, body: bytes, holding: Holding) -> None:
    await response.prepare(request)
    for at in range(0, len(body), LARGE):
        piece = memoryview(body)[at : at + LARGE]
        await response.write(piece)
        count_sent(request, len(piece))
        holding.moved_at = asyncio.get_running_loop().time()
    await response.write_eof()
