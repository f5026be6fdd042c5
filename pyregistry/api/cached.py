"""A response from memory, as the `cached` column of the endpoint table makes it."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from pyregistry.api.decision import Headers
from pyregistry.auth.access import Principal
from pyregistry.storage.cache import HotBlobs, HotManifests


class Caches(NamedTuple):
    """Memory of a worker."""

    manifests: HotManifests
    blobs: HotBlobs


class Cached(NamedTuple):
    """A response with status 200; `size` is its Content-Length, also that of a HEAD."""

    headers: Mapping[str, str]
    size: int
    body: bytes


FindCached = Callable[[Caches, str, str, Headers, Principal], Cached | None]
"""Finds the response for a repository's name, a reference, the headers of a request and its caller, who may pull.

Returns what the handler would, if memory and a `stat` or two have it; None: ask the handler. May raise OSError.
"""
