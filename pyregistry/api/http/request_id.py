"""One id for each request: in its answer, in its line of the access log, in every other line that it caused.

What a client or a proxy sends as `X-Request-ID` is taken, so that its log and ours can be laid side by side, but only
if it is short and made of harmless characters: it goes into log lines.
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
    """The id of this request: made, or taken over, when it is first asked for."""
    try:
        return request[REQUEST_ID]
    except KeyError:
        known = request[REQUEST_ID] = accepted_id(request.headers.get(HEADER))
        return known


def accepted_id(sent: str | None) -> str:
    """What the client sent as the id, if that is harmless, or a new one."""
    if sent is not None and _HARMLESS.fullmatch(sent):
        return sent
    # Keeps no secret, so that no system call is needed; Python seeds it anew in each process that is forked.
    return f"{random.getrandbits(64):016x}"


@web.middleware
async def identify(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every log line from here on carries the id, those of the storage's threads included.

    Nothing is taken back: aiohttp runs each request in a task, and so in a context, of its own.
    """
    structlog.contextvars.bind_contextvars(request_id=request_id(request))
    return await handler(request)
