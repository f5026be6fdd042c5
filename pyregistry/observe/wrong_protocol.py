"""Clients that speak HTTP where TLS is expected, or TLS where HTTP is: each is logged once a minute by each worker."""

import time
from collections import OrderedDict
from collections.abc import Callable

import structlog

MOST_CLIENTS = 1_000
"""Clients that are remembered; of others nothing is logged meanwhile, so that a scan of the network fills no disk."""
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
        if client in self._seen or len(self._seen) >= MOST_CLIENTS:
            return False
        self._seen[client] = now
        return True


_speaking_tls, _speaking_http = OncePerClient(), OncePerClient()


def log_tls(client: str) -> None:
    """Log that a client began a TLS handshake on a port without TLS."""
    if _speaking_tls.is_first(client):
        # Not a warning: docker tries TLS first at each registry that it knows to be insecure, and then plain HTTP.
        log.info(
            "a client speaks TLS to this port, which speaks plain HTTP: if it does not go on with plain HTTP, set "
            "http.tls or a proxy that ends TLS, or tell the client (docker: insecure-registries)",
            client=client or "unix",
        )


def log_plain_http(client: str) -> None:
    """Log that a client sent a plain request to a port of TLS."""
    if _speaking_http.is_first(client):
        log.warning(
            "a client speaks plain HTTP to this port, which speaks TLS: let the client use https (docker: remove the "
            "registry from insecure-registries; a proxy: https:// as the upstream)",
            client=client or "unix",
        )
