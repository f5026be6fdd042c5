"""The address of this registry for a client: docker resolves no relative realm, some clients no relative `Location`."""

import re

from aiohttp import HttpVersion11, web
from yarl import URL

from pyregistry.api.http.context import settings
from pyregistry.api.http.forwarded import first_words, peer_of, shows_a_proxy
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
    scheme, host = _said(request)
    if not scheme and (request.secure or shows_a_proxy(request.headers)):
        scheme = "https"
    return Origin(scheme, host or _host(request) or _own_address(request), of_app.prefix)


def base_url(request: web.Request) -> str:
    """Return what every `Location` begins with: scheme, host and prefix, or the prefix alone, which is never wrong.

    Scheme and host come from `http.host`, else as the CNCF registry finds them, from the proxy in front or the request.
    A proxy that says nothing of a scheme may speak TLS or not, and `http.relativeurls` asks for the prefix alone.
    """
    of_app = settings(request)
    if of_app.origin or of_app.relative_urls:
        return of_app.origin + of_app.prefix
    # nginx, if nothing else is configured, asks in HTTP/1.0, without a header of its own, and for the host `upstream`.
    if shows_a_proxy(request.headers) or request.version < HttpVersion11:
        scheme, host = _said(request)
    else:
        scheme, host = "https" if request.secure else "http", ""
    host = host or _host(request)
    return f"{scheme}://{host}{of_app.prefix}" if scheme and host else of_app.prefix


def _said(request: web.Request) -> tuple[str, str]:
    """Return scheme and host that a proxy in front names; empty where it names none that is valid."""
    proxies = settings(request).proxies
    if proxies is not None and not proxies.trusts(peer_of(request.protocol.peername)):
        return "", ""
    said = list(first_words(request.headers))
    scheme = next((scheme.lower() for scheme, _ in said if scheme.lower() in _SCHEMES), "")
    return scheme, next((host for _, host in said if _HOST.fullmatch(host)), "")


def _host(request: web.Request) -> str:
    """Return the host that the request is for; empty where it names none that is valid, which HTTP/1.0 need not."""
    host = request.headers.get("Host", "")
    return host if _HOST.fullmatch(host) else ""


def _own_address(request: web.Request) -> str:
    """For HTTP/1.0, where a client need not say to whom it speaks."""
    address = request.transport.get_extra_info("sockname") if request.transport is not None else None
    if not isinstance(address, tuple):
        return "localhost"
    return f"[{address[0]}]:{address[1]}" if ":" in address[0] else f"{address[0]}:{address[1]}"
