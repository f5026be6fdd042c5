"""The event loop of a worker: asyncio's own, but it accepts one connection at a time."""

import asyncio
from typing import Any

import structlog

from pyregistry.api.transport.plain_http import AnsweringPlainHttp
from pyregistry.common.system_errors import explained

HANDSHAKE_SECONDS = 15.0

log = structlog.get_logger("pyregistry.server")


class SingleAcceptLoop(asyncio.SelectorEventLoop):
    """Shares the connections of a listening socket among its workers.

    asyncio accepts up to a whole backlog at once. The worker that wakes first would take the whole burst that a client
    opens, and the others would idle. With one accept for each turn of the loop, an idle worker is faster than a busy
    one. `SO_REUSEPORT` would choose a worker at random, and reset the connections queued at a worker that ends.
    """

    def __init__(self, backlog: int) -> None:
        """Give listening sockets a queue of `backlog` connections."""
        super().__init__()
        self._queue_length = backlog

    async def create_server(self, *args: Any, **kwargs: Any) -> asyncio.Server:
        """Create a server whose queue has the length of this loop, whatever the caller passes."""
        listening = kwargs.get("sock")
        if listening is not None:  # asyncio uses `backlog` for both; a turn later, the queue gets its length back
            self.call_soon(listening.listen, self._queue_length)
        if kwargs.get("ssl") is not None:  # during the handshake no deadline of ours runs
            kwargs.setdefault("ssl_handshake_timeout", HANDSHAKE_SECONDS)
        return await super().create_server(*args, **{**kwargs, "backlog": 1})

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        """Log errors that reach no code of ours, such as a lack of descriptors for new connections."""
        error, message = context.get("exception"), context.get("message", "")
        if error is not None:
            log.error("unexpected error of the event loop", at=message, **explained(error))
        else:  # such as a task that a worker leaves behind when it ends
            log.debug("event loop", message=message)

    def _make_ssl_transport(
        self, rawsock: Any, protocol: Any, sslcontext: Any, waiter: Any = None, **kwargs: Any
    ) -> asyncio.Transport:
        # asyncio calls a protocol only when the handshake has ended. Ours count connections, and must know when it
        # begins; only here can that be seen.
        peer = (kwargs.get("extra") or {}).get("peername")
        context = AnsweringPlainHttp(sslcontext, rawsock, peer) if kwargs.get("server_side") else sslcontext
        made: asyncio.Transport = super()._make_ssl_transport(rawsock, protocol, context, waiter, **kwargs)  # type: ignore[misc] # not in typeshed
        begun = getattr(protocol, "handshake_begun", None)
        if begun is not None:
            begun(peer, made, waiter)
        return made
