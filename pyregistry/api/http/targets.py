"""Request targets: the variants that clients send become the path and query of the endpoint table.

Scripts join a base with a final slash to a path, and append `&digest=` or `?digest=` to any `Location`. The CNCF
registry redirects the former with 301, after which clients send a GET without their body. Here they get the response
itself. Router, access rules, metrics and storage see one path; only the access log has the original.
"""

from aiohttp import web
from yarl import URL

TARGET = web.RequestKey("target", str)
"""The target as the client sent it, where aiohttp has got a tidy one."""

_WITH_SLASH = ("/v2/", "/blobs/uploads/")
"""Ends of paths whose final slash is part of the endpoint."""


def raw_path(request: web.BaseRequest) -> str:
    """Return the path as the client sent it, without its query; the tidy path of an absolute target."""
    path = request.get(TARGET, request.raw_path).partition("?")[0]
    return path if path.startswith("/") else request.rel_url.raw_path


def tidy(url: URL) -> URL:
    """Return path and query with single slashes, none at the end, and all parameters in the query.

    The scheme and host of an absolute target are dropped: they are not used, and may be malformed. Dots and encoded
    slashes stay: no client sends them on purpose, and a proxy's rules may read them differently.
    """
    path, query = url.raw_path, url.raw_query_string
    while "//" in path:
        path = path.replace("//", "/")
    plain, _, glued = path.partition("&")
    if _is_of_uploads(plain):
        path, query = plain, "&".join(part for part in (glued, query) if part).replace("?", "&")
    if not path.endswith(_WITH_SLASH):
        path = path.rstrip("/") or "/"
    return URL.build(path=path, query_string=query, encoded=True)


def is_untidy(target: str) -> bool:
    """Return True if `tidy` may change this target. Cheap: called for every request that is not cached."""
    path, _, query = target.partition("?")
    if path.endswith("/") and path != "/" and not path.endswith(_WITH_SLASH):
        return True
    return "//" in path or "&" in path or "?" in query


def _is_of_uploads(path: str) -> bool:
    above, _, last = path.rstrip("/").rpartition("/")
    return above.endswith("/blobs/uploads") or (last == "uploads" and above.endswith("/blobs"))
