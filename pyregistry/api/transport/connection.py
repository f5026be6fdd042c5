"""aiohttp's connection, made fit for a network: a deadline for headers, a cap, and errors in the spec's envelope.

aiohttp itself has no timer between a connection and its first request, none inside the headers, answers malformed
requests in plain text, and decompresses bodies, whose digest would then be that of other bytes.
"""

import asyncio
from typing import Any

import structlog
from aiohttp import http_parser, web
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD
from aiohttp.web_protocol import RequestHandler

from pyregistry.api.access_log import AccessLogger
from pyregistry.api.context import proxies_of
from pyregistry.api.forwarded import naming_clients, peer_of
from pyregistry.api.hot import HOT_ANSWERS, HotAnswers
from pyregistry.api.request_id import HEADER, request_id
from pyregistry.api.responses import SERVER, error_response
from pyregistry.api.targets import tidying_targets
from pyregistry.api.transport.bypass import Receiver
from pyregistry.api.transport.heads import LONGEST_LINE, MOST_HEADERS, HeadRefused
from pyregistry.api.transport.limiter import CONNECTION_COUNTS, Caps, ConnectionCounts
from pyregistry.api.transport.limits import NEW_CONNECTION_SECONDS, ConnectionLimits
from pyregistry.api.transport.stalled import UnreadAnswers
from pyregistry.mistakes import log_tls
from pyregistry.oci.errors import InternalError, TlsToPlainPort
from pyregistry.system_errors import explained

log = structlog.get_logger("pyregistry.api")


class Connection(Receiver):
    """One connection of a client."""

    __slots__ = ("_begun", "_deadline", "_handshaking", "_hot", "_limits", "_remote")

    def __init__(
        self,
        manager: "ConnectionServer",
        limits: ConnectionLimits,
        access_logger: AccessLogger | None,
        hot: HotAnswers | None,
        **kwargs: Any,
    ) -> None:
        super().__init__(manager, **kwargs)
        self.access_logger = access_logger  # which aiohttp would make anew for each connection
        self._logging_enabled = access_logger is not None
        self._limits = limits
        self._hot = hot
        self._deadline: asyncio.TimerHandle | None = None
        self._remote = ""
        """The other side's address, once it is there; empty for one of a unix socket."""
        self._begun = self._loop.time()
        self._handshaking: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self._handshaking = None
        super().connection_made(transport)
        self._remote = peer_of(transport.get_extra_info("peername"))
        self._await_headers()

    def handshake_begun(self, peer: object, transport: asyncio.Transport, ended: "asyncio.Future[Any]") -> None:
        """See FairLoop; connection_made comes only when the handshake has ended, and never if it fails."""
        self._handshaking = transport
        if isinstance(self._manager, ConnectionServer):
            self._manager.handshake_begun(self, peer, transport, ended)

    def idle_since(self) -> float | None:
        """See Countable; bytes of a head that is not whole change nothing."""
        if self._handshaking is not None:
            return self._begun
        if self.gives_way:
            return 0.0  # before all that are idle
        if self.transport is None or self._is_busy() or not self.is_between_requests:
            return None
        return self._next_keepalive_close_time - self._keepalive_timeout

    def close_idle(self) -> None:
        """See Countable."""
        self.force_close() if self._handshaking is None else self._handshaking.abort()

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        if self.body is not None:
            self.receive(data)
        elif (self._close or self._force_close) and (self._is_busy() or self._is_new()):
            self._receive_in_shutdown(data)
        elif self._hot is not None and self._waiter is not None and not self._waiter.done():
            if self._receive_when_idle(data, self._hot, self._waiter):
                return
        else:
            self.receive(data)
        if self._messages or self._current_request is not None:
            self._stop_deadline()
        elif data:
            self._await_headers()

    def close(self) -> None:
        """Asked to end, at a shutdown: a connection that was just accepted may have its first request on the way.

        The client could not know whether a request that it lost was carried out; on an idle connection it expects to
        lose one.
        """
        if not self._is_new():
            super().close()
        elif not self._close:
            self._close = True
            self._loop.call_later(NEW_CONNECTION_SECONDS, self._close_if_new)

    async def shutdown(self, timeout: float | None = 15.0) -> None:
        """See RequestHandler, which waits once more as long for a request that it has cancelled."""
        ending = None if timeout is None else self._loop.call_later(timeout, self._abort)
        try:
            await super().shutdown(timeout)
        finally:
            if ending is not None:
                ending.cancel()

    def connection_lost(self, exc: BaseException | None) -> None:
        """See asyncio.Protocol."""
        self._stop_deadline()
        super().connection_lost(exc)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer a head that was refused, or a failure outside the middlewares (500)."""
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has begun already")
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

    def _abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    def _is_new(self) -> bool:
        return self._request_count == 0

    def _is_busy(self) -> bool:
        # Not `_current_request`: between a request's headers and that lies a turn of the loop or two, in which a
        # shutdown may begin and more of the body may come.
        return self._waiter is None or (self._waiter.done() and not self._waiter.cancelled())

    def _close_if_new(self) -> None:
        if self._is_new():
            super().close()

    def _receive_when_idle(self, data: bytes, hot: HotAnswers, waiter: "asyncio.Future[None]") -> bool:
        """Whether what came was a request that is answered by now."""
        # aiohttp's task waits for a request. It sleeps on if the one that came can be answered here and now: to wake
        # it, and the task that it makes for each request, costs more than such an answer.
        self._waiter = None
        self.receive(data)
        self._waiter = waiter
        if len(self._messages) == 1 and self._answer(hot, *self._messages[0]):
            self._messages.clear()
            if self._parser is not None:
                self._parser.message_consumed()
            self._stop_deadline()
            return True
        if self._messages:
            waiter.set_result(None)
        return False

    def _answer(self, hot: HotAnswers, message: object, body: object) -> bool:
        """Answer a request at once; False, and nothing was sent, if that is not possible."""
        if body is not EMPTY_PAYLOAD or not isinstance(message, RawRequestMessage) or self._paused:
            return False
        begun = self._loop.time()
        try:
            answer = hot.find(message, self._remote)
        except OSError:  # of the storage; the ordinary way meets it again, and has an answer for it
            return False
        except Exception as error:  # the ordinary way may do without what is wrong here
            log.error("no hot answer", method=message.method, path=message.path, exc_info=error)
            return False
        if answer is None or self.transport is None or self._manager is None:
            return False
        self.transport.write(answer.content)
        self._manager.requests_count += 1
        now = self._loop.time()
        self._next_keepalive_close_time = now + self._keepalive_timeout
        if isinstance(self.access_logger, AccessLogger):
            self.access_logger.write(answer.entry, now - begun)
        return True

    def _receive_in_shutdown(self, data: bytes) -> None:
        # aiohttp then waits for the running requests, but throws away the rest of their bodies, so that an upload
        # would hang until the end of that time, in vain.
        flags = self._close, self._force_close
        self._close = self._force_close = False
        self.receive(data)
        self._close, self._force_close = flags

    def _await_headers(self) -> None:
        if self._deadline is None:
            self._deadline = self._loop.call_later(self._limits.header_deadline, self._headers_overdue)

    def _stop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _headers_overdue(self) -> None:
        self._deadline = None
        if self._current_request is None and not self._messages:
            self.force_close()


class ConnectionServer(web.Server):
    """Makes a Connection for each client, up to the cap."""

    def __init__(
        self,
        *args: Any,
        limits: ConnectionLimits,
        access_logger: AccessLogger | None,
        hot: HotAnswers | None,
        counts: ConnectionCounts | None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._limits = limits
        self._hot = hot
        self._access_logger = access_logger
        self._caps = Caps(limits.connections, limits.connections_per_address, counts)
        self._unread = UnreadAnswers(limits.send_deadline, limits.send_rate, limits.rate_window)

    def __call__(self) -> RequestHandler:
        """A protocol for asyncio's server."""
        return Connection(self, self._limits, self._access_logger, self._hot, loop=self._loop, **self._kwargs)

    def handshake_begun(
        self, handler: Connection, peer: object, transport: asyncio.Transport, ended: "asyncio.Future[Any]"
    ) -> None:
        """Count what may never become a connection."""
        self._caps.begin(handler, peer, transport)
        ended.add_done_callback(lambda _: None if handler in self._connections else self._caps.end(handler))

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        """Count it."""
        super().connection_made(handler, transport)
        if isinstance(handler, Connection):
            self._caps.begin(handler, transport.get_extra_info("peername"), transport)
        self._unread.watch(self._connections)

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        """Count down."""
        if isinstance(handler, Connection):
            self._caps.end(handler)
        super().connection_lost(handler, exc)


class Runner(web.AppRunner):
    """An AppRunner whose connections are ours."""

    def __init__(
        self,
        app: web.Application,
        *,
        limits: ConnectionLimits,
        access_logger: AccessLogger | None,
        **kwargs: Any,
    ) -> None:
        """Without an `access_logger` nothing is written."""
        if http_parser.HttpRequestParser is http_parser.HttpRequestParserPy:
            raise RuntimeError("aiohttp was installed without its C parser; the Python one is not safe on a network")
        super().__init__(
            app,
            access_log=None,
            auto_decompress=False,
            keepalive_timeout=limits.keepalive,
            lingering_time=limits.lingering,
            read_bufsize=256 * 1024,
            max_line_size=LONGEST_LINE,
            max_field_size=LONGEST_LINE,
            max_headers=MOST_HEADERS,
            **kwargs,
        )
        self._limits = limits
        self._access_logger = access_logger

    async def cleanup(self) -> None:
        """See AppRunner."""
        self._accept_no_more()
        # asyncio makes the connection a turn after the accept, and silently resets it if the server has been closed
        # in between.
        await asyncio.sleep(0)
        await super().cleanup()

    async def shutdown(self) -> None:
        """See AppRunner: between the end of listening and that of the connections."""
        await asyncio.sleep(0.1)  # what the kernel accepted by then has become a connection, which is told as well
        if self.server is not None:
            self.server.pre_shutdown()
        await super().shutdown()

    def _accept_no_more(self) -> None:
        """Leave what comes from now on in the queue, for the other workers."""
        loop = asyncio.get_running_loop()
        for site in self.sites:
            for listening in getattr(site._server, "sockets", ()):
                loop.remove_reader(listening)

    async def _make_server(self) -> web.Server:
        # Application._make_handler, which this stands for, always makes aiohttp's own Server.
        made = await super()._make_server()
        return ConnectionServer(
            made.request_handler,
            request_factory=naming_clients(tidying_targets(made.request_factory), proxies_of(self.app)),
            limits=self._limits,
            access_logger=self._access_logger,
            hot=self.app.get(HOT_ANSWERS),
            counts=self.app.get(CONNECTION_COUNTS),
            **made._kwargs,
        )
