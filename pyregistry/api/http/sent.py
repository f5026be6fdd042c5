"""Body bytes that were sent, for the access log: aiohttp also counts headers, and does not count sendfile."""

from aiohttp import web

_SENT = web.RequestKey("sent", int)


def count_sent(request: web.BaseRequest, size: int) -> None:
    """Count sent bytes of a body that may be truncated later."""
    request[_SENT] = request.get(_SENT, 0) + size


def body_bytes_sent(request: web.BaseRequest, response: web.StreamResponse) -> int:
    """Return how many bytes of the body were sent."""
    if request.method == "HEAD":
        return 0
    counted: int | None = request.get(_SENT)
    # A response that is not counted is small, and is written in one piece with its headers.
    return min(response.content_length or 0, response.body_length) if counted is None else counted
