"""aiohttp's internals that the fast path needs: each private or undocumented name once, under a name of our own.

Import it only on the fast path. Where aiohttp lacks a name, this import or the self-test fails. Requests are then
served the ordinary way. docs/decisions/0049 lists the names with their reasons.
"""

import asyncio
from collections import deque
from typing import Any, Protocol, TypeVar

from aiohttp import HttpVersion10, HttpVersion11, StreamReader, web
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong
from aiohttp.http_parser import HttpRequestParser, HttpRequestParserPy, RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD
from aiohttp.web_protocol import RequestHandler

__all__ = [
    "EMPTY_PAYLOAD",
    "HandlerAdapter",
    "HttpProcessingError",
    "HttpRequestParser",
    "HttpVersion10",
    "HttpVersion11",
    "LineTooLong",
    "RawRequestMessage",
    "RequestHandler",
    "RunnerAdapter",
    "StreamReader",
    "has_c_parser",
    "missing_names",
    "set_read_size",
    "set_water_marks",
]

Queued = tuple[Any, Any]
"""A request's head, or a refusal, and the stream of its body."""

QUEUE_LENGTH = 32
"""Requests of a connection that may wait, as in aiohttp."""


T = TypeVar("T")


class Slot(Protocol[T]):
    """The descriptor of a slot."""

    def __get__(self, owner: object, kind: type) -> T:
        """Return the value of a connection."""

    def __set__(self, owner: object, value: T) -> None:
        """Set the value of a connection."""


_SLOTS: Any = RequestHandler  # whose slots are descriptors, which the type checker takes for values


class HandlerAdapter(RequestHandler):
    """aiohttp's connection, whose internals have names of our own."""

    __slots__ = ("queue",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.queue: deque[Queued] = self._messages
        """Requests that wait for aiohttp's task; it is never replaced."""

    # The slots themselves under other names: a property would be a call for each of several looks at a request.
    waiter: "Slot[asyncio.Future[None] | None]" = _SLOTS._waiter
    """The future with which aiohttp's task waits for a request; None while one runs."""
    parser: "Slot[Any]" = _SLOTS._parser
    """The parser of heads; None once the connection is lost."""
    current: "Slot[web.BaseRequest | None]" = _SLOTS._current_request
    """The request whose handler runs."""
    request_count: "Slot[int]" = _SLOTS._request_count
    """Requests so far, as aiohttp counts them."""
    idle_until: "Slot[float]" = _SLOTS._next_keepalive_close_time
    """Time of the loop at which the connection is closed if it is idle until then."""

    @property
    def is_closing(self) -> bool:
        """True if no further request is taken."""
        return self._close or self._force_close

    def feed_parser(self, head: bytes) -> None:
        """Let aiohttp parse a head, and queue its request."""
        RequestHandler.data_received(self, head)

    def feed_while_closing(self, feed: Any, data: bytes) -> None:
        """Call `feed` with data that aiohttp would discard, as it does once it is closing."""
        flags = self._close, self._force_close
        self._close = self._force_close = False
        try:
            feed(data)
        finally:
            self._close, self._force_close = flags

    def close_after_request(self) -> None:
        """Accept one more request, which may be on its way, and then close."""
        self._close = True

    def new_stream(self, size: int, loop: asyncio.AbstractEventLoop) -> StreamReader:
        """Return an empty body that is paused above twice `size` bytes."""
        return StreamReader(self, size, loop=loop)

    def new_parser(self, kind: type[HttpRequestParser], size: int, loop: asyncio.AbstractEventLoop) -> Any:
        """Return a parser as aiohttp makes its own."""
        return kind(
            self,
            loop,
            size,
            max_line_size=self.max_line_size,
            max_field_size=self.max_field_size,
            max_headers=self.max_headers,
            payload_exception=web.RequestPayloadError,
            auto_decompress=False,
            max_msg_queue_size=QUEUE_LENGTH,
        )


class RunnerAdapter(web.AppRunner):
    """aiohttp's runner with our server."""

    def replace(self, made: web.Server) -> web.Server:
        """Return the server that replaces aiohttp's."""
        raise NotImplementedError

    async def _make_server(self) -> web.Server:
        return self.replace(await super()._make_server())


NAMES: dict[type, tuple[str, ...]] = {
    RequestHandler: (
        "_waiter",
        "_messages",
        "_parser",
        "_current_request",
        "_close",
        "_force_close",
        "_request_count",
        "_next_keepalive_close_time",
        "data_received",
        "resume_reading",
        "finish_response",
        "handle_error",
        "close",
        "force_close",
        "shutdown",
        "writing_paused",
        "keepalive_timeout",
    ),
    web.AppRunner: ("_make_server",),
    web.Server: ("connection_made", "connection_lost", "pre_shutdown"),
    StreamReader: ("_low_water", "_high_water", "total_bytes", "feed_data", "feed_eof", "set_exception"),
    HttpRequestParser: ("feed_data", "message_consumed", "set_upgraded"),
}


def missing_names() -> list[str]:
    """Return the names that this version of aiohttp does not have."""
    return [f"{owner.__name__}.{name}" for owner, names in NAMES.items() for name in names if not hasattr(owner, name)]


def has_c_parser() -> bool:
    """Return False where aiohttp was installed without its C parser.

    The Python parser is not strict enough for the fast path. The ordinary way gives it only rewritten heads.
    """
    return HttpRequestParser is not HttpRequestParserPy


def set_water_marks(content: StreamReader, size: int) -> None:
    """Pause reading while more than twice `size` bytes of a body wait for its handler."""
    content._low_water, content._high_water = size, 2 * size


def set_read_size(transport: asyncio.BaseTransport | None, size: int) -> bool:
    """Read at most `size` bytes at once from now on; return True if that is a change. TLS ignores it."""
    if transport is None or getattr(transport, "max_size", 0) == size:
        return False
    transport.max_size = size  # type: ignore[attr-defined] # asyncio's, and no slot over TLS
    return True
