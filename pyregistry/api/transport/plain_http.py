"""Clients that speak plain HTTP to a TLS port: they get an error that says so, as from Go's servers, and are logged."""

import socket
import ssl
from contextlib import suppress
from typing import Any

import msgspec

from pyregistry.api.http.forwarded import peer_of
from pyregistry.observe.wrong_protocol import log_plain_http
from pyregistry.oci.errors import RequestInvalid

_BODY = msgspec.json.encode(
    {"errors": RequestInvalid("Client sent an HTTP request to an HTTPS server: use https").entries()}
)
_ANSWER = (
    b"HTTP/1.0 400 Bad Request\r\nContent-Type: application/json\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%s\n" % (len(_BODY) + 1, _BODY)
)


class AnsweringPlainHttp:
    """The TLS context of one connection, of which asyncio calls only `wrap_bio`."""

    def __init__(self, context: ssl.SSLContext, connection: socket.socket, peer: object) -> None:
        """Wrap the context of `connection`, whose peer is `peer`."""
        self._context = context
        self._connection = connection
        self._peer = peer

    def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        """Return the connection's TLS object, which calls back for a plain HTTP request."""
        made = self._context.wrap_bio(*args, **kwargs)
        if hasattr(made, "on_plain_http"):
            made.on_plain_http = self._answer
        return made

    def _answer(self) -> None:
        log_plain_http(peer_of(self._peer))
        with suppress(OSError):  # past asyncio, which has sent nothing yet and closes the connection next
            self._connection.send(_ANSWER)
