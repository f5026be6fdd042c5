"""The bodies of uploads past aiohttp's parser: each byte of them is copied once, from the kernel into our memory.

aiohttp's parser copies and announces every chunk of a body, of 32 KiB with Go's clients, which is as dear as the hash.
It sees the head of such a request and nothing of its body; then a new parser goes on behind that.
"""

import asyncio
import math
import re
import select
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from aiohttp import StreamReader, http_parser, web
from aiohttp.http import RawRequestMessage
from aiohttp.web_protocol import RequestHandler

from pyregistry.api.framing import Chunked, Counted, Framing, FramingInvalid
from pyregistry.api.gathering import Gathering
from pyregistry.storage.flowing import Read

_LARGE = 1024 * 1024
"""Bytes; a body that is announced to be smaller is not worth another parser."""
_PATIENCE = 3
"""Milliseconds that a thread waits for the next bytes."""
_SLOW = 0.06
"""Seconds for a megabyte, after which a thread would mostly wait for the next one. Not less: they also go by while all
threads are busy."""
_UPLOAD = re.compile(rb"(?:PATCH|PUT|POST) [^ \r\n]*/blobs/uploads/")
_END_OF_HEAD = b"\r\n\r\n"
_END_OF_CHUNKS = b"0\r\n\r\n"


class Receiver(RequestHandler):
    """aiohttp's connection, whose parser does not see the bodies of uploads that are not small."""

    __slots__ = ("body",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.body: UploadBody | None = None
        """What arrives now, where that is past the parser."""

    def receive_body(self, data: bytes) -> bool:
        """Take these bytes as the body that is past the parser, if there is one; whether there was."""
        if self.body is None:
            return False
        self.body.feed(data)
        return True

    def receive(self, data: bytes) -> None:
        """Take these bytes for the parser, and behind the head of an upload past it."""
        end = head_of_upload(data) if self._current_request is None and not self._messages else 0
        if not end:
            super().data_received(data)
            return
        super().data_received(data[:end])
        self._begin_body()
        rest = data[end:]
        if rest and not self.receive_body(rest):
            super().data_received(rest)

    def end_body(self, rest: bytes) -> None:
        """The body that was past the parser has ended, and `rest` came behind it."""
        self.body = None
        if self._parser is None:  # the connection is lost
            return
        self._parser = http_parser.HttpRequestParser(  # as aiohttp made the old one, which waits for the body
            self,
            self._loop,
            self._read_bufsize,
            max_line_size=self.max_line_size,
            max_field_size=self.max_field_size,
            max_headers=self.max_headers,
            payload_exception=web.RequestPayloadError,
            auto_decompress=False,
            max_msg_queue_size=self._max_msg_queue_size,
        )
        if rest:
            self.data_received(rest)

    def refuse_body(self, content: StreamReader, error: FramingInvalid) -> None:
        """What came past the parser is no body: a 400, unless the answer is out already."""
        if self._messages:  # nobody has seen the request yet
            self._messages.clear()
            self.body = None
            super().data_received(b"-")  # the parser stands before a chunk, and this is none
        elif self._current_request is not None:
            content.set_exception(web.RequestPayloadError(str(error)))
        else:
            content.feed_eof()
            self.close()

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Behind what is no body there is nothing to read, and no other request."""
        if self.body is not None and self.body.invalid:
            resp.force_close()
            request.content.feed_eof()
        return await super().finish_response(request, resp, start_time)

    def _begin_body(self) -> None:
        message, content = self._messages[-1] if self._messages else (None, None)
        # If this head has a body, its parser stands at the begin of it: the head ended with the last of the bytes that
        # it was given.
        if isinstance(message, RawRequestMessage) and type(content) is StreamReader and not content.is_eof():
            framing = framing_of(message)
            if framing is not None:
                self.body = UploadBody(self, self._loop, content, framing)


def head_of_upload(data: bytes) -> int:
    """How long the head is of an upload with which `data` begins; 0 where it does not, or is likely whole and small."""
    end = data.find(_END_OF_HEAD) + len(_END_OF_HEAD) if _UPLOAD.match(data) else 0
    if end < len(_END_OF_HEAD) or (end < len(data) and data.endswith(_END_OF_CHUNKS)):
        return 0
    return end


def framing_of(message: RawRequestMessage) -> Framing | None:
    """How the body of a request is framed; None if it is better left to aiohttp's parser."""
    if message.upgrade:
        return None
    if message.chunked:
        return Chunked() if message.headers.get("Transfer-Encoding", "").lower() == "chunked" else None
    length = int(message.headers.get("Content-Length", "0"))
    return Counted(length) if length >= _LARGE else None


class UploadBody:
    """The body of one request, from the end of its head to its own end."""

    def __init__(
        self, connection: "Receiver", loop: asyncio.AbstractEventLoop, content: StreamReader, framing: Framing
    ) -> None:
        self._connection = connection
        self._loop = loop
        self._content = content
        self._framing = framing
        self._gathering = Gathering(loop, connection.transport)
        self._asked_at = math.inf

    def feed(self, data: bytes) -> None:
        """Bytes that the event loop has read."""
        if data and self._framing.failure is None:
            pieces = self._framing.body_of(memoryview(data))
            if pieces:
                self._content.feed_data(b"".join(pieces))
            self._gathering.received()
            self._end()

    @property
    def invalid(self) -> bool:
        """Whether something came that is no body."""
        return self._framing.failure is not None

    @contextmanager
    def straight(self) -> Iterator[Read | None]:
        """See Flowing.straight, which is asked for behind each megabyte."""
        took, self._asked_at = self._loop.time() - self._asked_at, self._loop.time()
        transport = self._connection.transport
        own = None if took > _SLOW or self._framing.ended or self.invalid else _socket_of(transport)
        if transport is None or own is None:
            yield None
            return
        self._gathering.stop()
        with own:
            begun = self._content.read_nowait()
            transport.pause_reading()
            reader = _Reader(own, transport, self._framing, begun)
            try:
                yield reader.read
            finally:
                self._content.total_bytes += reader.received
                self._asked_at = self._loop.time()
                self._end()
                self._connection.resume_reading(resume_parser=False)

    def _end(self) -> None:
        """Tell who waits for the body, if this was its end or if it has none."""
        if self._framing.ended or self.invalid:
            self._gathering.stop()
        if self._framing.failure is not None:
            self._connection.refuse_body(self._content, self._framing.failure)
        elif self._framing.ended:
            self._connection.end_body(self._framing.rest)
            self._content.feed_eof()


def _socket_of(transport: asyncio.Transport | None) -> socket.socket | None:
    """A descriptor of our own; None where a thread cannot read the body from it.

    The transport's may be closed, and its number be another connection's, while a thread reads.
    """
    if transport is None or transport.is_closing() or transport.get_extra_info("sslcontext") is not None:
        return None
    of_transport = transport.get_extra_info("socket")
    try:
        return None if of_transport is None else of_transport.dup()
    except OSError:  # too many open files
        return None


class _Reader:
    """Reads the body from a socket, in whichever thread."""

    def __init__(self, own: socket.socket, transport: asyncio.Transport, framing: Framing, begun: bytes) -> None:
        self._socket = own
        self._transport = transport
        self._framing = framing
        self._begun = begun
        self._poll = select.poll()
        self._poll.register(own, select.POLLIN)
        self.received = 0

    def read(self, buffer: memoryview) -> Sequence[memoryview]:
        """See Read."""
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
                # Once: a thread is not there to wait for a sender that is slower than it.
                if waited or self._framing.may_end_with(buffer[:size]) or not self._poll.poll(_PATIENCE):
                    break
                waited = True
            except OSError:  # the transport will meet it as well
                break
            else:
                if not arrived:
                    break
                size += arrived
        return size
