"""Cached responses: the `cached` column of the endpoint table finds them, and connections send them."""

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

from aiohttp import HttpVersion, web
from multidict import CIMultiDictProxy

from pyregistry.api.http.access_log import LogEntry
from pyregistry.api.http.decision import Headers
from pyregistry.auth.access import Principal
from pyregistry.storage.repositories.cache import BlobCache, ManifestCache


class Caches(NamedTuple):
    """Caches of a worker."""

    manifests: ManifestCache
    blobs: BlobCache


class Cached(NamedTuple):
    """A response with status 200; `size` is its Content-Length, also that of a HEAD."""

    headers: Mapping[str, str]
    size: int
    body: bytes


FindCached = Callable[[Caches, str, str, Headers, Principal], Cached | None]
"""Finds the response for a repository name, a reference, the request's headers and a caller who may pull.

Returns the handler's response if the caches have it, revalidated with a `stat` or two. None: call the handler.
May raise OSError.
"""


class ParsedHead(Protocol):
    """The head of a request, as aiohttp's parser returns it."""

    @property
    def method(self) -> str:
        """`GET`, `HEAD` and the like."""

    @property
    def path(self) -> str:
        """The target, with its query."""

    @property
    def version(self) -> HttpVersion:
        """The version of HTTP."""

    @property
    def headers(self) -> "CIMultiDictProxy[str]":
        """The headers; their names ignore case."""

    @property
    def should_close(self) -> bool:
        """True if the connection closes after the response."""

    @property
    def upgrade(self) -> bool:
        """True if the client wants another protocol."""


class CachedResponse(NamedTuple):
    """The bytes of a response, head and body, and its access log entry."""

    content: bytes
    entry: LogEntry


class CachedResponder(Protocol):
    """Source of cached responses for a connection."""

    def find(self, message: ParsedHead, peer: str) -> CachedResponse | None:
        """Return the response to a request without a body; None if it must take the ordinary way."""


CACHED_RESPONDER = web.AppKey("cached_responder", CachedResponder)
