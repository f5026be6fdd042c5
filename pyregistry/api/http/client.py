"""A client's connection as handlers see it, on the fast path and on the ordinary way alike."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from aiohttp import StreamReader, web

from pyregistry.storage.seams.uploads import Read


class ClientConnection:
    """A connection of a client."""

    __slots__ = ()

    @contextmanager
    def giving_way(self) -> Iterator[None]:
        """Let the response wait in the block, unless another client needs the connection."""
        self.let_wait(True)
        try:
            yield
        finally:
            self.let_wait(False)

    def let_wait(self, waits: bool) -> None:
        """Note that the response waits on purpose: the connection may then be closed for another client's."""
        raise NotImplementedError

    def direct_read(self, content: StreamReader) -> AbstractContextManager[Read | None]:
        """Return Flowing.straight of this body; the event loop reads it where threads cannot."""
        return nullcontext()

    def check_body(self, content: StreamReader) -> None:
        """Raise web.RequestPayloadError if this body ended because it is malformed."""


def connection_of(request: web.BaseRequest) -> ClientConnection | None:
    """Return the connection of a request; None once it is lost, and for a server that is not ours."""
    transport = request.transport
    protocol: object = None if transport is None else transport.get_protocol()
    return protocol if isinstance(protocol, ClientConnection) else None
