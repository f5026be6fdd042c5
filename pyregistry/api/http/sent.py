"""The bytes of an answer's body that were sent, for the access log: aiohttp counts headers, too, and no sendfile."""

from aiohttp import web

_SENT = web.RequestKey("sent", int)


def count_sent(request: web.BaseRequest, size: int) -> None:
    """Count bytes of a body that may be cut off behind them."""
    request[_SENT] = request.get(_SENT, 0) + size


def body_bytes_sent(request: web.BaseRequest, response: web.StreamResponse) -> int:
    """Return how much of the body went out."""
    if request.method == "HEAD":
        return 0
    counted: int | None = request.get(_SENT)
    # An answer that is not counted is small, and is written in one piece with its headers.
    return min(response.content_length or 0, response.body_length) if counted is None else counted
