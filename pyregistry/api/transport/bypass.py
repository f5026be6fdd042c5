"""Requests as they arrive: heads for aiohttp's parser, one at a time, and bodies past it.

Each byte of a body is copied once, from the kernel into our memory. aiohttp's parser copies and announces every chunk
of a body, of 32 KiB with Go's clients, which is as dear as the hash. It sees a head and nothing of the body; then a new
parser goes on behind that, so that no byte of a body can ever be taken for a request.
"""

import asyncio
import math
import select
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from aiohttp import StreamReader, hdrs, web
from aiohttp.http import RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD
from aiohttp.web_protocol import RequestHandler

from pyregistry.api.transport.coalescing import Gathering
from pyregistry.api.transport.framing import Chunked, Counted, Framing, FramingInvalid
from pyregistry.api.transport.heads import HeadParser, HeadRefused, Heads
from pyregistry.oci.errors import RegistryError, RequestInvalid
from pyregistry.storage.budget import uploads
from pyregistry.storage.flowing import Read

_PATIENCE = 3
"""Milliseconds that a thread waits for the next bytes."""
_FIRST = 64 * 1024
"""Bytes that the event loop reads at once where a head comes, perhaps with the beginning of its body."""
_DENSE = 4 * 1024
"""The same of a body in tiny chunks: each costs a microsecond, and others wait for all that are read at once."""
_TINY = 64
"""Bytes of a chunk with its size, on average, below which chunks are tiny."""
_SEVERAL = 16
"""Chunks; of fewer, one may be the rest of a large one."""
_SLOW = 0.06
"""Seconds for a megabyte, after which a thread would mostly wait for the next one. Not less: they also go by while all
threads are busy."""


class Receiver(RequestHandler):
    """aiohttp's connection, whose parser sees the heads of requests and nothing else."""

    __slots__ = ("_behind", "_head_parser", "_heads", "_refused", "body", "gives_way")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.body: ReceivedBody | None = None
        """The body that arrives now; None between bodies."""
        self.gives_way = False
        """True while the response waits on purpose: the connection may be closed for another client's."""
        self._heads = Heads()
        self._behind: tuple[bytes, int] | None = None
        """Bytes that came while as many requests were waiting as may, and the place of what was not taken yet."""
        self._refused: StreamReader | None = None
        """Stands for the body of a request whose head was refused, of which nothing is known."""
        self._begin_parser()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        transport.max_size = _FIRST  # type: ignore[attr-defined] # see ReceivedBody._fit
        super().connection_made(transport)

    @contextmanager
    def giving_way(self) -> Iterator[None]:
        """Let the response wait in the block, unless another client needs the connection."""
        self.gives_way = True
        try:
            yield
        finally:
            self.gives_way = False

    def receive(self, data: bytes, at: int = 0) -> None:
        """Take the bytes from `at` on: heads for the parser, and what comes behind a head as its body."""
        if self._behind is not None:
            (waiting, at), self._behind = self._behind, None
            data, at = (waiting[at:] + data, 0) if data else (waiting, at)
        while at < len(data):
            if self.body is not None:
                data, at = self.body.feed(data[at:] if at else data), 0
            elif self._force_close or self._close or self._parser is None or self._refused is not None:
                return
            elif len(self._messages) >= self._max_msg_queue_size:
                self._behind = data, at  # aiohttp has paused the transport, and asks again when there is room
                return
            else:
                at = self._receive_head(data, at)

    @property
    def is_between_requests(self) -> bool:
        """True if no request is running or waiting; of the next one a part may have come."""
        return self._current_request is None and not self._messages and self.body is None

    def end_body(self) -> None:
        """Go on with heads."""
        if self.body is not None:
            self.body.close()
        self.body = None
        self._begin_parser()  # the one that saw the head waits for its body

    def refuse_body(self, content: StreamReader, error: FramingInvalid) -> None:
        """Answer 400 to what is no body, unless the answer is out already."""
        if self._messages and self._messages[-1][1] is content:  # no handler has seen the request yet
            self._messages.pop()
            self.end_body()
            self._refuse(RequestInvalid(str(error)))
        elif self._current_request is not None and self._current_request.content is content:
            content.set_exception(web.RequestPayloadError(str(error)))
        else:
            content.feed_eof()
            self.close()

    def connection_lost(self, exc: BaseException | None) -> None:
        """See asyncio.Protocol."""
        super().connection_lost(exc)
        self.end_body()

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """End the connection behind what is no head or no body."""
        content = request.content
        if self.body is not None and self.body.invalid and self.body.content is content:
            resp.force_close()
            content.feed_eof()
        if not content.is_eof() and hdrs.EXPECT in request.headers:
            # Who waits for 100 Continue need not send the body after this; what comes next would be taken for it.
            resp.force_close()
        finished = await super().finish_response(request, resp, start_time)
        if content is self._refused and self.transport is not None and self.transport.can_write_eof():
            with suppress(OSError):  # the client has gone
                self.transport.write_eof()  # it may still send, and would lose the answer if this closed at once
        return finished

    def _begin_parser(self) -> None:
        if self._parser is None:  # the connection is lost
            return
        self._parser = self._head_parser = HeadParser(  # as aiohttp makes its own
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

    def _receive_head(self, data: bytes, at: int) -> int:
        """Take the head that begins at this place, if it is there as a whole; return the place behind it."""
        before = len(self._messages)
        try:
            head, behind = self._heads.take(data, at)
        except RegistryError as error:
            self._refuse(error)
            return len(data)
        super().data_received(head)
        if len(self._messages) > before:
            self._heads.end()
            message, content = self._messages[-1]
            if content is not EMPTY_PAYLOAD or self._head_parser.refusal is not None:
                self._begin_body(message, content)
        return behind

    def _refuse(self, error: RegistryError) -> None:
        before = len(self._messages)
        self._head_parser.refusal = HeadRefused(error)
        super().data_received(b"")  # raises it, and makes a message of it
        if len(self._messages) > before:
            self._begin_body(*self._messages[-1])

    def _begin_body(self, message: object, content: Any) -> None:
        if self._head_parser.refusal is not None:
            self._refused = StreamReader(self, self._read_bufsize, loop=self._loop)
            self._messages[-1] = (self._messages[-1][0], self._refused)
        elif isinstance(message, RawRequestMessage) and type(content) is StreamReader:
            self.body = ReceivedBody(self, self._loop, content, framing_of(message))


def framing_of(message: RawRequestMessage) -> Framing:
    """Return the framing of a request's body; its head is valid and says that it has one."""
    return Chunked() if message.chunked else Counted(int(message.headers["Content-Length"]))


class ReceivedBody:
    """The body of one request, from the end of its head to its own end."""

    def __init__(
        self, connection: "Receiver", loop: asyncio.AbstractEventLoop, content: StreamReader, framing: Framing
    ) -> None:
        self._connection = connection
        self._loop = loop
        self.content = content
        self._framing = framing
        self._gathering = Gathering(loop, connection.transport)
        self._asked_at = math.inf
        self._is_counted = True
        uploads.enter()

    def close(self) -> None:
        """Count it down; nothing more of it comes."""
        if self._is_counted:
            self._is_counted = False
            uploads.leave()
            self._fit(_FIRST)

    def feed(self, data: bytes) -> bytes:
        """Take bytes that the event loop has read; return those that come behind the body."""
        if self._framing.failure is not None:
            return b""
        pieces = self._framing.body_of(memoryview(data))
        is_dense = len(pieces) > _SEVERAL and len(pieces) * _TINY > len(data)
        self._fit(min(uploads.read_size(), _DENSE) if is_dense else uploads.read_size())
        if pieces:
            self.content.feed_data(b"".join(pieces))
        self._gathering.received()
        return self._end()

    def _fit(self, size: int) -> None:
        """Read so many bytes at once from now on, and stop reading while twice as many wait for the handler."""
        content, transport = self.content, self._connection.transport
        if transport is not None and transport.max_size != size:  # type: ignore[attr-defined] # asyncio's, over a socket
            transport.max_size = size  # type: ignore[attr-defined] # over TLS nobody looks at it
            content._low_water, content._high_water = size, 2 * size

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
            begun = self.content.read_nowait()
            transport.pause_reading()
            reader = _Reader(own, transport, self._framing, begun)
            try:
                yield reader.read
            finally:
                self.content.total_bytes += reader.received
                self._asked_at = self._loop.time()
                rest = self._end()
                self._connection.resume_reading(resume_parser=False)
                if rest:
                    self._connection.data_received(rest)

    def _end(self) -> bytes:
        """Tell who waits for the body, if this was its end or if it has none; return what comes behind it."""
        if self._framing.ended or self.invalid:
            self._gathering.stop()
        if self._framing.failure is not None:
            self._connection.refuse_body(self.content, self._framing.failure)
        elif self._framing.ended:
            self._connection.end_body()
            self.content.feed_eof()
            return self._framing.rest
        return b""


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
