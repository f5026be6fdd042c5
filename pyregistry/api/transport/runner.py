"""An application's runner: connections of the fast path, or those of aiohttp's ordinary way."""

import asyncio
import logging
import socket
import ssl
from typing import Any

import structlog
from aiohttp import web

from pyregistry.api.http.access_log import AccessLogger
from pyregistry.api.http.context import proxies_of
from pyregistry.api.transport.heads import MAX_HEADERS, MAX_LINE_BYTES
from pyregistry.api.transport.limiter import CONNECTION_COUNTS
from pyregistry.api.transport.limits import SETTLE_SECONDS, ConnectionLimits
from pyregistry.api.transport.ordinary import OrdinaryServer, calling, close_where_needed, noting_requests
from pyregistry.common.overriding import override
from pyregistry.common.system_errors import explained

ORDINARY_READ_BYTES = 64 * 1024
"""Bytes of a body that wait for its handler on the ordinary way; reading pauses above twice as many."""

log = structlog.get_logger("pyregistry.api")


def protocol_options(limits: ConnectionLimits) -> dict[str, Any]:
    """Return the documented options of aiohttp's protocol."""
    return {
        "auto_decompress": False,
        "keepalive_timeout": limits.keepalive,
        "lingering_time": limits.lingering,
        "max_line_size": MAX_LINE_BYTES,
        "max_field_size": MAX_LINE_BYTES,
        "max_headers": MAX_HEADERS,
    }


class Runner(web.AppRunner):
    """Serves an application; `runner_factory.make_runner` chooses the subclass."""

    def __init__(self, app: web.Application, limits: ConnectionLimits, settle_seconds: float, **kwargs: Any) -> None:
        super().__init__(app, **protocol_options(limits), **kwargs)
        self._settle_seconds = settle_seconds
        self._listening: list[asyncio.Server] = []

    async def listen(self, listening: socket.socket, ssl_context: ssl.SSLContext | None = None) -> None:
        """Accept connections of this socket until `cleanup`; call it after `setup`."""
        factory: Any = self.server
        loop = asyncio.get_running_loop()
        self._listening.append(await loop.create_server(factory, sock=listening, ssl=ssl_context))

    @override
    async def cleanup(self) -> None:
        await self.stop_listening()
        await super().cleanup()

    async def stop_listening(self) -> None:
        """Accept no more connections."""
        loop = asyncio.get_running_loop()
        for server in self._listening:
            for accepting in server.sockets:
                loop.remove_reader(accepting)  # later connections stay in the queue, for the other workers
        # asyncio sets up the connection one turn after the accept, and silently resets it if the server was closed
        # meanwhile.
        await asyncio.sleep(0)
        for server in self._listening:
            server.close()
        self._listening.clear()


class OrdinaryRunner(Runner):
    """Serves with documented names of aiohttp alone."""

    def __init__(
        self,
        app: web.Application,
        *,
        limits: ConnectionLimits,
        access_logger: AccessLogger | None,
        settle_seconds: float = SETTLE_SECONDS,
        shutdown_timeout: float = 60.0,
        **kwargs: Any,
    ) -> None:
        """Log to `access_logger`, or not at all."""
        super().__init__(
            app,
            limits,
            settle_seconds,
            logger=_logger(),
            access_log=logging.getLogger("pyregistry.access"),  # required by aiohttp, and not used
            access_log_class=calling(self._responded),
            read_bufsize=ORDINARY_READ_BYTES,
            shutdown_timeout=min(shutdown_timeout, 1.0),  # `cleanup` has waited before
            **kwargs,
        )
        app.middlewares.insert(0, noting_requests(proxies_of(app)))
        app.on_response_prepare.append(close_where_needed)
        self._limits = limits
        self._access_logger = access_logger
        self._drain_seconds = shutdown_timeout
        self._ordinary: OrdinaryServer | None = None
        self._is_shutting_down = False

    @property
    def server(self) -> Any:
        """Return the factory of protocols; None before `setup`."""
        return self._ordinary

    @override
    async def setup(self) -> None:
        await super().setup()
        inner: Any = super().server
        counts = self.app.get(CONNECTION_COUNTS)
        self._ordinary = OrdinaryServer(inner, self._limits, self._access_logger, counts)

    async def cleanup(self) -> None:
        """Let running requests end, then clean up; aiohttp alone would discard the rest of their bodies."""
        await self.stop_listening()
        for site in list(self.sites):
            await site.stop()
        if self._ordinary is not None:
            await asyncio.sleep(self._settle_seconds)  # what the kernel has accepted becomes a connection
            await self.shutdown()
            await self._ordinary.drain(self._drain_seconds)
        await super().cleanup()

    @override
    async def shutdown(self) -> None:
        if not self._is_shutting_down:  # aiohttp calls it again, when the last requests have ended
            self._is_shutting_down = True
            await super().shutdown()

    def _responded(self, request: web.BaseRequest, response: web.StreamResponse, seconds: float) -> None:
        if self._ordinary is not None:
            self._ordinary.responded(request, response, seconds)


class _NoTracebacks(logging.Filter):
    """Replaces aiohttp's log lines about failures with ours, which have no tracebacks."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return False for a record that was logged in our form."""
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, Exception):
            return True
        if isinstance(getattr(error, "code", None), int):  # a head that aiohttp's parser refused
            log.info("request refused", reason=str(getattr(error, "message", error)))
        else:
            log.error("unexpected error", at=record.getMessage(), **explained(error))
        return False


def _logger() -> logging.Logger:
    logger = logging.getLogger("pyregistry.http")
    if not logger.filters:
        logger.addFilter(_NoTracebacks())
    return logger
