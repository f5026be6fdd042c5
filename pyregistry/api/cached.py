"""A response from memory, as the `cached` column of the endpoint table makes it."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from pyregistry.api.decision import Content, Headers
from pyregistry.auth.access import Principal
from pyregistry.storage.cache import HotBlobs, HotManifests


class Asked(NamedTuple):
    """A GET or HEAD of a caller who may pull."""

    method: str
    name: str
    reference: str
    headers: Headers
    principal: Principal
    manifests: HotManifests
    blobs: HotBlobs


class Cached(NamedTuple):
    """A response with status 200; Content-Length is the size of `content`."""

    headers: Mapping[str, str]
    content: Content
    body: bytes


FindCached = Callable[[Asked], Cached | None]
"""Return the response if memory and a `stat` or two have it, as the handler would give it; None: ask the handler."""
