"""One line per request: never a query string, a credential or another header."""

import logging
from typing import Any

import structlog
from aiohttp import web
from aiohttp.abc import AbstractAccessLogger

from pyregistry.api.context import PRINCIPAL
from pyregistry.auth.access import Principal

log = structlog.get_logger("pyregistry.access")


class AccessLogger(AbstractAccessLogger):
    """Called by aiohttp when the answer is out, so that bytes and time are what really happened."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._log = log.bind()  # looks the configuration up once for a connection

    @property
    def enabled(self) -> bool:
        """See AbstractAccessLogger; `log.accesslog.disabled` and `log.level`."""
        return logging.getLogger("pyregistry.access").isEnabledFor(logging.INFO)

    def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
        """`time` is in seconds."""
        principal = request.get(PRINCIPAL, Principal())
        self._log.info(
            "request",
            remote=request.remote,
            user=principal.name,
            method=request.method,
            path=request.rel_url.raw_path,
            status=response.status,
            bytes=min(response.content_length or 0, response.body_length),  # the second counts headers, too
            seconds=round(time, 6),
            agent=request.headers.get("User-Agent", ""),
        )
