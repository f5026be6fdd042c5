"""Where a client sees this registry: a challenge needs an absolute URL, which docker does not resolve by itself."""

import re

from aiohttp import web
from yarl import URL

from pyregistry.api.context import settings
from pyregistry.api.forwarded import first_words, peer_of, shows_a_proxy
from pyregistry.auth.access import Origin

_HOST = re.compile(r"[A-Za-z0-9._\-]{1,253}(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:[0-9]{1,5})?", re.ASCII)
_SCHEMES = frozenset({"http", "https"})


def origin(request: web.Request) -> Origin:
    """`http.host` of the config, else what the proxy in front says (X-Forwarded-*, or RFC 7239), else the request.

    Without `pyregistry.trusted-proxies` whatever says so is believed, as in the CNCF registry: a header of the client's
    own could only mislead that client, to which alone the answer goes. A proxy that says nothing of a scheme is taken
    for one that speaks TLS: with an `http` realm clients would send passwords in clear.
    """
    of_app = settings(request)
    if of_app.origin:
        url = URL(of_app.origin)
        return Origin(url.scheme, url.raw_authority, url.raw_path.rstrip("/") + of_app.prefix)
    is_believed = of_app.proxies is None or of_app.proxies.trusts(peer_of(request.protocol.peername))
    said = list(first_words(request.headers)) if is_believed else []
    scheme = next((scheme.lower() for scheme, _ in said if scheme.lower() in _SCHEMES), "")
    if not scheme and (request.secure or shows_a_proxy(request.headers)):
        scheme = "https"
    hosts = [*(host for _, host in said), request.headers.get("Host", "")]
    host = next((host for host in hosts if _HOST.fullmatch(host)), "") or _own_address(request)
    return Origin(scheme, host, of_app.prefix)


def _own_address(request: web.Request) -> str:
    """For HTTP/1.0, where a client need not say to whom it speaks."""
    address = request.transport.get_extra_info("sockname") if request.transport is not None else None
    if not isinstance(address, tuple):
        return "localhost"
    return f"[{address[0]}]:{address[1]}" if ":" in address[0] else f"{address[0]}:{address[1]}"
