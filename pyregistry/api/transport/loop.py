"""The event loop of a worker: asyncio's own, but it takes one new connection at a time."""

import asyncio
from typing import Any

import structlog

from pyregistry.api.transport.plain_http import AnsweringPlainHttp
from pyregistry.common.system_errors import explained

HANDSHAKE_SECONDS = 15.0

log = structlog.get_logger("pyregistry.server")


class SingleAcceptLoop(asyncio.SelectorEventLoop):
    """Workers that share a listening socket share its connections, too.

    asyncio accepts as many connections in a row as the backlog is long, so that the worker which wakes first takes
    the whole burst that a client opens at once, and the others idle. With one for each turn of the loop, an idle
    worker comes around before a busy one does. `SO_REUSEPORT` would draw lots instead, and a connection that waits in
    the queue of a worker that ends would be reset.
    """

    def __init__(self, backlog: int) -> None:
        """Listening sockets have a queue of `backlog` connections."""
        super().__init__()
        self._queue_length = backlog

    async def create_server(self, *args: Any, **kwargs: Any) -> asyncio.Server:
        """See AbstractEventLoop; the queue has the length of this loop, whatever the caller says."""
        listening = kwargs.get("sock")
        if listening is not None:  # to asyncio `backlog` is both things; a turn later, the queue gets its length back
            self.call_soon(listening.listen, self._queue_length)
        if kwargs.get("ssl") is not None:  # until its end no deadline of ours runs
            kwargs.setdefault("ssl_handshake_timeout", HANDSHAKE_SECONDS)
        return await super().create_server(*args, **{**kwargs, "backlog": 1})

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        """Log in our words what no code of ours gets to see: no descriptor for a new connection, and the like."""
        error, message = context.get("exception"), context.get("message", "")
        if error is not None:
            log.error("unexpected error of the event loop", at=message, **explained(error))
        else:  # such as a task that a worker leaves behind when it ends
            log.debug("event loop", message=message)

    def _make_ssl_transport(
        self, rawsock: Any, protocol: Any, sslcontext: Any, waiter: Any = None, **kwargs: Any
    ) -> asyncio.Transport:
        # asyncio tells a protocol of its connection when the handshake has ended. Ours, which count connections, have
        # to know when it begins; there is no other place to see that.
        peer = (kwargs.get("extra") or {}).get("peername")
        context = AnsweringPlainHttp(sslcontext, rawsock, peer) if kwargs.get("server_side") else sslcontext
        made: asyncio.Transport = super()._make_ssl_transport(rawsock, protocol, context, waiter, **kwargs)  # type: ignore[misc] # not in typeshed
        begun = getattr(protocol, "handshake_begun", None)
        if begun is not None:
            begun(peer, made, waiter)
        return made
