"""The ordinary way: aiohttp as it is, behind a protocol of ours that uses documented names alone.

asyncio calls `OrdinaryConnection`, which passes one request at a time to aiohttp's own protocol: a rewritten head, then
the body in a framing of its own. So deadlines, limits, the spec's errors and the end of each body do not depend on
aiohttp's internals. aiohttp signals the end of a response with its access log.
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

from pyregistry.api.http.access_log import AccessLogger, LogEntry
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
from pyregistry.common.overriding import override
from pyregistry.observe.wrong_protocol import log_tls
from pyregistry.oci.errors import RegistryError, RequestInvalid, TlsToPlainPort
from pyregistry.threads.upload_budget import uploads

PENDING_BYTES = 64 * 1024
"""Bytes after a running request at which reading pauses."""
DENSE_BYTES = 4 * 1024
"""Bytes of a body in tiny chunks fed in one turn of the event loop: each chunk costs a microsecond."""
_TINY_BYTES = 64
"""Bytes of a chunk with its size, on average, below which chunks are tiny."""
_RETRY_SECONDS = 0.01
_GOODBYE_SECONDS = 1.0
"""Seconds a TLS client may take to confirm the end of its connection at a shutdown."""
_CHECK_SECONDS = 0.1
_SEVERAL = 16
"""Chunks from which on the average counts: of fewer, one may be the rest of a large chunk."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

log = structlog.get_logger("pyregistry.api")


class OrdinaryConnection(asyncio.Protocol, ClientConnection):
    """One connection of a client, in front of aiohttp's protocol."""

    def __init__(self, server: "OrdinaryServer", inner: asyncio.Protocol, loop: asyncio.AbstractEventLoop) -> None:
        self._is_evictable = self._is_tls = False
        self.target = ""
        """The target of the running request, as the client sent it."""
        self.remote = ""
        """Address of the peer once it is connected; empty for a unix socket."""
        self._server = server
        self._inner = inner
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._handshaking: asyncio.Transport | None = None
        self._heads, self._reader = Heads(), HeadReader()
        self._pending = b""
        """Bytes after the running request."""
        self._body: Framing | None = None
        """The framing of the body that arrives now."""
        self._is_dense = False
        """True while the chunks of the body are tiny, or their size is not known yet."""
        self._runs = False
        """True from a head to the end of its response."""
        self._request: web.Request | None = None
        self._failure: FramingInvalid | None = None
        """The fault of a malformed body."""
        self._takes_requests = True
        """False at a shutdown, and after a malformed head or body or a response that closes the connection."""
        self._drains = False
        """True at a shutdown."""
        self._count = 0
        self._idle_from = loop.time()
        self._deadline: asyncio.TimerHandle | None = None

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport, self._handshaking = transport, None
        self._idle_from = self._loop.time()
        self.remote = peer_of(transport.get_extra_info("peername"))
        self._is_tls = transport.get_extra_info("sslcontext") is not None
        self._server.connection_made(self, transport)
        self._inner.connection_made(transport)
        self._await_headers()

    def handshake_begun(self, peer: object, transport: asyncio.Transport, ended: "asyncio.Future[Any]") -> None:
        """Count a TLS handshake: `connection_made` is called only after it, and never if it fails."""
        self._handshaking = transport
        self._server.handshake_begun(self, peer, transport, ended)

    @override
    def connection_lost(self, exc: BaseException | None) -> None:
        self._stop_deadline()
        self._finish_body()
        self._transport = None
        self._takes_requests = False
        self._server.connection_lost(self, self._inner)
        self._inner.connection_lost(exc if isinstance(exc, Exception) else None)

    @override
    def pause_writing(self) -> None:
        self._inner.pause_writing()

    @override
    def resume_writing(self) -> None:
        self._inner.resume_writing()

    @override
    def eof_received(self) -> bool | None:
        return self._inner.eof_received()

    @override
    def data_received(self, data: bytes) -> None:
        if self._pending:
            data, self._pending = self._pending + data, b""
        self._feed(data)
        if self._runs:
            self._stop_deadline()
        elif data and self._takes_requests:
            self._await_headers()

    @override
    def set_evictable(self, is_evictable: bool) -> None:
        self._is_evictable = is_evictable

    def idle_since(self) -> float | None:
        """Return the time since which it is idle, as a Countable; bytes of an incomplete head change nothing."""
        if self._is_evictable:
            return 0.0  # before all that are idle
        return None if self._runs or self._body is not None else self._idle_from

    def close_idle(self) -> None:
        """Close an idle connection, as a Countable."""
        transport = self._transport or self._handshaking
        if transport is not None:
            transport.abort()

    def begin(self, request: web.Request) -> FramingInvalid | None:
        """Note the request that aiohttp made of the head; return the framing error of its body, if there is one."""
        self._request = request
        return self._failure

    @override
    def check_body(self, content: StreamReader) -> None:
        # The handler has first read all that came before the fault.
        if self._failure is not None and self._request is not None and self._request.content is content:
            raise web.RequestPayloadError(str(self._failure))

    def must_close_after(self, request: web.BaseRequest) -> bool:
        """Return True if the connection must close after this request's response."""
        # A client that waits for 100 Continue need not send the body after this.
        is_expected = hdrs.EXPECT in request.headers and not request.content.is_eof()
        return is_expected or self._drains or not self._takes_requests

    def responded(self, *, keeps_alive: bool) -> None:
        """Continue with the next request: aiohttp has sent a response."""
        self._runs, self._request = False, None
        self._count += 1
        self._idle_from = self._loop.time()
        if not keeps_alive:  # aiohttp closes, after it has discarded the rest of the body for a moment
            self._takes_requests = False
        elif self._drains or not self._takes_requests:
            self._takes_requests = False
            self._loop.call_later(self._server.limits.lingering if self._body is not None else 0, self._close)
        else:
            self._loop.call_soon(self._continue)

    def drain(self) -> None:
        """Take no further request; the first one of a new connection may be on its way."""
        self._drains = True
        if self._count == 0 and not self._runs:
            self._loop.call_later(NEW_CONNECTION_SECONDS, self._close_unless_running)
            return
        self._takes_requests = False
        self._close_unless_running()

    def waits_for_goodbye(self) -> bool:
        """Return True if TLS is closed here and the client has not confirmed it, for which TLS waits 30 s."""
        return self._is_tls and self._transport is not None and self._transport.is_closing()

    def abort(self) -> None:
        """Abort the connection."""
        if self._transport is not None:
            self._transport.abort()

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _close_unless_running(self) -> None:
        self._takes_requests = False
        if not self._runs:
            self._close()

    def _continue_if_reading(self) -> None:
        """Continue once aiohttp reads again: it had too much of the body."""
        if self._transport is None:
            return
        if self._transport.is_reading():
            self._continue()
        else:
            self._loop.call_later(_RETRY_SECONDS, self._continue_if_reading)

    def _continue(self) -> None:
        if self._transport is None:
            return
        self._transport.resume_reading()
        if self._pending:
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
                self._keep_pending(data[at:] if at else data)
                return
            else:
                at = self._feed_head(data, at)

    def _feed_slice(self, framing: Framing, data: bytes) -> None:
        """Feed a small part of the body; other connections have their turn before the rest."""
        behind = self._feed_body(framing, data[:DENSE_BYTES])
        self._pending = behind + data[DENSE_BYTES:]
        transport = self._transport
        if transport is not None and transport.is_reading():
            transport.pause_reading()
            self._loop.call_soon(self._continue)
        else:
            self._loop.call_later(_RETRY_SECONDS, self._continue_if_reading)

    def _keep_pending(self, data: bytes) -> None:
        self._pending = data
        if len(data) >= PENDING_BYTES and self._transport is not None:
            self._transport.pause_reading()

    def _feed_head(self, data: bytes, at: int) -> int:
        """Parse the head that begins at `at` if it is complete; return the position after it."""
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
        """Pass the body's bytes on; return the bytes after the body."""
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
        self._finish_body()
        return framing.rest

    def _finish_body(self) -> None:
        if self._body is not None:
            self._body = None
            uploads.leave()

    def _fail(self, failure: FramingInvalid) -> None:
        """Handle a malformed body: respond 400 unless a response was already sent."""
        self._failure, self._takes_requests = failure, False
        self._inner.data_received(b"0\r\n\r\n")  # aiohttp has nothing to wait for
        self._finish_body()
        if not self._runs:
            self._close()

    def _refuse(self, error: RegistryError) -> None:
        """Respond to a malformed head; discard what follows it for a moment."""
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
        self._server.log(
            LogEntry(self.remote, own_id, "", "UNKNOWN", "/", "HTTP/1.0", "", response.status, len(body), "")
        )
        if transport.can_write_eof():
            with suppress(OSError):  # the client has gone
                transport.write_eof()  # it may still send, and would lose the response if this closed at once
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
    """Makes a connection for each client, up to the limits; asyncio's factory of protocols."""

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
        """Count a handshake, which may never become a connection."""
        self._limiter.begin(connection, peer, transport)
        ended.add_done_callback(lambda _: None if connection in self.connections else self._limiter.end(connection))

    def connection_made(self, connection: OrdinaryConnection, transport: asyncio.Transport) -> None:
        """Count a connection."""
        self.connections[connection] = transport
        self._limiter.begin(connection, transport.get_extra_info("peername"), transport)
        self._stalled.watch(self.connections)
        if self._drains:  # its handshake has ended only now
            connection.drain()

    def connection_lost(self, connection: OrdinaryConnection, inner: object) -> None:
        """Stop counting a connection."""
        self._limiter.end(connection)
        self.connections.pop(connection, None)
        if not self.connections:
            self._all_closed.set()

    def responded(self, request: web.BaseRequest, response: web.StreamResponse, seconds: float) -> None:
        """Log a response, and let its connection continue."""
        self.requests_count += 1
        if self._access_logger is not None:
            self._access_logger.log(request, response, seconds)
        connection = connection_of(request)
        if isinstance(connection, OrdinaryConnection):
            connection.responded(keeps_alive=bool(response.keep_alive))

    def log(self, entry: LogEntry) -> None:
        """Log a response that did not come from aiohttp."""
        self.requests_count += 1
        if self._access_logger is not None:
            self._access_logger.write(entry, 0.0)

    async def drain(self, seconds: float) -> None:
        """Let running requests end, and abort those that still run after `seconds`."""
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
        """Wait until all connections are closed, but not long for TLS clients that do not confirm the end."""
        left = _GOODBYE_SECONDS
        while self.connections and left > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(_CHECK_SECONDS):
                    await self._all_closed.wait()
            if all(each.waits_for_goodbye() for each in self.connections):
                left -= _CHECK_SECONDS


def calling(responded: Callable[[web.BaseRequest, web.StreamResponse, float], None]) -> type[AbstractAccessLogger]:
    """Return a class for `access_log_class` whose objects call `responded` after each response."""

    class Calling(AbstractAccessLogger):
        """Called by aiohttp at the end of a response."""

        @override
        def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
            responded(request, response, time)

    return Calling


def noting_requests(proxies: TrustedProxies | None) -> Any:
    """Return the outermost middleware, which gives the request to its connection, and the client to the request."""

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
    """Return the address of a client that has disconnected; empty for the name of a unix socket."""
    try:
        ip_address(name)
    except ValueError:
        return ""
    return unmapped(name)


async def close_where_needed(request: web.Request, response: web.StreamResponse) -> None:
    """Close the connection after a response if the next bytes may belong to the body; for on_response_prepare."""
    connection = connection_of(request)
    if isinstance(connection, OrdinaryConnection) and connection.must_close_after(request):
        response.force_close()
        response.headers["Connection"] = "close"
