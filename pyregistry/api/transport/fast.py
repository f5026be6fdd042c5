"""The fast path's runner: aiohttp's, whose connections are ours."""

import asyncio
import logging
from typing import Any

from aiohttp import web

from pyregistry.api.http.access_log import AccessLogger
from pyregistry.api.http.cached import CACHED_RESPONDER, CachedResponder
from pyregistry.api.http.context import proxies_of
from pyregistry.api.transport.connection import ConnectionServer
from pyregistry.api.transport.internals import RunnerAdapter
from pyregistry.api.transport.limiter import CONNECTION_COUNTS
from pyregistry.api.transport.limits import READ_BYTES, SETTLE_SECONDS, ConnectionLimits
from pyregistry.api.transport.requests import naming_clients, tidying_targets
from pyregistry.api.transport.runner import Runner, protocol_options
from pyregistry.common.overriding import override


class FastRunner(RunnerAdapter, Runner):
    """Serves with connections of the fast path."""

    def __init__(
        self,
        app: web.Application,
        *,
        limits: ConnectionLimits,
        access_logger: AccessLogger | None,
        settle_seconds: float = SETTLE_SECONDS,
        responder: CachedResponder | None = None,
        **kwargs: Any,
    ) -> None:
        """Log to `access_logger`, or not at all; `responder` is by default that of the application."""
        super().__init__(app, limits, settle_seconds, access_log=None, **kwargs)
        self._limits = limits
        self._responder = responder
        self._options = {**protocol_options(limits), "read_bufsize": READ_BYTES, "access_log": None}
        if access_logger is not None:  # one for all connections: aiohttp would make one for each
            logger = logging.getLogger("pyregistry.access")
            self._options |= {"access_log": logger, "access_log_class": lambda *_: access_logger}

    async def shutdown(self) -> None:
        """Shut down: aiohttp calls this after the end of listening, and before it closes connections."""
        await asyncio.sleep(self._settle_seconds)  # what the kernel has accepted becomes a connection
        if self.server is not None:
            self.server.pre_shutdown()
        await super().shutdown()

    @override
    def replace(self, made: web.Server) -> web.Server:
        made.request_factory = naming_clients(tidying_targets(made.request_factory), proxies_of(self.app))
        server = ConnectionServer(made, self._limits, self._options, self.app.get(CONNECTION_COUNTS))
        server.responder = self._responder or self.app.get(CACHED_RESPONDER)
        return server
