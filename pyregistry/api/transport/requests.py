"""Requests as handlers get them: with a tidy target, and the client's address even behind trusted proxies."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from aiohttp import web

from pyregistry.api.http.forwarded import REMOTE, TrustedProxies, client_address, peer_of
from pyregistry.api.http.targets import is_untidy, tidy

if TYPE_CHECKING:
    from pyregistry.api.transport.internals import RawRequestMessage

Make = Callable[..., web.BaseRequest]


def tidying_targets(make: Make) -> Make:
    """Return a factory of requests whose `rel_url` is tidy; their `raw_path` stays what the client sent."""

    def make_request(message: "RawRequestMessage", *rest: Any) -> web.BaseRequest:
        if is_untidy(message.path):
            message = message._replace(url=tidy(message.url))
        return make(message, *rest)

    return make_request


def naming_clients(make: Make, proxies: TrustedProxies | None) -> Make:
    """Return a factory of requests for which `remote_of` is the client's address."""

    def make_request(message: "RawRequestMessage", payload: Any, protocol: Any, *rest: Any) -> web.BaseRequest:
        request = make(message, payload, protocol, *rest)
        peer = peer_of(protocol.peername)
        # aiohttp's placeholder for a refused head has a plain dict, without `getall`.
        request[REMOTE] = client_address(proxies, peer, message.headers) if message.headers else peer
        return request

    return make_request
