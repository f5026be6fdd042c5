"""`http.debug`: a second address for monitoring.

The socket is opened once and inherited by every worker, like that of `http.addr`. The worker that accepts a connection
answers for all of them. See docs/decisions/0010-debug-address-of-every-worker.md.
"""

import socket
from collections.abc import AsyncIterator

from aiohttp import web

from pyregistry.api.handlers.metrics import metrics_page
from pyregistry.api.http.context import HEALTH
from pyregistry.api.http.responses import SERVER, json_response
from pyregistry.api.transport.limits import ConnectionLimits
from pyregistry.api.transport.runner_factory import make_runner
from pyregistry.config.schema import Config
from pyregistry.config.validate import HEALTH_PATH
from pyregistry.observe.metrics import Metrics
from pyregistry.service.sockets import listen

_STOP_SECONDS = 2.0
"""Seconds that a scrape may take when its worker ends, after the end of the service."""


def listen_for_debugging(config: Config) -> socket.socket | None:
    """Return the socket for `http.debug.addr`, None without that key; raise ConfigError."""
    address = config.http.debug.addr
    return listen("http.debug.addr", address) if address else None


def counts(config: Config) -> bool:
    """Return True if metrics are served at some address."""
    debug = config.http.debug
    return bool(debug.addr and debug.prometheus.enabled) or config.pyregistry.metrics


class DebugAddress:
    """A worker's server on this socket."""

    def __init__(self, listening: socket.socket, metrics: Metrics | None, metrics_path: str) -> None:
        """Make the server; without `http.debug.prometheus` there are no `metrics`."""
        self._listening = listening
        self._metrics = metrics
        self._metrics_path = metrics_path

    async def serve(self, app: web.Application) -> AsyncIterator[None]:
        """Serve until `app` and its last requests ended; for Application.cleanup_ctx."""
        runner = make_runner(
            self._make_app(app),
            fast_path=False,
            limits=ConnectionLimits(),
            access_logger=None,
            shutdown_timeout=_STOP_SECONDS,
        )
        await runner.setup()
        await runner.listen(self._listening)
        yield
        await runner.cleanup()

    def _make_app(self, watched: web.Application) -> web.Application:
        app = web.Application()
        app.on_response_prepare.append(_add_headers)

        async def get_health(request: web.Request) -> web.Response:
            """`GET /debug/health`: the failed checks with their reasons, as in the CNCF registry."""
            failing = watched[HEALTH].failing
            response = json_response(failing)
            response.set_status(503 if failing else 200)
            return response

        async def get_metrics(request: web.Request) -> web.Response:
            assert self._metrics is not None
            return await metrics_page(request, self._metrics)

        app.router.add_get(HEALTH_PATH, get_health)
        if self._metrics is not None:
            app.router.add_get(self._metrics_path, get_metrics)
        return app


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    response.headers["Server"] = SERVER
