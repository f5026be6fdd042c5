"""Where a client sees this registry: a challenge needs an absolute URL, which docker does not resolve by itself."""

import re

from aiohttp import web
from yarl import URL

from pyregistry.api.context import settings
from pyregistry.auth.access import Origin

_HOST = re.compile(r"[A-Za-z0-9._\-]{1,253}(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:[0-9]{1,5})?", re.ASCII)
_SCHEMES = frozenset({"http", "https"})


def origin(request: web.Request) -> Origin:
    """`http.host` of the config, else what the proxy in front says (RFC 7239, or X-Forwarded-*), else the request.

    A header of the client's own could only mislead that client, to which alone the answer goes.
    """
    of_app = settings(request)
    if of_app.origin:
        url = URL(of_app.origin)
        return Origin(url.scheme, url.raw_authority, url.raw_path.rstrip("/") + of_app.prefix)
    forwarded = request.forwarded[0] if request.forwarded else {}
    scheme = forwarded.get("proto") or _first(request, "X-Forwarded-Proto")
    if scheme.lower() not in _SCHEMES:
        scheme = "https" if request.secure else ""
    hosts = forwarded.get("host"), _first(request, "X-Forwarded-Host"), _first(request, "Host")
    host = next((host for host in hosts if host and _HOST.fullmatch(host)), "") or _own_address(request)
    return Origin(scheme.lower(), host, of_app.prefix)


def _first(request: web.Request, name: str) -> str:
    """Of several proxies the one that the client spoke to."""
    return request.headers.get(name, "").partition(",")[0].strip()


def _own_address(request: web.Request) -> str:
    """For HTTP/1.0, where a client need not say to whom it speaks."""
    address = request.transport.get_extra_info("sockname") if request.transport is not None else None
    if not isinstance(address, tuple):
        return "localhost"
    return f"[{address[0]}]:{address[1]}" if ":" in address[0] else f"{address[0]}:{address[1]}"
