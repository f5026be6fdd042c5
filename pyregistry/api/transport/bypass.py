"""Bypasses aiohttp's parser for bodies: the parser gets one head at a time.

Each byte of a body is copied once, from the kernel into our memory. aiohttp's parser copies and announces every chunk,
of 32 KiB with Go's clients, which costs as much as the hash. Each body is followed by a new parser: none of its
bytes can ever be taken for a request.
"""

import asyncio
import math
import select
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from aiohttp import hdrs, web

from pyregistry.api.transport.coalescing import ReadCoalescer
from pyregistry.api.transport.framing import Chunked, Counted, Framing, FramingInvalid
from pyregistry.api.transport.head_parser import HeadParser, HeadRefused
from pyregistry.api.transport.heads import Heads
from pyregistry.api.transport.internals import (
    EMPTY_PAYLOAD,
    QUEUE_LENGTH,
    HandlerAdapter,
    RawRequestMessage,
    StreamReader,
    set_read_size,
    set_water_marks,
)
from pyregistry.api.transport.limits import FIRST_READ_BYTES, READ_BYTES
from pyregistry.oci.errors import RegistryError, RequestInvalid
from pyregistry.storage.seams.uploads import Read
from pyregistry.threads.upload_budget import uploads

_POLL_MS = 3
"""Milliseconds that a thread waits for the next bytes."""
_DENSE_BYTES = 4 * 1024
"""Bytes read at once of a body in tiny chunks: each chunk costs a microsecond, and other clients wait meanwhile."""
_TINY_BYTES = 64
"""Bytes of a chunk with its size, on average, below which chunks are tiny."""
_SEVERAL = 16
"""Chunks from which on the average counts: of fewer, one may be the rest of a large chunk."""
_SLOW_SECONDS = 0.06
"""Seconds for a megabyte above which a client is too slow for a thread. Not less: busy threads also cost this time."""


class BodyBypass:
    """The bytes that one connection receives, given to aiohttp's parser or past it."""

    __slots__ = ("_behind", "_handler", "_head_parser", "_heads", "_loop", "_refused", "body")

    def __init__(self, handler: HandlerAdapter, loop: asyncio.AbstractEventLoop) -> None:
        self.body: UploadBody | None = None
        """The body that arrives now; None between bodies."""
        self._handler = handler
        self._loop = loop
        self._heads = Heads()
        self._behind: tuple[bytes, int] | None = None
        """Bytes that came while the queue was full, and the position of the first that is not parsed yet."""
        self._refused: StreamReader | None = None
        """Placeholder for the body of a request whose head was refused."""
        self._begin_parser()

    def feed(self, data: bytes, at: int = 0) -> None:
        """Feed the bytes from `at` on: heads to the parser, and what follows a head as its body."""
        if self._behind is not None:
            (waiting, at), self._behind = self._behind, None
            data, at = (waiting[at:] + data, 0) if data else (waiting, at)
        handler = self._handler
        while at < len(data):
            if self.body is not None:
                data, at = self.body.feed(data[at:] if at else data), 0
            elif handler.is_closing or handler.parser is None or self._refused is not None:
                return
            elif len(handler.queue) >= QUEUE_LENGTH:
                self._behind = data, at  # aiohttp has paused the transport, and asks again when the queue has space
                return
            else:
                at = self._feed_head(data, at)

    @property
    def is_between_requests(self) -> bool:
        """True if no request is running or waiting; part of the next one may have arrived."""
        return self._handler.current is None and not self._handler.queue and self.body is None

    def finish_body(self) -> None:
        """Finish the bypassed body; the next bytes are a head."""
        if self.body is not None:
            self.body.close()
        self.body = None
        self._begin_parser()  # the parser of the last head still waits for its body

    def refuse_body(self, content: StreamReader, error: FramingInvalid) -> None:
        """Answer 400 to a malformed body, unless a response was already sent."""
        handler = self._handler
        if handler.queue and handler.queue[-1][1] is content:  # no handler has seen the request yet
            handler.queue.pop()
            self.finish_body()
            self._refuse(RequestInvalid(str(error)))
        elif handler.current is not None and handler.current.content is content:
            content.set_exception(web.RequestPayloadError(str(error)))
        else:
            content.feed_eof()
            handler.close()

    def prepare_end(self, request: web.BaseRequest, response: web.StreamResponse) -> None:
        """Close the connection after a response if the next bytes may belong to the body."""
        content = request.content
        if self.body is not None and self.body.invalid and self.body.content is content:
            response.force_close()
            content.feed_eof()
        if not content.is_eof() and hdrs.EXPECT in request.headers:
            # A client that waits for 100 Continue need not send the body after this.
            response.force_close()

    def is_refusal(self, request: web.BaseRequest) -> bool:
        """Return True if this request is the placeholder of a refused head."""
        return request.content is self._refused

    def _begin_parser(self) -> None:
        if self._handler.parser is None:  # the connection is lost
            return
        self._head_parser = self._handler.new_parser(HeadParser, READ_BYTES, self._loop)
        self._handler.parser = self._head_parser

    def _feed_head(self, data: bytes, at: int) -> int:
        """Parse the head that begins at `at` if it is complete; return the position after it."""
        queue = self._handler.queue
        before = len(queue)
        try:
            head, behind = self._heads.take(data, at)
        except RegistryError as error:
            self._refuse(error)
            return len(data)
        self._handler.feed_parser(head)
        if len(queue) > before:
            self._heads.end()
            message, content = queue[-1]
            if content is not EMPTY_PAYLOAD or self._head_parser.refusal is not None:
                self._begin_body(message, content)
        return behind

    def _refuse(self, error: RegistryError) -> None:
        before = len(self._handler.queue)
        self._head_parser.refusal = HeadRefused(error)
        self._handler.feed_parser(b"")  # raises the refusal, of which aiohttp makes a message
        if len(self._handler.queue) > before:
            self._begin_body(*self._handler.queue[-1])

    def _begin_body(self, message: object, content: Any) -> None:
        if self._head_parser.refusal is not None:
            self._refused = self._handler.new_stream(READ_BYTES, self._loop)
            self._handler.queue[-1] = (self._handler.queue[-1][0], self._refused)
        elif isinstance(message, RawRequestMessage) and type(content) is StreamReader:
            self.body = UploadBody(self, self._handler, self._loop, content, framing_of(message))


def framing_of(message: RawRequestMessage) -> Framing:
    """Return the framing of a request's body; its head is valid and announces one."""
    return Chunked() if message.chunked else Counted(int(message.headers["Content-Length"]))


class UploadBody:
    """The body of one request, from the end of its head to its own end."""

    def __init__(
        self,
        bypass: BodyBypass,
        handler: HandlerAdapter,
        loop: asyncio.AbstractEventLoop,
        content: StreamReader,
        framing: Framing,
    ) -> None:
        self._bypass = bypass
        self._handler = handler
        self._loop = loop
        self.content = content
        self._framing = framing
        self._coalescer = ReadCoalescer(loop, handler.transport)
        self._asked_at = math.inf
        self._is_counted = True
        uploads.enter()

    def close(self) -> None:
        """Stop counting this upload."""
        if self._is_counted:
            self._is_counted = False
            uploads.leave()
            self._fit(FIRST_READ_BYTES)

    def feed(self, data: bytes) -> bytes:
        """Feed bytes that the event loop has read; return those after the body."""
        if self._framing.failure is not None:
            return b""
        pieces = self._framing.body_of(memoryview(data))
        is_dense = len(pieces) > _SEVERAL and len(pieces) * _TINY_BYTES > len(data)
        self._fit(min(uploads.read_size(), _DENSE_BYTES) if is_dense else uploads.read_size())
        if pieces:
            self.content.feed_data(b"".join(pieces))
        self._coalescer.received()
        return self._end()

    def _fit(self, size: int) -> None:
        """Read `size` bytes at once from now on, and pause while twice as many wait for the handler."""
        if set_read_size(self._handler.transport, size):
            set_water_marks(self.content, size)

    @property
    def invalid(self) -> bool:
        """True if bytes arrived that are not part of a body."""
        return self._framing.failure is not None

    @contextmanager
    def direct_reader(self) -> Iterator[Read | None]:
        """Return the direct read of a DirectReader; callers ask again after each megabyte."""
        took, self._asked_at = self._loop.time() - self._asked_at, self._loop.time()
        transport = self._handler.transport
        own = None if took > _SLOW_SECONDS or self._framing.ended or self.invalid else _socket_of(transport)
        if transport is None or own is None:
            yield None
            return
        self._coalescer.stop()
        with own:
            begun = self.content.read_nowait()
            transport.pause_reading()
            reader = _Reader(own, transport, self._framing, begun)
            try:
                yield reader.read
            finally:
                self.content.total_bytes += reader.received
                self._asked_at = self._loop.time()
                rest = self._end()
                self._handler.resume_reading(resume_parser=False)
                if rest:
                    self._handler.data_received(rest)

    def _end(self) -> bytes:
        """Signal end of body, or a framing error, to the reader; return the bytes after it."""
        if self._framing.ended or self.invalid:
            self._coalescer.stop()
        if self._framing.failure is not None:
            self._bypass.refuse_body(self.content, self._framing.failure)
        elif self._framing.ended:
            self._bypass.finish_body()
            self.content.feed_eof()
            return self._framing.rest
        return b""


def _socket_of(transport: asyncio.Transport | None) -> socket.socket | None:
    """Return a duplicate of the socket; None where a thread cannot read the body from it.

    The transport's own may be closed while a thread reads, and its number then belong to another connection.
    """
    if transport is None or transport.is_closing() or transport.get_extra_info("sslcontext") is not None:
        return None
    of_transport = transport.get_extra_info("socket")
    try:
        return None if of_transport is None else of_transport.dup()
    except OSError:  # too many open files
        return None


class _Reader:
    """Reads the body from a socket, in any thread."""

    def __init__(self, own: socket.socket, transport: asyncio.Transport, framing: Framing, begun: bytes) -> None:
        self._socket = own
        self._transport = transport
        self._framing = framing
        self._begun = begun
        self._poll = select.poll()
        self._poll.register(own, select.POLLIN)
        self.received = 0

    def read(self, buffer: memoryview) -> Sequence[memoryview]:
        """Return the slices of `buffer` that are body data, as a Read does."""
        if self._begun:
            begun, self._begun = self._begun, b""
            return [memoryview(begun)]
        if self._framing.ended or self._framing.failure is not None or self._transport.is_closing():
            return []
        pieces = self._framing.body_of(buffer[: self._fill(buffer)])
        self.received += sum(map(len, pieces))
        return pieces

    def _fill(self, buffer: memoryview) -> int:
        size, waited = 0, False
        while size < len(buffer):
            try:
                arrived = self._socket.recv_into(buffer[size:])
            except BlockingIOError:
                # Once: a thread must not wait for a sender that is slower than it.
                if waited or self._framing.may_end_with(buffer[:size]) or not self._poll.poll(_POLL_MS):
                    break
                waited = True
            except OSError:  # the transport will get it as well
                break
            else:
                if not arrived:
                    break
                size += arrived
        return size
