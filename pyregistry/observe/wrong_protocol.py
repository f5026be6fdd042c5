"""Clients that use HTTP on a TLS port, or TLS on an HTTP port: each worker logs each once a minute."""

import time
from collections import OrderedDict
from collections.abc import Callable

import structlog

MAX_CLIENTS = 1_000
"""Clients that are remembered. Others are not logged meanwhile, so that a network scan does not fill the disk."""
SILENT_SECONDS = 60.0

log = structlog.get_logger("pyregistry.server")


class OncePerClient:
    """Remembers the clients of the last SILENT_SECONDS."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: OrderedDict[str, float] = OrderedDict()

    def is_first(self, client: str) -> bool:
        """Return True if this client was not seen in the last minute, and remember it."""
        now = self._clock()
        while self._seen and next(iter(self._seen.values())) <= now - SILENT_SECONDS:
            self._seen.popitem(last=False)
        if client in self._seen or len(self._seen) >= MAX_CLIENTS:
            return False
        self._seen[client] = now
        return True


_speaking_tls, _speaking_http = OncePerClient(), OncePerClient()


def log_tls(client: str) -> None:
    """Log that a client began a TLS handshake on a port without TLS."""
    if _speaking_tls.is_first(client):
        # Not a warning: docker tries TLS first at each insecure registry, and then plain HTTP.
        log.info(
            "a client speaks TLS to this port, which serves plain HTTP. If it does not retry with plain HTTP, "
            "configure it (docker: insecure-registries), or set http.tls, or use a proxy for TLS",
            client=client or "unix",
        )


def log_plain_http(client: str) -> None:
    """Log that a client sent a plain request to a TLS port."""
    if _speaking_http.is_first(client):
        log.warning(
            "a client speaks plain HTTP to this port, which serves TLS. Configure the client for https (docker: remove "
            "the registry from insecure-registries; a proxy: https:// as the upstream)",
            client=client or "unix",
        )
