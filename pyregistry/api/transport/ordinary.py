"""The ordinary way: aiohttp as it is, behind a protocol of ours that uses documented names alone.

`OrdinaryConnection` is what asyncio calls. It passes one request at a time on to aiohttp's own protocol: a head that it
has read and written anew, then the body in a framing of its own. So deadlines, limits, the spec's errors and the end of
each body hold whatever aiohttp's insides look like. aiohttp tells of the end of a response with its access log.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from email.utils import formatdate
from ipaddress import ip_address
from typing import Any

import structlog
from aiohttp import StreamReader, hdrs, web
from aiohttp.abc import AbstractAccessLogger

from pyregistry.api.http.access_log import AccessLogger, Entry
from pyregistry.api.http.client import ClientConnection, connection_of
from pyregistry.api.http.forwarded import REMOTE, TrustedProxies, client_address, peer_of, unmapped
from pyregistry.api.http.request_id import HEADER, accepted_id, request_id
from pyregistry.api.http.responses import SERVER, error_response
from pyregistry.api.http.targets import TARGET
from pyregistry.api.transport.framing import Chunked, Framing, FramingInvalid
from pyregistry.api.transport.heads import Heads
from pyregistry.api.transport.limiter import ConnectionCounts, ConnectionLimiter
from pyregistry.api.transport.limits import NEW_CONNECTION_SECONDS, ConnectionLimits
from pyregistry.api.transport.plain_heads import Head, HeadReader
from pyregistry.api.transport.stalled import StalledClientMonitor
from pyregistry.observe.wrong_protocol import log_tls
from pyregistry.oci.errors import RegistryError, RequestInvalid, TlsToPlainPort
from pyregistry.threads.upload_budget import uploads

HELD_BYTES = 64 * 1024
"""Bytes behind a running request from which on no more are read."""
DENSE_BYTES = 4 * 1024
"""Bytes of a body in tiny chunks that are fed in one turn of the event loop: each costs a microsecond."""
_TINY_BYTES = 64
"""Bytes of a chunk with its size, on average, below which chunks are tiny."""
_RETRY_SECONDS = 0.01
_GOODBYE_SECONDS = 1.0
"""Seconds in which a client of TLS may confirm the end of its connection, at a shutdown."""
_LOOK_SECONDS = 0.1
_SEVERAL = 16
"""Chunks; of fewer, one may be the rest of a large one."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

log = structlog.get_logger("pyregistry.api")


class OrdinaryConnection(asyncio.Protocol, ClientConnection):
    """One connection of a client, in front of aiohttp's protocol."""

    def __init__(self, server: "OrdinaryServer", inner: asyncio.Protocol, loop: asyncio.AbstractEventLoop) -> None:
        self._gives_way = self._is_tls = False
        self.target = ""
        """The target of the request that runs, as the client sent it."""
        self.remote = ""
        """The other side's address, once it is there; empty for one of a unix socket."""
        self._server = server
        self._inner = inner
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._handshaking: asyncio.Transport | None = None
        self._heads, self._reader = Heads(), HeadReader()
        self._held = b""
        """Bytes behind the request that runs."""
        self._body: Framing | None = None
        """The framing of the body that arrives now."""
        self._is_dense = False
        """True while the chunks of the body are tiny, or not known yet."""
        self._runs = False
        """True from a head to the end of its response."""
        self._request: web.Request | None = None
        self._failure: FramingInvalid | None = None
        """The fault of a malformed body."""
        self._takes_requests = True
        """False behind a malformed head or body, a response that ends the connection, and at a shutdown."""
        self._drains = False
        """True at a shutdown."""
        self._count = 0
        self._idle_from = loop.time()
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        assert isinstance(transport, asyncio.Transport)
        self._transport, self._handshaking = transport, None
        self._idle_from = self._loop.time()
        self.remote = peer_of(transport.get_extra_info("peername"))
        self._is_tls = transport.get_extra_info("sslcontext") is not None
        self._server.connection_made(self, transport)
        self._inner.connection_made(transport)
        self._await_headers()

    def handshake_begun(self, peer: object, transport: asyncio.Transport, ended: "asyncio.Future[Any]") -> None:
        """See SingleAcceptLoop; connection_made comes only when the handshake has ended, and never if it fails."""
        self._handshaking = transport
        self._server.handshake_begun(self, peer, transport, ended)

    def connection_lost(self, exc: BaseException | None) -> None:
        """See asyncio.Protocol."""
        self._stop_deadline()
        self._end_body()
        self._transport = None
        self._takes_requests = False
        self._server.connection_lost(self, self._inner)
        self._inner.connection_lost(exc if isinstance(exc, Exception) else None)

    def pause_writing(self) -> None:
        """See asyncio.Protocol."""
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        """See asyncio.Protocol."""
        self._inner.resume_writing()

    def eof_received(self) -> bool | None:
        """See asyncio.Protocol."""
        return self._inner.eof_received()

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        if self._held:
            data, self._held = self._held + data, b""
        self._feed(data)
        if self._runs:
            self._stop_deadline()
        elif data and self._takes_requests:
            self._await_headers()

    def let_wait(self, waits: bool) -> None:
        """See ClientConnection."""
        self._gives_way = waits

    def idle_since(self) -> float | None:
        """See Countable; bytes of a head that is not whole change nothing."""
        if self._gives_way:
            return 0.0  # before all that are idle
        return None if self._runs or self._body is not None else self._idle_from

    def close_idle(self) -> None:
        """See Countable."""
        transport = self._transport or self._handshaking
        if transport is not None:
            transport.abort()

    def begin(self, request: web.Request) -> FramingInvalid | None:
        """Note the request that aiohttp made of the head; return the fault of its body, if that is known."""
        self._request = request
        return self._failure

    def check_body(self, content: StreamReader) -> None:
        """See ClientConnection: the handler has first read all that came before the fault."""
        if self._failure is not None and self._request is not None and self._request.content is content:
            raise web.RequestPayloadError(str(self._failure))

    def must_end_behind(self, request: web.BaseRequest) -> bool:
        """Return True if this request's response has to end the connection."""
        # A client that waits for 100 Continue need not send the body after this.
        is_expected = hdrs.EXPECT in request.headers and not request.content.is_eof()
        return is_expected or self._drains or not self._takes_requests

    def answered(self, *, keeps_alive: bool) -> None:
        """Go on with the next request: aiohttp has sent a response."""
        self._runs, self._request = False, None
        self._count += 1
        self._idle_from = self._loop.time()
        if not keeps_alive:  # aiohttp closes, and first discards for a moment what still comes of the body
            self._takes_requests = False
        elif self._drains or not self._takes_requests:
            self._takes_requests = False
            self._loop.call_later(self._server.limits.lingering if self._body is not None else 0, self._close)
        else:
            self._loop.call_soon(self._go_on)

    def drain(self) -> None:
        """Take no further request; a connection that was just accepted may have its first on the way."""
        self._drains = True
        if self._count == 0 and not self._runs:
            self._loop.call_later(NEW_CONNECTION_SECONDS, self._close_unless_running)
            return
        self._takes_requests = False
        self._close_unless_running()

    def waits_for_goodbye(self) -> bool:
        """Return True if it is closed here, and its client has not confirmed that; for this TLS waits 30 s."""
        return self._is_tls and self._transport is not None and self._transport.is_closing()

    def abort(self) -> None:
        """Cut the connection off."""
        if self._transport is not None:
            self._transport.abort()

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _close_unless_running(self) -> None:
        self._takes_requests = False
        if not self._runs:
            self._close()

    def _go_on_if_reading(self) -> None:
        """Go on where aiohttp reads again: it had too much of the body."""
        if self._transport is None:
            return
        if self._transport.is_reading():
            self._go_on()
        else:
            self._loop.call_later(_RETRY_SECONDS, self._go_on_if_reading)

    def _go_on(self) -> None:
        if self._transport is None:
            return
        self._transport.resume_reading()
        if self._held:
            self.data_received(b"")

    def _feed(self, data: bytes) -> None:
        at = 0
        while at < len(data):
            if self._body is not None:
                data, at = data[at:] if at else data, 0
                if self._is_dense and len(data) > DENSE_BYTES:
                    self._feed_slice(self._body, data)
                    return
                data = self._feed_body(self._body, data)
            elif not self._takes_requests:
                return  # discarded, so that the client can read the response
            elif self._runs:
                self._hold(data[at:] if at else data)
                return
            else:
                at = self._feed_head(data, at)

    def _feed_slice(self, framing: Framing, data: bytes) -> None:
        """Feed a little of the body; others have their turn before the rest."""
        behind = self._feed_body(framing, data[:DENSE_BYTES])
        self._held = behind + data[DENSE_BYTES:]
        transport = self._transport
        if transport is not None and transport.is_reading():
            transport.pause_reading()
            self._loop.call_soon(self._go_on)
        else:
            self._loop.call_later(_RETRY_SECONDS, self._go_on_if_reading)

    def _hold(self, data: bytes) -> None:
        self._held = data
        if len(data) >= HELD_BYTES and self._transport is not None:
            self._transport.pause_reading()

    def _feed_head(self, data: bytes, at: int) -> int:
        """Take the head that begins at this place, if it is there as a whole; return the place behind it."""
        try:
            piece, behind = self._heads.take(data, at)
            head = self._reader.feed(piece)
        except RegistryError as error:
            self._refuse(error)
            return len(data)
        if head is not None:
            self._heads.end()
            self._begin_request(head)
        return behind

    def _begin_request(self, head: Head) -> None:
        self.target, self._body, self._runs = head.target, head.framing, True
        self._is_dense = isinstance(self._body, Chunked)
        if self._body is not None:
            uploads.enter()
        self._inner.data_received(head.content)

    def _feed_body(self, framing: Framing, data: bytes) -> bytes:
        """Pass on what belongs to the body; return what comes behind it."""
        pieces = framing.body_of(memoryview(data))
        if pieces:
            size = sum(map(len, pieces))
            self._is_dense = len(pieces) > _SEVERAL and len(pieces) * _TINY_BYTES > len(data)
            if isinstance(framing, Chunked):
                pieces = [memoryview(b"%x\r\n" % size), *pieces, memoryview(b"\r\n")]
            self._inner.data_received(data if len(pieces) == 1 and size == len(data) else b"".join(pieces))
        if framing.failure is not None:
            self._fail(framing.failure)
            return b""
        if not framing.ended:
            return b""
        if isinstance(framing, Chunked):
            self._inner.data_received(b"0\r\n\r\n")
        self._end_body()
        return framing.rest

    def _end_body(self) -> None:
        if self._body is not None:
            self._body = None
            uploads.leave()

    def _fail(self, failure: FramingInvalid) -> None:
        """End a malformed body: 400, unless a response was already sent."""
        self._failure, self._takes_requests = failure, False
        self._inner.data_received(b"0\r\n\r\n")  # aiohttp has nothing to wait for
        self._end_body()
        if not self._runs:
            self._close()

    def _refuse(self, error: RegistryError) -> None:
        """Answer a malformed head; all that comes behind it is discarded for a moment."""
        self._takes_requests = False
        self._stop_deadline()
        transport = self._transport
        if transport is None:
            return
        if isinstance(error, TlsToPlainPort):
            log_tls(self.remote)
        own_id = accepted_id(None)
        response = error_response(error, own_id)
        response.headers.update({HEADER: own_id, "Server": SERVER, "Date": formatdate(usegmt=True)})
        body = response.body
        assert isinstance(body, bytes)
        response.headers["Content-Length"] = str(len(body))
        head = f"HTTP/1.0 {response.status} {response.reason}\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in response.headers.items())
        transport.write(f"{head}\r\n".encode() + body)
        self._server.log(Entry(self.remote, own_id, "", "UNKNOWN", "/", "HTTP/1.0", "", response.status, len(body), ""))
        if transport.can_write_eof():
            with suppress(OSError):  # the client has gone
                transport.write_eof()  # it may still send, and would lose the answer if this closed at once
        self._loop.call_later(self._server.limits.lingering, self._close)

    def _await_headers(self) -> None:
        if self._deadline is None:
            self._deadline = self._loop.call_later(self._server.limits.header_deadline, self._headers_overdue)

    def _stop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _headers_overdue(self) -> None:
        self._deadline = None
        if not self._runs:
            self.abort()


class OrdinaryServer:
    """Makes a connection for each client, up to the limits; asyncio takes it for a factory of protocols."""

    def __init__(
        self,
        make_inner: Callable[[], asyncio.Protocol],
        limits: ConnectionLimits,
        access_logger: AccessLogger | None,
        counts: ConnectionCounts | None,
    ) -> None:
        self.limits = limits
        self.connections: dict[OrdinaryConnection, asyncio.Transport] = {}
        self.requests_count = 0
        self._make_inner = make_inner
        self._access_logger = access_logger
        self._limiter = ConnectionLimiter(limits.connections, limits.connections_per_address, counts)
        self._stalled = StalledClientMonitor(limits.send_deadline, limits.send_rate, limits.rate_window)
        self._all_closed = asyncio.Event()
        self._drains = False
        """True at a shutdown."""

    def __call__(self) -> OrdinaryConnection:
        """Return a protocol for asyncio's server."""
        return OrdinaryConnection(self, self._make_inner(), asyncio.get_running_loop())

    def handshake_begun(
        self, connection: OrdinaryConnection, peer: object, transport: asyncio.Transport, ended: "asyncio.Future[Any]"
    ) -> None:
        """Count what may never become a connection."""
        self._limiter.begin(connection, peer, transport)
        ended.add_done_callback(lambda _: None if connection in self.connections else self._limiter.end(connection))

    def connection_made(self, connection: OrdinaryConnection, transport: asyncio.Transport) -> None:
        """Count it."""
        self.connections[connection] = transport
        self._limiter.begin(connection, transport.get_extra_info("peername"), transport)
        self._stalled.watch(self.connections)
        if self._drains:  # its handshake has ended only now
            connection.drain()

    def connection_lost(self, connection: OrdinaryConnection, inner: object) -> None:
        """Count down."""
        self._limiter.end(connection)
        self.connections.pop(connection, None)
        if not self.connections:
            self._all_closed.set()

    def answered(self, request: web.BaseRequest, response: web.StreamResponse, seconds: float) -> None:
        """Log a response, and let its connection go on."""
        self.requests_count += 1
        if self._access_logger is not None:
            self._access_logger.log(request, response, seconds)
        connection = connection_of(request)
        if isinstance(connection, OrdinaryConnection):
            connection.answered(keeps_alive=bool(response.keep_alive))

    def log(self, entry: Entry) -> None:
        """Log an answer that aiohttp does not know of."""
        self.requests_count += 1
        if self._access_logger is not None:
            self._access_logger.write(entry, 0.0)

    async def drain(self, seconds: float) -> None:
        """Let running requests end, and cut off those that still run after so many seconds."""
        self._drains = True
        for connection in list(self.connections):
            connection.drain()
        if self.connections:
            self._all_closed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._wait_for_ends()
        for connection in list(self.connections):
            connection.abort()

    async def _wait_for_ends(self) -> None:
        """Wait until all connections are closed; one of TLS may wait for its client's goodbye, which need not come."""
        left = _GOODBYE_SECONDS
        while self.connections and left > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self._all_closed.wait()
            if all(each.waits_for_goodbye() for each in self.connections):
                left -= _LOOK_SECONDS


def telling(answered: Callable[[web.BaseRequest, web.StreamResponse, float], None]) -> type[AbstractAccessLogger]:
    """Return a class for `access_log_class`, whose objects call `answered` behind each response."""

    class Telling(AbstractAccessLogger):
        """aiohttp's way to tell of the end of a response."""

        def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
            """See AbstractAccessLogger; `time` is in seconds."""
            answered(request, response, time)

    return Telling


def noting_requests(proxies: TrustedProxies | None) -> Any:
    """Return the outermost middleware: it tells the connection of its request, and the request of its client."""

    @web.middleware
    async def note(request: web.Request, handler: Handler) -> web.StreamResponse:
        connection = connection_of(request)
        peer = connection.remote if isinstance(connection, OrdinaryConnection) else _address(request.remote or "")
        request[REMOTE] = client_address(proxies, peer, request.headers)
        if isinstance(connection, OrdinaryConnection):
            request[TARGET] = connection.target
            failure = connection.begin(request)
            if failure is not None:
                return error_response(RequestInvalid(str(failure)), request_id(request))
        return await handler(request)

    return note


def _address(name: str) -> str:
    """Return the address of a client that has gone; empty for the name that one may give to its unix socket."""
    try:
        ip_address(name)
    except ValueError:
        return ""
    return unmapped(name)


async def end_where_needed(request: web.Request, response: web.StreamResponse) -> None:
    """End the connection behind a response if what comes next cannot be told from the body; see on_response_prepare."""
    connection = connection_of(request)
    if isinstance(connection, OrdinaryConnection) and connection.must_end_behind(request):
        response.force_close()
        response.headers["Connection"] = "close"
