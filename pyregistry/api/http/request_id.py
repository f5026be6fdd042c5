"""One id for each request: in its response, in its access log line, and in every other log line that it causes.

An `X-Request-ID` from a client or a proxy is used, so that its log can be compared with ours. It must be short and
have only harmless characters, since it goes into log lines.
"""

import random
import re

import structlog
from aiohttp import web

from pyregistry.api.http.context import Handler

REQUEST_ID = web.RequestKey("request_id", str)
HEADER = "X-Request-ID"

_HARMLESS = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)


def request_id(request: web.BaseRequest) -> str:
    """Return the id of this request, from its header or new."""
    try:
        return request[REQUEST_ID]
    except KeyError:
        known = request[REQUEST_ID] = accepted_id(request.headers.get(HEADER))
        return known


def accepted_id(sent: str | None) -> str:
    """Return the id that the client sent, if it is harmless, or a new one."""
    if sent is not None and _HARMLESS.fullmatch(sent):
        return sent
    # Not a secret, so it needs no system call; Python reseeds the generator in each forked process.
    return f"{random.getrandbits(64):016x}"


@web.middleware
async def identify(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Add the id to every log line from here on, also in the storage's threads.

    Nothing is undone: aiohttp runs each request in its own task, and so in its own context.
    """
    structlog.contextvars.bind_contextvars(request_id=request_id(request))
    return await handler(request)
