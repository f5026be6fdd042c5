"""Targets of requests: what clients write by habit becomes the path and the query that the endpoint table has.

Scripts glue a base with a final slash to a path, and `&digest=` or `?digest=` to whatever `Location` was. The CNCF
registry redirects the former with 301, after which clients ask with GET and without their body. So the response itself
is sent, and router, access rules, metrics and storage see one path. Only the access log shows what came.
"""

from aiohttp import web
from yarl import URL

TARGET = web.RequestKey("target", str)
"""The target as the client sent it, where aiohttp was given a tidy one."""

_WITH_SLASH = ("/v2/", "/blobs/uploads/")
"""Ends of paths whose final slash is part of the endpoint."""


def raw_path(request: web.BaseRequest) -> str:
    """Return the path as the client sent it, without its query; of a target with a scheme and a host the tidy one."""
    path = request.get(TARGET, request.raw_path).partition("?")[0]
    return path if path.startswith("/") else request.rel_url.raw_path


def tidy(url: URL) -> URL:
    """Return path and query with one slash between two segments, none at the end, and all parameters in the query.

    A scheme and a host that a target has are left out: nothing asks for them, and they may be malformed. Dots and
    encoded slashes stay: no client means them, and nothing may be read differently behind a proxy's rules.
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
    """Return True if `tidy` may change this target. Cheap: every request but those from memory is asked."""
    path, _, query = target.partition("?")
    if path.endswith("/") and path != "/" and not path.endswith(_WITH_SLASH):
        return True
    return "//" in path or "&" in path or "?" in query


def _is_of_uploads(path: str) -> bool:
    above, _, last = path.rstrip("/").rpartition("/")
    return above.endswith("/blobs/uploads") or (last == "uploads" and above.endswith("/blobs"))
