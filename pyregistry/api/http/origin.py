"""URL of this registry: docker does not resolve relative realms, nor some clients a relative `Location`."""

import re

from aiohttp import HttpVersion11, web
from yarl import URL

from pyregistry.api.http.context import settings
from pyregistry.api.http.forwarded import first_words, peer_of, shows_a_proxy
from pyregistry.auth.access import Origin

_HOST = re.compile(r"[A-Za-z0-9._\-]{1,253}(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:[0-9]{1,5})?", re.ASCII)
_SCHEMES = frozenset({"http", "https"})


def origin(request: web.Request) -> Origin:
    """Return `http.host` of the config, else the origin in proxy headers (X-Forwarded-*, RFC 7239) or the request.

    Without `pyregistry.trusted-proxies` all these headers are trusted, as in the CNCF registry: a client's own header
    could only mislead that client. A proxy without a scheme is assumed to use TLS: with an `http` realm clients
    would send passwords in clear.
    """
    configured = settings(request)
    if configured.origin:
        url = URL(configured.origin)
        return Origin(url.scheme, url.raw_authority, url.raw_path.rstrip("/") + configured.prefix)
    scheme, host = _said(request)
    if not scheme and (request.secure or shows_a_proxy(request.headers)):
        scheme = "https"
    return Origin(scheme, host or _host(request) or _own_address(request), configured.prefix)


def base_url(request: web.Request) -> str:
    """Return the start of every `Location`: scheme, host and prefix, or the prefix alone, which is never wrong.

    Scheme and host come from `http.host`, else as in the CNCF registry from the proxy or the request. With a proxy that
    names no scheme, and with `http.relativeurls`, it is the prefix alone.
    """
    configured = settings(request)
    if configured.origin or configured.relative_urls:
        return configured.origin + configured.prefix
    # nginx without further configuration uses HTTP/1.0, no header of its own, and the host `upstream`.
    if shows_a_proxy(request.headers) or request.version < HttpVersion11:
        scheme, host = _said(request)
    else:
        scheme, host = "https" if request.secure else "http", ""
    host = host or _host(request)
    return f"{scheme}://{host}{configured.prefix}" if scheme and host else configured.prefix


def _said(request: web.Request) -> tuple[str, str]:
    """Return scheme and host that a proxy names; empty where missing or invalid."""
    proxies = settings(request).proxies
    if proxies is not None and not proxies.trusts(peer_of(request.protocol.peername)):
        return "", ""
    said = list(first_words(request.headers))
    scheme = next((scheme.lower() for scheme, _ in said if scheme.lower() in _SCHEMES), "")
    return scheme, next((host for _, host in said if _HOST.fullmatch(host)), "")


def _host(request: web.Request) -> str:
    """Return the request's host; empty if missing, as HTTP/1.0 allows, or invalid."""
    host = request.headers.get("Host", "")
    return host if _HOST.fullmatch(host) else ""


def _own_address(request: web.Request) -> str:
    """Return the socket's own address, for HTTP/1.0 without a host."""
    address = request.transport.get_extra_info("sockname") if request.transport is not None else None
    if not isinstance(address, tuple):
        return "localhost"
    return f"[{address[0]}]:{address[1]}" if ":" in address[0] else f"{address[0]}:{address[1]}"
