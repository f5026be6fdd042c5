"""The fast path's connection: aiohttp's, with cached responses before its task and bodies past its parser.

aiohttp itself has no timer before a connection's first request, and none inside the headers. It refuses malformed
requests in plain text. It also decompresses bodies, whose digest would then be that of other bytes.
"""

import asyncio
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any

import structlog
from aiohttp import web

from pyregistry.api.http.access_log import AccessLogger
from pyregistry.api.http.cached import CachedResponder
from pyregistry.api.http.client import ClientConnection
from pyregistry.api.http.forwarded import peer_of
from pyregistry.api.http.request_id import HEADER, request_id
from pyregistry.api.http.responses import SERVER, error_response
from pyregistry.api.transport.bypass import BodyBypass
from pyregistry.api.transport.head_parser import HeadRefused
from pyregistry.api.transport.internals import (
    EMPTY_PAYLOAD,
    HandlerAdapter,
    RawRequestMessage,
    RequestHandler,
    StreamReader,
    set_read_size,
)
from pyregistry.api.transport.limiter import ConnectionCounts, ConnectionLimiter
from pyregistry.api.transport.limits import FIRST_READ_BYTES, NEW_CONNECTION_SECONDS, ConnectionLimits
from pyregistry.api.transport.stalled import StalledClientMonitor
from pyregistry.common.overriding import override
from pyregistry.common.system_errors import explained
from pyregistry.observe.wrong_protocol import log_tls
from pyregistry.oci.errors import InternalError, TlsToPlainPort
from pyregistry.storage.seams.uploads import Read

log = structlog.get_logger("pyregistry.api")


class Connection(HandlerAdapter, ClientConnection):
    """One connection of a client."""

    __slots__ = (
        "_begun",
        "_deadline",
        "_event_loop",
        "_handshaking",
        "_is_evictable",
        "_limits",
        "_remote",
        "_server",
        "bypass",
    )

    def __init__(
        self,
        server: "ConnectionServer",
        limits: ConnectionLimits,
        loop: asyncio.AbstractEventLoop,
        **kwargs: Any,
    ) -> None:
        super().__init__(server, loop=loop, **kwargs)
        self._event_loop = loop
        self._server = server
        self._limits = limits
        self.bypass = BodyBypass(self, loop)
        self._is_evictable = False
        self._deadline: asyncio.TimerHandle | None = None
        self._remote = ""
        """Address of the peer once it is connected; empty for a unix socket."""
        self._begun = loop.time()
        self._handshaking: asyncio.Transport | None = None

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._handshaking = None
        set_read_size(transport, FIRST_READ_BYTES)
        super().connection_made(transport)
        self._remote = peer_of(transport.get_extra_info("peername"))
        self._await_headers()

    def handshake_begun(self, peer: object, transport: asyncio.Transport, ended: "asyncio.Future[Any]") -> None:
        """Count a TLS handshake: `connection_made` is called only after it, and never if it fails."""
        self._handshaking = transport
        self._server.handshake_begun(self, peer, transport, ended)

    @override
    def direct_read(self, content: StreamReader) -> AbstractContextManager[Read | None]:
        body = self.bypass.body
        # Where this body is complete, what arrives now belongs to the next request.
        return nullcontext() if body is None or body.content is not content else body.direct_reader()

    @override
    def set_evictable(self, is_evictable: bool) -> None:
        self._is_evictable = is_evictable

    def idle_since(self) -> float | None:
        """Return the time since which it is idle, as a Countable; bytes of an incomplete head change nothing."""
        if self._handshaking is not None:
            return self._begun
        if self._is_evictable:
            return 0.0  # before all that are idle
        if self.transport is None or self._is_busy() or not self.bypass.is_between_requests:
            return None
        return self.idle_until - self.keepalive_timeout

    def close_idle(self) -> None:
        """Close an idle connection, as a Countable."""
        self.force_close() if self._handshaking is None else self._handshaking.abort()

    @override
    def data_received(self, data: bytes) -> None:
        responder, waiter = self._server.responder, self.waiter
        if self.bypass.body is not None:
            self.bypass.feed(data)
        elif self.is_closing and (self._is_busy() or self._is_new()):
            # aiohttp then waits for the running requests, but discards the rest of their bodies. An upload would hang
            # until the end of that time, in vain.
            self.feed_while_closing(self.bypass.feed, data)
        elif responder is not None and waiter is not None and not waiter.done():
            if self._receive_when_idle(data, responder, waiter):
                return
        else:
            self.bypass.feed(data)
        if self.queue or self.current is not None:
            self._stop_deadline()
        elif data:
            self._await_headers()

    def close(self) -> None:
        """Close at a shutdown, but let a new connection send its first request.

        Its client could not know whether a lost request was carried out. On an idle connection it expects a loss.
        """
        if not self._is_new():
            super().close()
        elif not self.is_closing:
            self.close_after_request()
            self._event_loop.call_later(NEW_CONNECTION_SECONDS, self._close_if_new)

    async def shutdown(self, timeout: float | None = 15.0) -> None:
        """Shut down within `timeout`; aiohttp alone waits twice as long for a request that it has cancelled."""
        ending = None if timeout is None else self._event_loop.call_later(timeout, self.abort)
        try:
            await super().shutdown(timeout)
        finally:
            if ending is not None:
                ending.cancel()

    def abort(self) -> None:
        """Abort the connection."""
        if self.transport is not None:
            self.transport.abort()

    @override
    def connection_lost(self, exc: BaseException | None) -> None:
        self._stop_deadline()
        super().connection_lost(exc)
        self.bypass.finish_body()

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Close the connection after a malformed head or body."""
        self.bypass.prepare_end(request, resp)
        finished = await super().finish_response(request, resp, start_time)
        if self.bypass.is_refusal(request) and self.transport is not None and self.transport.can_write_eof():
            with suppress(OSError):  # the client has gone
                self.transport.write_eof()  # it may still send, and would lose the response if this closed at once
        return finished

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Respond to a refused head, or to a failure outside the middlewares (500)."""
        if request.writer.output_size > 0:
            raise ConnectionError("a response was already started")
        if isinstance(exc, HeadRefused):
            if isinstance(exc.error, TlsToPlainPort):
                log_tls(self._remote)
            response = error_response(exc.error, request_id(request))
        else:
            log.error("unexpected error", request_id=request_id(request), **explained(exc))
            response = error_response(InternalError(), request_id(request))
        response.headers[HEADER] = request_id(request)
        response.headers["Server"] = SERVER  # aiohttp's own names its version and Python's
        response.force_close()
        return response

    def _is_new(self) -> bool:
        return self.request_count == 0

    def _is_busy(self) -> bool:
        # Not `current`, which aiohttp sets only one or two turns of the loop after the headers. Meanwhile a shutdown
        # may begin, and more of the body may come.
        waiter = self.waiter
        return waiter is None or (waiter.done() and not waiter.cancelled())

    def _close_if_new(self) -> None:
        if self._is_new():
            super().close()

    def _receive_when_idle(self, data: bytes, responder: CachedResponder, waiter: "asyncio.Future[None]") -> bool:
        """Return True if `data` completed a request and it was served from the cache."""
        # aiohttp's task waits for a request. A cached response does not wake it: waking it, and the task that it makes
        # for each request, costs more than the response.
        self.waiter = None
        self.bypass.feed(data)
        self.waiter = waiter
        queue = self.queue
        if len(queue) == 1 and self._respond_from_cache(responder, *queue[0]):
            queue.clear()
            if self.parser is not None:
                self.parser.message_consumed()
            self._stop_deadline()
            return True
        if queue:
            waiter.set_result(None)
        return False

    def _respond_from_cache(self, responder: CachedResponder, message: object, body: object) -> bool:
        """Respond from the cache; return False if that is not possible, and nothing was sent."""
        if body is not EMPTY_PAYLOAD or not isinstance(message, RawRequestMessage) or self.writing_paused:
            return False
        begun = self._event_loop.time()
        try:
            cached = responder.find(message, self._remote)
        except OSError:  # of the storage; the ordinary way gets it again, and responds to it
            return False
        except Exception as error:  # the ordinary way may still work
            log.error("fast path failed", method=message.method, path=message.path, exc_info=error)
            return False
        if cached is None or self.transport is None:
            return False
        self.transport.write(cached.content)
        self._server.requests_count += 1
        now = self._event_loop.time()
        self.idle_until = now + self.keepalive_timeout
        if isinstance(self.access_logger, AccessLogger):
            self.access_logger.write(cached.entry, now - begun)
        return True

    def _await_headers(self) -> None:
        if self._deadline is None:
            self._deadline = self._event_loop.call_later(self._limits.header_deadline, self._headers_overdue)

    def _stop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _headers_overdue(self) -> None:
        self._deadline = None
        if self.current is None and not self.queue:
            self.force_close()


class ConnectionServer(web.Server):
    """Makes a connection for each client, up to the limits."""

    def __init__(
        self,
        made: web.Server,
        limits: ConnectionLimits,
        options: Mapping[str, Any],
        counts: ConnectionCounts | None,
    ) -> None:
        """Replace `made`, which aiohttp made; `options` are those of its connections."""
        super().__init__(made.request_handler, request_factory=made.request_factory)
        self.responder: CachedResponder | None = None
        """Source of cached responses; None: aiohttp's tasks handle all requests."""
        self._limits = limits
        self._options = options
        self._event_loop = asyncio.get_running_loop()
        self._transports: dict[RequestHandler, asyncio.Transport] = {}
        self._limiter = ConnectionLimiter(limits.connections, limits.connections_per_address, counts)
        self._stalled = StalledClientMonitor(limits.send_deadline, limits.send_rate, limits.rate_window)

    def __call__(self) -> RequestHandler:
        """Return a protocol for asyncio's server."""
        return Connection(self, self._limits, self._event_loop, **self._options)

    def handshake_begun(
        self, handler: Connection, peer: object, transport: asyncio.Transport, ended: "asyncio.Future[Any]"
    ) -> None:
        """Count a handshake, which may never become a connection."""
        self._limiter.begin(handler, peer, transport)
        ended.add_done_callback(lambda _: None if handler in self._transports else self._limiter.end(handler))

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        """Count a connection."""
        super().connection_made(handler, transport)
        self._transports[handler] = transport
        if isinstance(handler, Connection):
            self._limiter.begin(handler, transport.get_extra_info("peername"), transport)
        self._stalled.watch(self._transports)

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        """Stop counting a connection."""
        if isinstance(handler, Connection):
            self._limiter.end(handler)
        self._transports.pop(handler, None)
        super().connection_lost(handler, exc)
