"""A client's connection as handlers see it, on both the fast path and the ordinary way."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from aiohttp import StreamReader, web

from pyregistry.storage.seams.uploads import Read


class ClientConnection:
    """A connection of a client."""

    __slots__ = ()

    @contextmanager
    def evictable(self) -> Iterator[None]:
        """Allow the connection to be closed for another client while the response waits in the block."""
        self.set_evictable(True)
        try:
            yield
        finally:
            self.set_evictable(False)

    def set_evictable(self, is_evictable: bool) -> None:
        """Note whether the response waits on purpose: then the connection may be closed for another client."""
        raise NotImplementedError

    def direct_read(self, content: StreamReader) -> AbstractContextManager[Read | None]:
        """Return a direct read of this body; it gives None where threads cannot read it."""
        return nullcontext()

    def check_body(self, content: StreamReader) -> None:
        """Raise web.RequestPayloadError if this body ended because it is malformed."""


def connection_of(request: web.BaseRequest) -> ClientConnection | None:
    """Return the connection of a request; None once it is lost, and with a foreign server."""
    transport = request.transport
    protocol: object = None if transport is None else transport.get_protocol()
    return protocol if isinstance(protocol, ClientConnection) else None
